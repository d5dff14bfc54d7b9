"""Reports of phases: ask for one, publish it, take it back."""

from typing import Any

from django.db import transaction
from django.utils import timezone

from leaderboard.models import AuditEntry, Phase, PhaseReport
from leaderboard.reports import ring

from .judging import check_organiser
from .refusals import Conflict


def request_report(user: Any, phase: Phase) -> PhaseReport:
    """Have the report of a phase built by a worker; one that is still waited for is not asked for twice."""
    check_organiser(user, phase)
    with transaction.atomic():
        Phase.objects.select_for_update().get(pk=phase.pk)
        waiting = PhaseReport.objects.waiting(timezone.now()).filter(phase=phase).first()
        row = waiting or PhaseReport.objects.create(phase=phase, requested_by=user)
        transaction.on_commit(ring, robust=True)
    return row


def publish_report(user: Any, report: PhaseReport, reason: str = "") -> None:
    """Show a report to everyone. It can be published once the phase has ended."""
    check_organiser(user, report.phase)
    if report.built_at is None:
        raise Conflict("This report is not built yet.")
    phase = Phase.objects.get(pk=report.phase_id)  # its end may have been moved
    if not phase.has_closed(timezone.now()):
        raise Conflict(f"{phase.name} has not ended. Its report can be published afterwards.")
    _publish(user, report, "report published", reason, timezone.now())


def withdraw_report(user: Any, report: PhaseReport, reason: str = "") -> None:
    """Hide a published report again; the log keeps that it was public."""
    check_organiser(user, report.phase)
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
