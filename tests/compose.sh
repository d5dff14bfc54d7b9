#!/bin/sh
# Puts Docker's compose plugin into .venv/compose for the test of docker-compose.yml, where the machine has none: Debian 13 has it, older
# releases do not. Nothing is installed: the package is only unpacked. Takes the machine's own mirror.
set -eu
cd "$(dirname "$0")/.."
docker compose version >/dev/null 2>&1 && exit
[ -x .venv/compose/docker-compose ] && exit
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
. /etc/os-release
mkdir -p "$work/lists/partial" "$work/archives/partial"
for kind in list sources; do
  cat /etc/apt/sources.list.d/*."$kind" 2>/dev/null | sed "s/\b$VERSION_CODENAME\b/trixie/g" > "$work/debian.$kind" || true
done
set -- -qq -o APT::Sandbox::User=root -o Dir::Etc::sourcelist=/dev/null -o Dir::Etc::sourceparts="$work" -o Dir::State::lists="$work/lists" -o Dir::Cache="$work"
apt-get "$@" update >/dev/null
cd "$work"
apt-get "$@" download docker-compose 2>/dev/null
dpkg -x docker-compose_*.deb package
cd - >/dev/null
install -D "$work/package/usr/libexec/docker/cli-plugins/docker-compose" .venv/compose/docker-compose
