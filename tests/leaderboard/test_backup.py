"""A backup brings the server back: on SQLite into another data folder, on PostgreSQL into another database."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from django.conf import settings
from django.core.management import CommandError, call_command
from django.db import connection

from leaderboard.management.commands import backup
from leaderboard.models import AuditEntry, Submission
from leaderboard.models.uploads import INCOMING
from tests.conftest import ROOT, process_environment
from tests.leaderboard.factories import make_cast, make_submission
from tests.services import _postgresql_programs

SHOW = """
import hashlib, django; django.setup()
from leaderboard.models import AuditEntry, Standing, Submission, User
made = Submission.objects.get()
print(made.method, made.evaluation.tp, Standing.objects.get().submission_id == made.pk, made.archive.read().decode())
print(User.objects.get(username="owner").check_password("a-long-enough-password"), AuditEntry.objects.first_broken())
"""


@pytest.fixture
def submission(transactional_db: None) -> Submission:
    cast = make_cast()
    AuditEntry.objects.append("made", competition=cast.competition)
    return make_submission(cast.team, cast.phase, content=b"the archive")


@pytest.fixture
def programs(monkeypatch: pytest.MonkeyPatch) -> Path:
    """PostgreSQL's client programs on the PATH."""
    if connection.vendor != "postgresql":
        pytest.skip("runs on PostgreSQL")
    folder = _postgresql_programs()
    if not (folder / "pg_dump").exists():
        pytest.skip("NO pg_dump beside this PostgreSQL")
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    return folder


def shown_by(**environment: str) -> str:
    """What a server on the restored data reads."""
    done = subprocess.run(
        [sys.executable, "-c", SHOW],
        cwd=ROOT,
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "leaderboard.settings", **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


EXPECTED = "U-Net 80 True the archive\nFalse None\n"  # the tests' password hasher is none of the server's


@pytest.mark.skipif("config.getoption('backend') != 'sqlite'", reason="runs on SQLite")
def test_sqlite_comes_back(submission: Submission, tmp_path: Path) -> None:
    call_command("backup", str(tmp_path / "backup"))
    restored = tmp_path / "restored"
    shutil.copytree(tmp_path / "backup", restored)
    (restored / "database.sqlite3").rename(restored / "db.sqlite3")
    assert shown_by(DATA_DIR=str(restored), DATABASE_URL="") == EXPECTED
    assert not [path for path in (tmp_path / "backup").rglob("*") if path.is_file() and path.stat().st_mode & 0o077 and path.name != "backup.json"]  # fmt: skip


def test_postgresql_comes_back(submission: Submission, tmp_path: Path, programs: Path) -> None:
    call_command("backup", str(tmp_path / "backup"))
    name = f"{connection.settings_dict['NAME']}_restored"
    environment = {**os.environ, **backup.postgresql_environment(connection.settings_dict)}
    subprocess.run([programs / "createdb", name], env=environment, check=True)
    try:
        dump = tmp_path / "backup" / "database.pgdump"
        command = [programs / "pg_restore", "--no-owner", "--exit-on-error", f"--dbname={name}", dump]
        subprocess.run(command, env=environment, check=True)
        url = process_environment()["DATABASE_URL"].rpartition("/")[0] + f"/{name}"
        assert shown_by(DATA_DIR=str(tmp_path / "backup"), DATABASE_URL=url, REDIS_URL="") == EXPECTED
    finally:
        subprocess.run([programs / "dropdb", "--force", name], env=environment, check=True)


def test_unfinished_uploads_are_left_out(tmp_path: Path) -> None:
    for name in ("1/1/archive.zip", f"{INCOMING}/an-upload/0-part"):
        (tmp_path / "uploads" / name).parent.mkdir(parents=True)
        (tmp_path / "uploads" / name).write_bytes(b"PK")
    assert backup.copy_new_files(tmp_path / "uploads", tmp_path / "copy") == 1
    assert not (tmp_path / "copy" / INCOMING).exists()


def test_again_copies_only_what_is_new(
    submission: Submission,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    if connection.vendor == "postgresql":
        monkeypatch.setattr(backup, "copy_postgresql", lambda folder: folder / "database.pgdump")
    call_command("backup", str(tmp_path))
    call_command("backup", str(tmp_path))
    assert "and 0 new files" in capsys.readouterr().out
    make_submission(submission.team, submission.phase)
    call_command("backup", str(tmp_path))
    assert "and 1 new files" in capsys.readouterr().out


def test_the_key_is_kept_where_the_server_drew_it(tmp_path: Path) -> None:
    key = Path(settings.DATA_DIR) / "secret_key"
    key.write_text("drawn")
    try:
        assert "secret_key" in backup.copy_keys(tmp_path)
        assert (tmp_path / "secret_key").read_text() == "drawn"
        assert (tmp_path / "secret_key").stat().st_mode & 0o777 == 0o600
    finally:
        key.unlink()
    assert "secret_key" not in backup.copy_keys(tmp_path)


def test_a_folder_that_cannot_be_written(db: None, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(CommandError, match="cannot be written"):
        call_command("backup", str(tmp_path / "file"))


def test_without_pg_dump(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(CommandError, match="pg_dump is not on the PATH"):
        backup.copy_postgresql(tmp_path)


def test_earlier_receipts_still_verify_after_a_restore(submission: Submission, tmp_path: Path) -> None:
    drawn = Path(settings.DATA_DIR) / "receipt_key"
    drawn.write_text("drawn")
    try:
        call_command("backup", str(tmp_path))
    finally:
        drawn.unlink()
    assert (tmp_path / "receipt_key").read_text() == "drawn"


def test_the_compose_service_makes_backups_that_restore(submission, programs, tmp_path):
    """deploy/backup.sh against this database: what a dump and the copied files bring back, and what is removed."""
    source, target = tmp_path / "data", tmp_path / "backup"
    target.mkdir()
    shutil.copytree(settings.DATA_DIR / "uploads", source / "uploads")
    (source / "uploads" / INCOMING).mkdir(exist_ok=True)
    (source / "uploads" / INCOMING / "part").write_bytes(b"unfinished")
    (source / "receipt_key").write_text("key")
    for age in range(1, 5):
        old = target / f"database-2022010{age}T000000Z.pgdump"
        old.touch()
        os.utime(old, (0, 0))
    (tmp_path / "password").write_text("not asked for here\n")
    environment = {
        **os.environ,
        **backup.postgresql_environment(connection.settings_dict),
        "DATA_FOLDER": str(source),
        "BACKUP_FOLDER": str(target),
        "BACKUP_KEEP": "3",
        "PGPASSWORD_FILE": str(tmp_path / "password"),
    }
    script = ["bash", ROOT / "deploy/backup.sh"]
    before = subprocess.run([*script, "check"], env=environment, capture_output=True, text=True)
    assert (before.returncode, before.stdout) == (1, f"No dump in {target} is younger than 48 hours.\n")
    made = subprocess.run([*script, "once"], env=environment, capture_output=True, text=True)
    assert made.returncode == 0, made.stderr
    assert subprocess.run([*script, "check"], env=environment).returncode == 0
    dumps = sorted(path.name for path in target.glob("*.pgdump*"))
    assert dumps[:2] == ["database-20220103T000000Z.pgdump", "database-20220104T000000Z.pgdump"]
    assert len(dumps) == 3
    assert (target / dumps[2]).stat().st_mode & 0o077 == 0
    assert not (target / "uploads" / INCOMING).exists()
    assert (target / "receipt_key").read_text() == "key"
    listed = subprocess.run(
        ["pg_restore", "--list", target / dumps[2]], capture_output=True, text=True
    ).stdout
    assert "leaderboard_submission" in listed
    copied = {path.name: path.read_bytes() for path in (target / "uploads").rglob("*") if path.is_file()}
    assert b"the archive" in copied.values()
    assert subprocess.run([*script, "twice"], env=environment).returncode == 2
