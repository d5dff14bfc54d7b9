"""Reports of phases: ask for one, publish it, take it back."""

from datetime import datetime
from typing import Any

from django.contrib.auth.models import AnonymousUser
from django.db import transaction
from django.utils import timezone

from leaderboard.models import AuditEntry, Phase, PhaseReport
from leaderboard.models.locks import lock_rows
from leaderboard.models.visibility import snapshots_may_be_public, view_of
from leaderboard.platform.bell import ring_on_commit
from leaderboard.reporting.reports import work

from .judging import why_not_final
from .refusals import Conflict, InvalidInput, check_organiser


def request_report(user: Any, phase: Phase, as_of: datetime | None = None) -> PhaseReport:
    """Have the report of a phase built by a worker; one that is still waited for is not asked for twice.

    ``as_of``: only what was received before counts. The report of a phase without end is as of now, if nothing is said.
    """
    check_organiser(user, phase.competition)
    asked_for, as_of = as_of, check_as_of(phase, as_of)
    with transaction.atomic():
        lock_rows(Phase.objects.filter(pk=phase.pk))
        same = {"as_of": asked_for} if asked_for else {}
        waiting = PhaseReport.objects.waiting(timezone.now()).filter(phase=phase, **same).first()
        row = waiting or PhaseReport.objects.create(phase=phase, requested_by=user, as_of=as_of)
        ring_on_commit(work)
    return row


def check_as_of(phase: Phase, as_of: datetime | None) -> datetime | None:
    now = timezone.now()
    if as_of is not None and not phase.opens_at < as_of <= now:
        sentence = f"Choose a date after the beginning of {phase.name} that has passed."
        raise InvalidInput(sentence, fields={"as_of": [sentence]})
    return now if as_of is None and phase.closes_at is None else as_of


def publish_report(user: Any, report: PhaseReport, reason: str = "") -> None:
    """Show a report to everyone: once the phase has ended; that of a phase without end as soon as it is built, unless
    the phase hides, freezes or coarsens its board."""
    check_organiser(user, report.phase.competition)
    if report.built_at is None:
        raise Conflict("This report is not built yet.")
    phase = Phase.objects.get(pk=report.phase_id)  # its end may have been moved
    now = timezone.now()
    if phase.closes_at and (refusal := why_not_final(phase, now)):
        raise refusal
    built_at = report.started_at or report.built_at
    if report.as_of is None and phase.uploads_end_at and built_at < phase.uploads_end_at:
        raise Conflict(
            f"This report was built before {phase.name} ended and lacks what came after. Have a new one built."
        )
    if not (
        phase.uploads_have_ended(now) or snapshots_may_be_public(phase, view_of(phase, AnonymousUser(), now))
    ):
        raise Conflict(
            f"{phase.name} has no end and shows less than the exact scores; a report would tell them. Give it an end."
        )
    _publish(user, report, "report published", reason, timezone.now())


def withdraw_report(user: Any, report: PhaseReport, reason: str = "") -> None:
    """Hide a published report again; the log keeps that it was public."""
    check_organiser(user, report.phase.competition)
    _publish(user, report, "report withdrawn", reason, None)


def _publish(user: Any, report: PhaseReport, act: str, reason: str, at: Any) -> None:
    with transaction.atomic():
        PhaseReport.objects.filter(pk=report.pk).update(published_at=at)
        AuditEntry.objects.append(
            act,
            competition=report.phase.competition,
            actor=user,
            subject=f"{report.phase.name}: report {report.pk}",
            reason=reason,
            details={"phase": report.phase_id, "report": report.pk, "snapshot": report.snapshot},
            public=True,
        )
    report.refresh_from_db(fields=["published_at"])
