#!/usr/bin/env bash
# Backs up a server with PostgreSQL into /backup every BACKUP_HOURS: first a dump, then the uploads and keys that are new.
# An archive is stored before its row and never changes, so every row of a dump has its file. The newest BACKUP_KEEP dumps are kept.
# "backup.sh once" makes one backup; "backup.sh check" fails if the newest is older than two intervals.
set -euo pipefail
backup=${BACKUP_FOLDER:-/backup} data=${DATA_FOLDER:-/data}
hours=${BACKUP_HOURS:-24} keep=${BACKUP_KEEP:-14}
if [ -n "${PGPASSWORD_FILE:-}" ]; then PGPASSWORD=$(cat "$PGPASSWORD_FILE"); export PGPASSWORD; fi

once() {
  local name
  name="database-$(date -u +%Y%m%dT%H%M%SZ).pgdump"
  pg_dump --format=custom --no-owner --no-privileges --file="$backup/$name.new"
  pg_restore --list "$backup/$name.new" >/dev/null  # a dump that cannot be read is no backup
  mv "$backup/$name.new" "$backup/$name"
  for part in uploads files; do  # without unfinished uploads, which come and go
    mkdir -p "$backup/$part"
    if [ -d "$data/$part" ]; then
      find "$data/$part" -mindepth 1 -maxdepth 1 ! -name incoming -exec cp --archive --update --target-directory="$backup/$part" {} +
    fi
  done
  for key in receipt_key secret_key; do
    if [ -f "$data/$key" ]; then cp --archive "$data/$key" "$backup/"; fi
  done
  find "$backup" -maxdepth 1 -name 'database-*.pgdump' | sort -r | tail -n +"$((keep + 1))" | xargs -r rm --
  echo "$backup/$name: $(stat -c %s "$backup/$name") bytes."
}

check() {
  local newest
  newest=$(find "$backup" -maxdepth 1 -name 'database-*.pgdump' -newermt "-$((2 * hours)) hours" | head -1)
  if [ -z "$newest" ]; then echo "No dump in $backup is younger than $((2 * hours)) hours."; exit 1; fi
}

umask 077
case ${1:-daily} in
  once) once ;;
  check) check ;;
  daily)
    while :; do
      if once; then sleep $((hours * 3600)); else echo "The backup failed; it is tried again in an hour." >&2; sleep 3600; fi
    done ;;
  *) echo "usage: backup.sh [once|check]" >&2; exit 2 ;;
esac
