"""What every act of an organiser has: a reason, and an entry of the log."""

from typing import Any

from leaderboard.models import AuditEntry, Phase

from .refusals import InvalidInput


def need_reason(reason: str) -> str:
    if not reason.strip():
        raise InvalidInput("Please give a reason; it is kept in the log.")
    return reason.strip()


def public_entry(reason: str, withhold: str = "") -> dict[str, Any]:
    """Arguments of an audit entry that everyone may read, unless the organiser gives a reason to withhold it."""
    withheld = {"withheld": withhold.strip()} if withhold.strip() else {}
    return {"reason": reason.strip(), "public": not withheld, "details": withheld}


def log_act(
    act: str,
    user: Any,
    phase: Phase,
    subject: str,
    reason: str,
    details: dict[str, Any],
    *,
    public: bool = False,
) -> None:
    AuditEntry.objects.append(
        act,
        competition=phase.competition,
        actor=user,
        subject=f"{phase.name}: {subject}",
        reason=reason,
        details={"phase": phase.pk, **details},
        public=public,
    )
