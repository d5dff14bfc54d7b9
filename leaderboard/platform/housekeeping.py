"""Clean-up: expired sessions, and files left by uploads whose web process was killed."""

import time
from pathlib import Path

from celery import shared_task
from django.conf import settings
from django.core.management import call_command

LONGEST_UPLOAD_SECONDS = 24 * 3600  # far beyond any timeout: no request still uses an older file


@shared_task(name="leaderboard.platform.housekeeping.work")
def work() -> str:
    call_command("clearsessions")
    removed = remove_leftovers(Path(settings.FILE_UPLOAD_TEMP_DIR), time.time() - LONGEST_UPLOAD_SECONDS)
    return f"{removed} left files removed"


def remove_leftovers(folder: Path, before: float) -> int:
    """Delete files last modified before ``before`` (seconds since the epoch); returns their number."""
    removed = 0
    for path in folder.iterdir():
        try:
            if path.is_file() and path.stat().st_mtime < before:
                path.unlink()
                removed += 1
        except FileNotFoundError:  # its request has ended, or another worker deleted it first
            continue
    return removed
