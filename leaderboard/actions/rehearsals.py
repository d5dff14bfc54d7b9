"""Ask for a rehearsal: a worker plays the competition's calendar on a scratch database of its own."""

from typing import Any

from django.db import transaction

from leaderboard.celery import app
from leaderboard.models import AuditEntry, Competition, Rehearsal
from leaderboard.platform.bell import ring_on_commit

from .competition_download import toml_of
from .organisers import in_turn
from .refusals import Conflict, check_organiser

TASK = "rehearsal.tasks.work"  # by its name: the rehearsal stands above the actions


def request_rehearsal(user: Any, competition: Competition) -> Rehearsal:
    """Queue a rehearsal of the competition as it is now; one at a time."""
    check_organiser(user, competition)
    with transaction.atomic():
        in_turn(competition)
        if competition.rehearsals.filter(finished_at=None).exists():
            raise Conflict(f"A rehearsal of {competition} has not ended yet.")
        run = Rehearsal.objects.create(
            competition=competition, requested_by=user, document=toml_of(competition, with_data=False)
        )
        AuditEntry.objects.append(
            "rehearsal requested", competition=competition, actor=user, subject=str(run)
        )
        ring_on_commit(app.signature(TASK))
    return run
