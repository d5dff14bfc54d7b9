"""What the tests copy instead of making it again: a migrated database and the collected static files, which take ten and twenty
seconds.

Both are kept in .venv, for each state of what they are made from. PostgreSQL's database lives as long as the run's own server.
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
FOLDER = ROOT / ".venv" / "test-kept"
STATES = 8  # of each thing
SETTINGS = [ROOT / "leaderboard" / "settings.py", ROOT / "requirements.txt"]
TEMPLATE = "leaderboard_migrated"


def migrated_sqlite() -> Path:
    """An empty, migrated SQLite database. Copy it: it is shared."""
    # What the tables depend on: our migrations, the libraries' versions and the installed apps.
    sources = [*(ROOT / "leaderboard" / "migrations").glob("*.py"), *SETTINGS]
    return _kept(sources, "db.sqlite3", "migrate", "-v0")


def collected_files() -> Path:
    """The folder that `collectstatic` fills: hashed names, compressed files and a manifest. Copy it: it is shared."""
    sources = [path for path in (ROOT / "leaderboard" / "static").rglob("*") if path.is_file()]
    return _kept([*sources, *SETTINGS], "static", "collectstatic", "--noinput", "-v0")


def _kept(sources: list[Path], name: str, *command: str) -> Path:
    """What manage.py's `command` makes of `sources` under the `name` in its data folder."""
    digest = hashlib.sha256()
    for source in sorted(sources):
        digest.update(f"{source.relative_to(ROOT)}\0".encode() + source.read_bytes())
    FOLDER.mkdir(parents=True, exist_ok=True)
    path = FOLDER / f"{digest.hexdigest()[:16]}-{name}"
    with _locked(FOLDER / "lock"):
        if not path.exists():
            with tempfile.TemporaryDirectory(dir=FOLDER) as folder:
                own = {key: os.environ[key] for key in ("PATH", "HOME", "LANG") if key in os.environ}
                own |= {
                    "DATA_DIR": folder,
                    "STATIC_ROOT": f"{folder}/static",
                    "SECRET_KEY": "only for this " * 5,
                }
                subprocess.run([sys.executable, "manage.py", *command], cwd=ROOT, env=own, check=True)
                (Path(folder) / name).rename(path)
            for old in sorted(FOLDER.glob(f"*-{name}"), key=lambda each: each.stat().st_mtime)[:-STATES]:
                shutil.rmtree(old) if old.is_dir() else old.unlink()
    return path


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
