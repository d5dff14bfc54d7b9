"""nginx with deploy/nginx.conf and gunicorn behind it, on the loopback interface, as in production."""

import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests import kept
from tests.services import free_port

ROOT = Path(__file__).resolve().parent.parent
TEMPORARY = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")  # folders that nginx makes
MISSING = (
    "NO NGINX on this machine, so deploy/nginx.conf was not run: as root, `make nginx` installs it on Debian"
)


def write_certificate(
    folder: Path, name: str = "localhost", days: float = 30, address: str = "127.0.0.2"
) -> Path:
    """A self-signed certificate, in files named as certbot names them; returns the folder."""
    folder.mkdir(exist_ok=True)
    key = ec.generate_private_key(ec.SECP256R1())
    who, now = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]), datetime.now(UTC)
    builder = x509.CertificateBuilder().subject_name(who).issuer_name(who).public_key(key.public_key())
    builder = builder.serial_number(1).not_valid_before(now - timedelta(days=60))
    builder = builder.not_valid_after(now + timedelta(days=days))
    names = [x509.DNSName(name), x509.IPAddress(ip_address(address))]
    builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    (folder / "fullchain.pem").write_bytes(
        builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    )
    kind, plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    (folder / "privkey.pem").write_bytes(key.private_bytes(serialization.Encoding.PEM, kind, plain))
    return folder


def nginx_command(
    folder: Path, http: int, https: int, web: int, *changes: tuple[str, str], certificate: Path | None = None
) -> list[str]:
    """nginx with deploy/nginx.conf in front of the port ``web``. `changes` replace texts that must be there."""
    nginx = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")
    if not nginx:
        pytest.skip(MISSING)
    text = (ROOT / "deploy/nginx.conf").read_text()
    text = re.sub(r"listen \[::\]:.*\n", "", text)
    changes = (
        ("server web:8000", f"server 127.0.0.1:{web}"),
        ("listen 80 ", f"listen 127.0.0.1:{http} "),
        ("listen 443 ", f"listen 127.0.0.1:{https} "),
        ("include mime.types;", ""),
        ("certificates/", f"{certificate or folder}/"),
        ("/tmp/nginx.pid", f"{folder}/nginx-{https}.pid"),
        ("http {", "http {" + "".join(f"{kind}_temp_path {folder}/{kind};" for kind in TEMPORARY)),
        *changes,
    )
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new)
    path = folder / f"nginx-{https}.conf"
    path.write_text(("user root;\n" if os.geteuid() == 0 else "") + text)
    return [nginx, "-c", str(path), "-g", "daemon off;"]


@dataclass
class Site:
    """The ports of a running proxy and of the server behind it, its environment, and where its static files lie."""

    http: int
    https: int
    web: int
    environment: dict[str, str]
    collected: Path


@contextmanager
def gunicorn(folder: Path, https: int, web: int, **variables: str) -> Iterator[dict[str, str]]:
    """gunicorn on the port `web` for visitors who come to https://localhost with the port `https`; yields its environment."""
    environment = {
        "PATH": os.environ["PATH"], "DATA_DIR": str(folder / "data"), "PORT": str(web), "HOST": "127.0.0.1",
        "SITE_URL": f"https://localhost:{https}", "SECRET_KEY": "only for this test " * 5, "TRUSTED_PROXIES": "1",
        "STATIC_ROOT": str(folder / "collected"), "WEB_PROCESSES": "2", "REQUEST_TIME_HEADER": "X-Request-Time",
        "METRICS_TOKEN": "only for this test", **variables,
    }  # fmt: skip
    if not (folder / "data").exists():
        (folder / "data").mkdir(mode=0o700)
        shutil.copyfile(kept.migrated_sqlite(), folder / "data" / "db.sqlite3")
        shutil.copytree(kept.collected_files(), folder / "collected")
    command = [sys.executable, "-m", "gunicorn", "--config", "python:leaderboard.platform.gunicorn"]
    with running([*command, "leaderboard.wsgi"], folder / f"gunicorn-{web}.log", web, environment):
        yield environment


@contextmanager
def running(
    command: list[str], log: Path, port: int, environment: dict[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """A server that listens on `port`; ended afterwards."""
    with log.open("ab") as file:
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=file, stderr=file)
    try:
        end = time.monotonic() + 60
        while not _listens(port):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < end, log.read_text()
            time.sleep(0.05)
        yield process
    finally:
        process.terminate()
        process.wait(40)


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
        return True
    except OSError:
        return False


@contextmanager
def whole_site(folder: Path) -> Iterator[Site]:
    """deploy/nginx.conf in front of gunicorn as in production."""
    http, https, web = free_port(), free_port(), free_port()
    proxy = nginx_command(folder, http, https, web)
    with ExitStack() as stack:
        environment = stack.enter_context(gunicorn(folder, https, web))
        stack.enter_context(running(proxy, folder / "nginx.log", https))
        yield Site(http, https, web, environment, folder / "collected")
