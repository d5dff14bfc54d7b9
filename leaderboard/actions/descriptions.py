"""Method descriptions: hand one in, judge it, and what follows from it: who is eligible for awards."""

import hashlib
from typing import Any

from django.core.files import File
from django.db import transaction
from django.utils import timezone

from leaderboard.models import AuditEntry, MethodDescription, Team
from leaderboard.models.text import moment

from .records import need_reason
from .refusals import Conflict, InvalidInput, NotAllowed, RosterLocked, check_organiser
from .rosters import tell_owners

LARGEST_DESCRIPTION = 5 * 2**20


def hand_in_description(user: Any, team: Team, file: File | None) -> MethodDescription:
    """Keep the team's method description (PDF); a later one replaces it, and its verdict, until the due date."""
    if not team.has_member(user):
        raise NotAllowed("Only members of the team can hand in its description.")
    due = team.competition.descriptions_due_at
    if due is not None and timezone.now() > due:
        raise RosterLocked(f"Descriptions were due on {moment(due)}.")
    content = _read_pdf(file)
    description, _ = MethodDescription.objects.update_or_create(
        team=team,
        defaults={
            "pdf": content,
            "sha256": hashlib.sha256(content).hexdigest(),
            "members": list(team.members.order_by("username").values_list("username", flat=True)),
            "uploaded_by": user,
            "uploaded_at": timezone.now(),
            "verdict": MethodDescription.Verdict.OPEN,
            "verdict_reason": "",
        },
    )
    return description


def _read_pdf(file: File | None) -> bytes:
    if file is None:
        raise InvalidInput("Choose the PDF that describes your method.")
    if not file.size or file.size > LARGEST_DESCRIPTION:
        raise InvalidInput(
            f"The file has {file.size or 0:,} bytes; send a PDF of at most {LARGEST_DESCRIPTION:,} bytes."
        )
    content = file.read()
    if not content.startswith(b"%PDF-"):
        raise InvalidInput(
            "This is not a PDF. Save the description (one or two pages) as a PDF and send that."
        )
    return content


def accept_description(user: Any, description: MethodDescription, reason: str) -> None:
    _judge(user, description, MethodDescription.Verdict.ACCEPTED, reason)


def rule_out(user: Any, description: MethodDescription, reason: str) -> None:
    """The team is not eligible with this description; its owners read why. Awards it has are taken back before."""
    held = description.team.awards.values_list("title", flat=True).first()
    if held is not None:
        raise Conflict(f"{description.team} holds the award {held!r}. Take it back first.")
    _judge(user, description, MethodDescription.Verdict.INELIGIBLE, reason)


def _judge(user: Any, description: MethodDescription, verdict: str, reason: str) -> None:
    """The verdict applies to the file that was reviewed; a newer one needs its own."""
    team = description.team
    check_organiser(user, team.competition)
    reason = need_reason(reason)
    with transaction.atomic():
        seen = MethodDescription.objects.filter(pk=description.pk, sha256=description.sha256)
        if not seen.update(verdict=verdict, verdict_reason=reason[:300]):
            raise Conflict(f"{team} has since handed in another description. Review that one.")
        AuditEntry.objects.append(
            f"description {MethodDescription.Verdict(verdict).label}",
            competition=team.competition,
            actor=user,
            subject=str(team),
            reason=reason,
            details={"sha256": description.sha256},
        )
        if verdict == MethodDescription.Verdict.INELIGIBLE:
            tell_owners(team, "Your method description is ruled out", reason)
    description.refresh_from_db(fields=["verdict", "verdict_reason"])


def why_not_eligible(team: Team) -> str:
    """Why the team cannot receive awards, in a sentence; empty when it can."""
    rule = Team.objects.with_eligibility().values_list("not_eligible", flat=True).get(pk=team.pk)  # type: ignore[misc]  # an annotation
    if rule == "organisers":
        return f"{team} is the organisers' own team."
    if rule == "merged":
        return f"{team} has become part of {team.merged_into}."
    if rule == "hidden":
        return f"The organisers have taken {team} off the boards."
    if rule == "ruled out":
        return f"The organisers have ruled the method description out: {team.description.verdict_reason}"
    due = team.competition.descriptions_due_at
    if not rule or due is None:
        return ""
    if timezone.now() <= due:
        return f"No method description has been handed in yet. It is due on {moment(due)}."
    return f"No method description was handed in by {moment(due)}."
