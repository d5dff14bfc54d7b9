"""Copy everything irreplaceable into a folder: database, uploads, keys. The server keeps running."""

import json
import os
import shutil
import sqlite3
import subprocess
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import connection
from django.utils import timezone

from leaderboard.models.uploads import INCOMING

KEPT_FILES = ("uploads", "files")
KEYS = ("secret_key", "receipt_key")


class Command(BaseCommand):
    help = (
        "Copy database, uploaded archives and keys into FOLDER while the server runs. With the same folder, "
        "later runs copy only new archives. docs/operations.md explains how to restore. The copy contains hidden "
        "labels, personal data and keys: keep it as safe as the server."
    )

    def add_arguments(self, parser: Any) -> None:
        parser.add_argument("folder", metavar="FOLDER", type=Path)

    def handle(self, *, folder: Path, **_: Any) -> None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            folder.chmod(0o700)
            # The database first: archives are stored before their rows and never change, so every row in this copy
            # has its archive among the files copied afterwards.
            database = copy_postgresql(folder) if connection.vendor == "postgresql" else copy_sqlite(folder)
            files = sum(copy_new_files(Path(settings.DATA_DIR) / name, folder / name) for name in KEPT_FILES)
            keys = copy_keys(folder)
            about = {"made_at": timezone.now().isoformat(), "database": database.name, "keys": keys}
            (folder / "backup.json").write_text(json.dumps(about, indent=1) + "\n")
        except OSError as error:
            raise CommandError(f"{folder} cannot be written ({error}).") from error
        self.stdout.write(self.style.SUCCESS(f"{folder}: {database.name} and {files} new files."))
        for key in KEYS:
            if key not in keys:
                self.stdout.write(
                    f"{key.upper()} comes from the environment: store it with the backup yourself."
                )
        if settings.S3_BUCKET:
            self.stdout.write(f"The archives are in the bucket {settings.S3_BUCKET}: back it up separately.")


def copy_sqlite(folder: Path) -> Path:
    """A consistent copy through SQLite's backup interface, while the server runs."""
    target = folder / "database.sqlite3"
    fresh = folder / "database.sqlite3.new"
    fresh.unlink(missing_ok=True)
    connection.ensure_connection()
    copy = sqlite3.connect(fresh)
    try:
        connection.connection.backup(copy)
        (state,) = copy.execute("PRAGMA integrity_check").fetchone()
    finally:
        copy.close()
    if state != "ok":
        raise CommandError(f"The copy of the database is damaged: {state}.")
    fresh.chmod(0o600)
    return fresh.replace(target)


def copy_postgresql(folder: Path) -> Path:
    """A dump in PostgreSQL's custom format, made by pg_dump."""
    if shutil.which("pg_dump") is None:
        raise CommandError(
            "pg_dump is not on the PATH. Install the PostgreSQL client programs of the server's version."
        )
    database = connection.settings_dict
    fresh = folder / "database.pgdump.new"
    done = subprocess.run(
        ["pg_dump", "--format=custom", "--no-owner", "--no-privileges", f"--file={fresh}"],
        env={**os.environ, **postgresql_environment(database)},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise CommandError(f"pg_dump failed: {done.stderr.strip()}")
    fresh.chmod(0o600)
    return fresh.replace(folder / "database.pgdump")


def postgresql_environment(database: dict[str, Any]) -> dict[str, str]:
    """Connection settings for PostgreSQL's programs; the password appears on no command line."""
    names = {
        "PGHOST": "HOST",
        "PGPORT": "PORT",
        "PGUSER": "USER",
        "PGPASSWORD": "PASSWORD",
        "PGDATABASE": "NAME",
    }
    found = {variable: str(database[key]) for variable, key in names.items() if database.get(key)}
    if mode := database.get("OPTIONS", {}).get("sslmode"):
        found["PGSSLMODE"] = str(mode)
    return found


def copy_new_files(source: Path, target: Path) -> int:
    """Copy files missing from the target; stored files never change. Returns how many.

    Unfinished uploads are left out: their parts come and go, and who sends them can send them again.
    """
    copied = 0
    for path in sorted(source.rglob("*")):
        if path.is_relative_to(source / INCOMING):
            continue
        place = target / path.relative_to(source)
        if not path.is_file() or (place.exists() and place.stat().st_size == path.stat().st_size):
            continue
        place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        fresh = place.with_name(f"{place.name}.new")
        shutil.copy2(path, fresh)
        fresh.replace(place)
        copied += 1
    return copied


def copy_keys(folder: Path) -> list[str]:
    """Copy the keys that the server generated; returns their names."""
    drawn = [name for name in KEYS if (Path(settings.DATA_DIR) / name).exists()]
    for name in drawn:
        shutil.copy2(Path(settings.DATA_DIR) / name, folder / name)
        (folder / name).chmod(0o600)
    return drawn
