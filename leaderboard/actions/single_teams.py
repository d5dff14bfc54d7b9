"""What organisers do for one team or one person in it: an attempt, more time, a place on the boards, the roster.

Each act needs a reason, is an entry of the public log unless there is a reason against it, tells the team by mail, and
names the act that undoes it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from django.db import transaction
from django.utils import timezone

from leaderboard.models import (
    Attempt,
    AuditEntry,
    Extension,
    Membership,
    Phase,
    PhaseFigures,
    Standing,
    Submission,
    Team,
)
from leaderboard.models.extensions import QUOTAS
from leaderboard.models.locks import lock_rows
from leaderboard.models.text import moment

from .organisers import in_turn
from .records import need_reason, public_entry
from .refusals import Conflict, InvalidInput, NotAllowed, check_organiser
from .rosters import tell_owners
from .teams import end_membership


def give_attempt_back(user: Any, submission: Submission, reason: str, withhold: str = "") -> None:
    """The submission no longer takes anything from the team's quotas; its score stays. ``take_attempt_again`` undoes it."""
    with _for_one_team(user, submission.team, reason) as reason:
        attempt = Attempt.objects.filter(submission=submission).first()
        if attempt is None:
            raise Conflict(f"{submission} takes no attempt: reference entries have no quota.")
        if attempt.state == Attempt.State.GIVEN_BACK:
            raise Conflict(f"The attempt of {submission} has been given back already: {attempt.reason}")
        Attempt.objects.give_back(submission.pk, f"by the organisers: {reason}"[:120], timezone.now())
        _log("attempt given back", user, submission.team, str(submission), reason, withhold)
        tell_owners(
            submission.team,
            f"An attempt was given back: submission {submission.pk}",
            f"Submission {submission.pk} in {submission.phase.name} no longer takes anything from your quota. "
            f"Its score stays.\n\nReason: {reason}",
        )


def take_attempt_again(user: Any, submission: Submission, reason: str, withhold: str = "") -> None:
    """Undo ``give_attempt_back``: the submission takes from the quotas again, even beyond their limits."""
    with _for_one_team(user, submission.team, reason) as reason:
        given = Attempt.objects.filter(submission=submission, state=Attempt.State.GIVEN_BACK)
        if not given.filter(reason__startswith="by the organisers").exists():
            raise Conflict(f"No organiser has given the attempt of {submission} back.")
        Attempt.objects.take_again(submission.pk)
        _log("attempt taken again", user, submission.team, str(submission), reason, withhold)
        tell_owners(
            submission.team,
            f"An attempt counts again: submission {submission.pk}",
            f"Submission {submission.pk} in {submission.phase.name} counts towards your quota again.\n\nReason: {reason}",
        )


def extend(
    user: Any,
    team: Team,
    phase: Phase,
    reason: str,
    withhold: str = "",
    *,
    closes_at: datetime | None = None,
    quota_total: int | None = None,
    quota_per_day: int | None = None,
    quota_on_board: int | None = None,
) -> Extension:
    """Give one team a later end or larger quotas in a phase, in place of those that it was given before.

    Until its end, nothing is revealed to anyone that the phase's end reveals. ``end_extension`` undoes it.
    """
    if phase.competition_id != team.competition_id:
        raise InvalidInput(f"Choose a phase of {team.competition}.")
    own = {"quota_total": quota_total, "quota_per_day": quota_per_day, "quota_on_board": quota_on_board}
    _check_extends(phase, closes_at, own)
    with _for_one_team(user, team, reason) as reason:
        extension, _ = Extension.objects.update_or_create(
            team=team,
            phase=phase,
            defaults={
                **own,
                "closes_at": closes_at,
                "reason": reason,
                "granted_by": user,
                "granted_at": timezone.now(),
            },
        )
        _keep_latest_end(phase)
        sentence = extension_in_words(extension)
        _log("team extended", user, team, f"{team} in {phase.name}: {sentence}", reason, withhold)
        tell_owners(team, f"More for your team in {phase.name}", f"{sentence}\n\nReason: {reason}")
    return extension


def end_extension(user: Any, extension: Extension, reason: str, withhold: str = "") -> None:
    """Undo ``extend``: the phase's own end and quotas hold for the team again. What it has submitted stays."""
    team, phase = extension.team, extension.phase
    with _for_one_team(user, team, reason) as reason:
        if not Extension.objects.filter(pk=extension.pk).delete()[0]:
            raise Conflict(f"{team} has no extension in {phase.name} any more.")
        _keep_latest_end(phase)
        _log("extension ended", user, team, f"{team} in {phase.name}", reason, withhold)
        tell_owners(
            team,
            f"Your extension in {phase.name} has ended",
            f"The end and the quotas of {phase.name} hold for your team again as for everyone. What you have submitted "
            f"stays.\n\nReason: {reason}",
        )


def _check_extends(phase: Phase, closes_at: datetime | None, own: dict[str, int | None]) -> None:
    """Refuse what gives nothing, field by field."""
    errors: dict[str, list[str]] = {}
    if closes_at is not None and (phase.closes_at is None or closes_at <= phase.closes_at):
        end = f"ends on {moment(phase.closes_at)}" if phase.closes_at else "has no end"
        errors["closes_at"] = [f"{phase.name} {end} for everyone. Write a later time, or leave it empty."]
    for name in QUOTAS:
        limit, value = getattr(phase, name), own[name]
        if value is not None and (limit is None or value <= limit):
            everyone = f"has {limit}" if limit is not None else "has no limit"
            errors[name] = [f"Everyone {everyone} in {phase.name}. Write a larger number, or leave it empty."]
    if errors:
        raise InvalidInput(
            " ".join(sentence for found in errors.values() for sentence in found), fields=errors
        )
    if closes_at is None and not any(value is not None for value in own.values()):
        raise InvalidInput("Give a later end or a larger quota. To end an extension, use “End”.")


def extension_in_words(extension: Extension) -> str:
    """What the team has, as a sentence."""
    words = {
        "quota_total": "{} submissions in total",
        "quota_per_day": "{} submissions a day",
        "quota_on_board": "{} results on the board",
    }
    parts = [
        words[name].format(getattr(extension, name))
        for name in QUOTAS
        if getattr(extension, name) is not None
    ]
    if extension.closes_at:
        parts.insert(0, f"it can submit until {moment(extension.closes_at)}")
    return f"{', '.join(parts)}."[:1].upper() + f"{', '.join(parts)}."[1:]


def _keep_latest_end(phase: Phase) -> None:
    ends = Extension.objects.filter(phase=phase, closes_at__isnull=False).order_by("-closes_at")
    phase.extended_until = ends.values_list("closes_at", flat=True).first()
    Phase.objects.filter(pk=phase.pk).update(extended_until=phase.extended_until)
    Phase.objects.bump_board(phase.pk)


def hide_team(user: Any, team: Team, reason: str, withhold: str = "") -> None:
    """Take a team off every board, file and report; it keeps its submissions and may go on. ``show_team`` undoes it."""
    check_organiser(user, team.competition)
    if team.hidden_at is not None:
        raise Conflict(f"{team} is on no board already.")
    set_hidden(user, team, True, need_reason(reason), withhold)


def show_team(user: Any, team: Team, reason: str, withhold: str = "") -> None:
    """Undo ``hide_team``."""
    check_organiser(user, team.competition)
    if team.hidden_at is None:
        raise Conflict(f"{team} is not hidden.")
    set_hidden(user, team, False, need_reason(reason), withhold)


def set_hidden(user: Any, team: Team, hidden: bool, reason: str, withhold: str = "") -> None:
    """What both do, and what a bulk act does with each team: who may was asked when that began."""
    at = timezone.now() if hidden else None
    with _locked(team):
        Team.objects.filter(pk=team.pk).update(hidden_at=at)
        team.hidden_at = at
        for phase in Phase.objects.filter(submissions__team=team).distinct().order_by("pk"):
            Standing.objects.refresh(phase, team)
            PhaseFigures.objects.forget(phase)
        _log("team hidden" if hidden else "team shown again", user, team, str(team), reason, withhold)
        now = "is on no board any more" if hidden else "is on the boards again"
        tell_owners(
            team,
            f"{team} {now}",
            f"By a decision of the organisers your team {now}.\n\nReason: {reason}",
        )


def remove_from_team(
    user: Any, membership: Membership, reason: str, withhold: str = "", *, new_owner: str = ""
) -> None:
    """Take a member out, whether or not the roster is locked. Adding the person again undoes it.

    The last owner goes only when ``new_owner`` names another member (by user name); nobody leaves a team with
    submissions empty.
    """
    team, person = membership.team, membership.user
    with _for_one_team(user, team, reason) as reason:
        others = team.memberships.exclude(pk=membership.pk).select_related("user")
        if not others.exists() and team.submissions.exists():
            raise NotAllowed(
                f"{person} is the last member of {team}, which has submissions. Hide the team, or block the person."
            )
        owner = _next_owner(others, new_owner.strip(), person)
        if owner is not None:
            Membership.objects.filter(pk=owner.pk).update(role=Membership.Role.OWNER)
        _log("member removed", user, team, f"a member of {team}", reason, withhold, person=person.pk)
        text = f"{person} is no longer in {team}, by a decision of the organisers.\n\nReason: {reason}"
        tell_owners(team, f"{person} is no longer in {team}", text)
        end_membership(membership)


def _next_owner(others: Any, named: str, person: Any) -> Membership | None:
    """The member who becomes an owner; None where one stays. Raises InvalidInput if one must be named."""
    if named:
        found = others.filter(user__username=named).first()
        if found is None:
            raise InvalidInput(
                f"{named} is not another member of the team.",
                fields={"new_owner": [f"{named} is not another member of the team."]},
            )
        return found
    if others.exists() and not others.filter(role=Membership.Role.OWNER).exists():
        names = ", ".join(str(other.user) for other in others)
        sentence = f"{person} is the last owner. Name the member who becomes one: {names}."
        raise InvalidInput(sentence, fields={"new_owner": [sentence]})
    return None


@contextmanager
def _for_one_team(user: Any, team: Team, reason: str) -> Iterator[str]:
    """The frame of each act: who may, why, one transaction, and the locks in their order. Gives the reason, trimmed."""
    check_organiser(user, team.competition)
    reason = need_reason(reason)
    with _locked(team):
        yield reason


@contextmanager
def _locked(team: Team) -> Iterator[None]:
    with transaction.atomic():
        in_turn(team.competition)
        lock_rows(Team.objects.filter(pk=team.pk))
        lock_rows(Phase.objects.filter(pk__in=team.submissions.order_by().values("phase")))
        yield


def _log(act: str, user: Any, team: Team, subject: str, reason: str, withhold: str, **details: Any) -> None:
    entry = public_entry(reason, withhold)
    AuditEntry.objects.append(
        act,
        competition=team.competition,
        actor=user,
        subject=subject,
        reason=entry["reason"],
        details={"team": team.pk, **details, **entry["details"]},
        public=entry["public"],
    )
