"""What nobody needs any more: sessions that have ended, and what uploads left behind whose web process was killed."""

import time
from pathlib import Path

from celery import shared_task
from django.conf import settings
from django.core.management import call_command

LONGEST_UPLOAD_SECONDS = 24 * 3600  # far beyond any time-out: what is older belongs to no request


@shared_task(name="leaderboard.platform.housekeeping.work")
def work() -> str:
    call_command("clearsessions")
    removed = remove_leftovers(Path(settings.FILE_UPLOAD_TEMP_DIR), time.time() - LONGEST_UPLOAD_SECONDS)
    return f"{removed} left files removed"


def remove_leftovers(folder: Path, before: float) -> int:
    """Delete the files in which nothing was written since ``before`` (seconds of the epoch); returns their number."""
    removed = 0
    for path in folder.iterdir():
        try:
            if path.is_file() and path.stat().st_mtime < before:
                path.unlink()
                removed += 1
        except FileNotFoundError:  # a request has ended, or another worker was first
            continue
    return removed
