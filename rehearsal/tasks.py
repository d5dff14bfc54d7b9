"""The worker's side of a rehearsal that was requested at the desk."""

from pathlib import Path
from tempfile import TemporaryDirectory

import structlog
from celery import shared_task
from django.db.models import F
from django.utils import timezone

from leaderboard.models import Evaluation, Rehearsal
from leaderboard.models.rehearsals import LONGEST

from . import scratch

log = structlog.get_logger(__name__)

MOST_CHARACTERS = 200_000


@shared_task(name="rehearsal.tasks.work")
def work() -> str:
    """Play the rehearsal that has waited longest, unless new submissions are queued."""
    now = timezone.now()
    if Evaluation.objects.due(now).filter(priority=Evaluation.Priority.FRESH).exists():
        return "submissions first"
    run = Rehearsal.objects.waiting(now).first()
    if run is None:
        return "nothing waits"
    claimed = Rehearsal.objects.waiting(now).filter(pk=run.pk, tries=run.tries)
    if not claimed.update(started_at=now, tries=F("tries") + 1):
        return "lost"
    return play(run)


def play(run: Rehearsal) -> str:
    """Play a claimed rehearsal in a process of its own; returns the row's state."""
    with TemporaryDirectory(prefix="rehearsed-") as folder:
        path = Path(folder) / "competition.toml"
        path.write_text(run.document, encoding="utf-8")
        code, said = scratch.capture(str(path), seconds=LONGEST.total_seconds() - 60)
    run.all_held = {0: True, 1: False}.get(code)
    if run.all_held is False and "rules held" not in said:
        run.all_held = None  # it ended before it could report
    run.report = said.replace(str(path), "the file")[-MOST_CHARACTERS:]
    run.finished_at = timezone.now()
    run.save(update_fields=["all_held", "report", "finished_at"])
    log.info("rehearsed", rehearsal=run.pk, state=run.state)
    return run.state
