"""Migrated databases for the tests, made once: dozens of migrations take ten seconds, a copy takes none.

SQLite's is kept in .venv, for each state of the migrations. PostgreSQL's lives as long as the run's own server.
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / ".venv" / "test-databases"
KEPT = 8  # states of the migrations
TEMPLATE = "leaderboard_migrated"


def migrated_sqlite() -> Path:
    """An empty, migrated SQLite database. Copy it: it is shared."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    path = FOLDER / f"{_state()}.sqlite3"
    with _locked(FOLDER / "lock"):
        if not path.exists():
            with tempfile.TemporaryDirectory(dir=FOLDER) as folder:
                own = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
                command = [sys.executable, "manage.py", "migrate", "-v0"]
                subprocess.run(command, cwd=ROOT, env={**own, "DATA_DIR": folder}, check=True)
                (Path(folder) / "db.sqlite3").rename(path)
            for old in sorted(FOLDER.glob("*.sqlite3"), key=lambda each: each.stat().st_mtime)[:-KEPT]:
                old.unlink()
    return path


def _state() -> str:
    """A digest of what the tables depend on: our migrations, the libraries' versions and the installed apps."""
    digest = hashlib.sha256()
    files = [*(ROOT / "leaderboard" / "migrations").glob("*.py"), ROOT / "leaderboard" / "settings.py"]
    for path in sorted([*files, ROOT / "requirements.txt"]):
        digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()[:16]


@contextmanager
def prepared(settings: dict) -> Iterator[None]:
    """Before Django makes its test database: put a migrated one in its place, and afterwards keep the first as the template."""
    if settings["ENGINE"].endswith("sqlite3"):
        shutil.copyfile(migrated_sqlite(), settings["TEST"]["NAME"])
        yield
        return
    name = f"test_{settings['NAME']}"
    with _locked(Path(tempfile.gettempdir()) / f"leaderboard-template-{settings['PORT']}.lock"):
        known = _ask(settings, "SELECT 1 FROM pg_database WHERE datname = %s", TEMPLATE)
        if known:
            _ask(settings, f'CREATE DATABASE "{name}" TEMPLATE {TEMPLATE}')
        yield
        if not known:
            _ask(settings, f'CREATE DATABASE {TEMPLATE} TEMPLATE "{name}"')


def _ask(settings: dict, statement: str, *values: str) -> list[tuple]:
    where = {
        "host": settings["HOST"],
        "port": settings["PORT"],
        "user": settings["USER"],
        "dbname": "postgres",
    }
    with psycopg.connect(**where, password=settings["PASSWORD"] or None, autocommit=True) as connection:
        answer = connection.execute(statement, values or None)
        return answer.fetchall() if answer.description else []


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
