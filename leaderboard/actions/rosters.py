"""Ask to join a team, and make two teams one."""

from typing import Any

from django.conf import settings
from django.db import IntegrityError, transaction
from django.utils import timezone

from leaderboard.models import (
    Attempt,
    AuditEntry,
    JoinRequest,
    Merger,
    MethodDescription,
    Phase,
    PhaseFigures,
    Standing,
    Submission,
    Team,
)
from leaderboard.models.locks import lock_rows
from leaderboard.notifications import mails

from .organisers import check_may_compete, in_turn
from .records import need_reason, public_entry
from .refusals import (
    Conflict,
    InvalidInput,
    NotAllowed,
    RosterLocked,
    TeamFull,
    check_fields,
    check_organiser,
)
from .teams import (
    add_member,
    check_has_no_team,
    check_not_too_many,
    check_owner,
    check_roster_open,
    keep_an_owner,
    moment,
)


def ask_to_join(user: Any, team: Team, message: str = "") -> JoinRequest:
    """Ask to join a team; its owners are notified by mail."""
    if team.is_organisers or team.merged_into_id:
        raise InvalidInput("Choose a team that takes part in the competition.")
    check_roster_open(team.competition, team)
    check_may_compete(user, team.competition)
    check_has_no_team(user, team.competition)
    check_not_too_many(user.join_requests.all(), "requests to join")
    asked = JoinRequest(team=team, user=user, message=message.strip())
    check_fields(asked, "message")
    try:
        with transaction.atomic():
            asked.save()
            tell_owners(team, f"{user} asks to join {team}", asked.message)
    except IntegrityError as error:
        raise Conflict(f"You have asked {team} already; its owners have not decided yet.") from error
    return asked


def decide_request(user: Any, asked: JoinRequest, accept: bool) -> None:
    """Take the person in, or decline."""
    check_owner(user, asked.team)
    with transaction.atomic():
        in_turn(asked.team.competition)
        _decide(asked, accept)
        if accept:
            add_member(asked.team, asked.user)


def withdraw_request(user: Any, asked: JoinRequest) -> None:
    """The person who asked withdraws the request."""
    if asked.user_id != user.pk:
        raise NotAllowed("Only the person who asked can withdraw a request.")
    _decide(asked, withdrawn=True)


def propose_merger(user: Any, team: Team, other: Team) -> Merger:
    """Offer another team to become part of one's own."""
    check_owner(user, team)
    if other.competition_id != team.competition_id or other.pk == team.pk:
        raise InvalidInput("Choose another team of the same competition.")
    if team.is_organisers or other.is_organisers or other.merged_into_id:
        raise InvalidInput("Choose a team that takes part in the competition.")
    check_mergers_open(team, other)
    check_not_too_many(team.proposed_mergers.all(), "offers of a team")
    try:
        with transaction.atomic():
            offered = Merger.objects.create(team=team, other=other, proposed_by=user)
            tell_owners(other, f"{team} proposes to merge with {other}", "")
    except IntegrityError as error:
        raise Conflict(f"{other} has that offer already and has not decided yet.") from error
    return offered


def decide_merger(user: Any, offered: Merger, accept: bool) -> None:
    """Accept or decline an offer. Accepted, members, submissions and used attempts of both teams become one team's."""
    check_owner(user, offered.other)
    with transaction.atomic():
        in_turn(offered.team.competition)
        _decide(offered, accept)
        if accept:
            check_mergers_open(offered.team, offered.other)
            _merge(offered)
            AuditEntry.objects.append(
                "teams merged",
                competition=offered.team.competition,
                actor=user,
                subject=f"{offered.other} into {offered.team}",
                public=True,
            )


def merge_teams(user: Any, team: Team, other: Team, reason: str, withhold: str = "") -> Merger:
    """An organiser makes ``other`` part of ``team``, whether or not rosters are locked. ``undo_merger`` undoes it."""
    check_organiser(user, team.competition)
    reason = need_reason(reason)
    if other.competition_id != team.competition_id or other.pk == team.pk:
        raise InvalidInput("Choose another team of the same competition.")
    if team.is_organisers or other.is_organisers or team.merged_into_id:
        raise InvalidInput("Choose two teams that take part in the competition.")
    with transaction.atomic():
        in_turn(team.competition)
        Merger.objects.open().filter(team=team, other=other).update(decided_at=timezone.now(), withdrawn=True)
        made = Merger.objects.create(
            team=team, other=other, proposed_by=user, decided_at=timezone.now(), accepted=True
        )
        owners = addresses_of(team), addresses_of(other)
        _merge(made)
        _log_merger("teams merged by the organisers", user, made, reason, withhold)
        text = f"The organisers have made {other} part of {team}: members, submissions and used attempts are one team's."
        for addresses in owners:
            tell(team, f"{other} is part of {team} now", f"{text}\n\nReason: {reason}", addresses)
    return made


def undo_merger(user: Any, merger: Merger, reason: str, withhold: str = "") -> None:
    """Part two teams again: what came from the other team goes back to it. What was made since stays with the team.

    A selection that the merger dropped, for two teams had selected too many, is not brought back.
    """
    team, other = merger.team, merger.other
    check_organiser(user, team.competition)
    reason = need_reason(reason)
    with transaction.atomic():
        in_turn(team.competition)
        held = {row.pk: row for row in lock_rows(Team.objects.filter(pk__in=[team.pk, other.pk]))}
        if not merger.accepted or held[other.pk].merged_into_id != team.pk:
            raise Conflict(f"{other} is not part of {team}. If {team} has merged since, undo that first.")
        if merger.moved is None:
            raise Conflict(
                "This merger is from before the server kept what came from whom; it cannot be undone."
            )
        _part(team, other, merger.moved)
        Merger.objects.filter(pk=merger.pk).update(accepted=False, withdrawn=True)
        _log_merger("merger undone", user, merger, reason, withhold)
        for each in (team, other):
            text = f"{other} is a team of its own again, with what came from it.\n\nReason: {reason}"
            tell_owners(each, f"{team} and {other} are two teams again", text)
    merger.refresh_from_db()


def _log_merger(act: str, user: Any, merger: Merger, reason: str, withhold: str) -> None:
    subject = (
        f"{merger.other} and {merger.team}"
        if act == "merger undone"
        else f"{merger.other} into {merger.team}"
    )
    AuditEntry.objects.append(
        act,
        competition=merger.team.competition,
        actor=user,
        subject=subject,
        **public_entry(reason, withhold),
    )


def withdraw_merger(user: Any, offered: Merger) -> None:
    """An owner of the proposing team withdraws the offer."""
    check_owner(user, offered.team)
    _decide(offered, withdrawn=True)


def check_mergers_open(*teams: Team) -> None:
    competition = teams[0].competition
    for team in teams:
        check_roster_open(competition, team)
    until = competition.mergers_until
    if until is not None and timezone.now() >= until:
        raise RosterLocked(f"Teams of {competition} could merge until {moment(until)}.")


def _decide(row: JoinRequest | Merger, accepted: bool = False, withdrawn: bool = False) -> None:
    """Close it as accepted, withdrawn or (neither) declined; the first decision counts."""
    waiting = type(row).objects.open().filter(pk=row.pk)
    if not waiting.update(decided_at=timezone.now(), accepted=accepted, withdrawn=withdrawn):
        raise Conflict(f"This {row._meta.verbose_name} has already been decided.")
    row.refresh_from_db(fields=["decided_at", "accepted", "withdrawn"])


def _merge(merger: Merger) -> None:
    """Make one team of two, and keep in the merger what came from the other one."""
    team, other = merger.team, merger.other
    if any(row.merged_into_id for row in lock_rows(Team.objects.filter(pk__in=[team.pk, other.pk]))):
        raise Conflict("One of the two teams has since merged into another.")
    limit, together = team.competition.max_team_size, team.memberships.count() + other.memberships.count()
    if limit is not None and together > limit:
        raise TeamFull(f"Together you would be {together} people; a team may have {limit}.")
    theirs = Submission.objects.filter(team=other)
    moved = {
        "members": list(other.memberships.values_list("user", flat=True)),
        "submissions": list(theirs.order_by("pk").values_list("pk", flat=True)),
        "teams": list(other.merged_teams.values_list("pk", flat=True)),
        "description": not MethodDescription.objects.filter(team=team).exists(),
    }
    Merger.objects.filter(pk=merger.pk).update(moved=moved)
    merger.moved = moved
    phases = lock_rows(Phase.objects.filter(pk__in=theirs.values("phase")))
    for phase in phases:
        _keep_to_selected_limit(phase, team, other)
    Attempt.objects.filter(team=other).move_to(team)
    theirs.update(team=team, idempotency_key=None)
    other.memberships.update(team=team)
    if moved["description"]:
        MethodDescription.objects.filter(team=other).update(team=team)
    Team.objects.filter(merged_into=other).update(merged_into=team)
    Team.objects.filter(pk=other.pk).update(merged_into=team)
    other.merged_into = team
    _end_what_waits(other)
    for phase in phases:
        Standing.objects.refresh(phase, other)
        Standing.objects.refresh(phase, team)
        PhaseFigures.objects.forget(phase)


def _part(team: Team, other: Team, moved: dict[str, Any]) -> None:
    """Give back to ``other`` what came from it."""
    back = team.memberships.filter(user__in=moved["members"])
    if not back.exists():
        raise Conflict(
            f"None of the members of {other} is in {team} any more, so nobody would be in {other}."
        )
    if not team.memberships.exclude(pk__in=back.values("pk")).exists():
        raise Conflict(f"Nobody but the members of {other} is in {team} any more, so nobody would stay.")
    theirs = Submission.objects.filter(team=team, pk__in=moved["submissions"])
    phases = lock_rows(Phase.objects.filter(pk__in=theirs.values("phase")))
    numbers = list(theirs.values_list("pk", flat=True))
    back.update(team=other)
    Attempt.objects.filter(submission__in=numbers).move_to(other)
    Submission.objects.filter(pk__in=numbers).update(team=other, idempotency_key=None)
    if moved["description"]:
        MethodDescription.objects.filter(team=team).update(team=other)
    Team.objects.filter(pk__in=moved["teams"]).update(merged_into=other)
    Team.objects.filter(pk=other.pk).update(merged_into=None)
    other.merged_into = None
    for each in (team, other):
        keep_an_owner(each)
        for phase in phases:
            Standing.objects.refresh(phase, each)
    for phase in phases:
        PhaseFigures.objects.forget(phase)


def _keep_to_selected_limit(phase: Phase, team: Team, other: Team) -> None:
    """Where both have selected more than one team may, only what the team that stays has selected counts."""
    theirs = Submission.objects.standing().filter(phase=phase, team=other, selected=True)
    both = (
        theirs.count() + Submission.objects.standing().filter(phase=phase, team=team, selected=True).count()
    )
    if both > phase.selected_limit:
        theirs.update(selected=False)


def _end_what_waits(gone: Team) -> None:
    """Close what was pending for a team that has merged into another."""
    now = timezone.now()
    gone.invitations.open().update(revoked_at=now)
    for rows in (gone.join_requests, gone.proposed_mergers, gone.offered_mergers):
        rows.filter(decided_at=None).update(decided_at=now)


def tell_owners(team: Team, subject: str, message: str) -> None:
    """A mail to every owner of the team that has an address. Inside the caller's transaction."""
    tell(team, subject, message, addresses_of(team))


def addresses_of(team: Team) -> list[str]:
    """Those of the team's owners."""
    owners = team.memberships.filter(role="owner").exclude(user__email="")
    return list(owners.values_list("user__email", flat=True))


def tell(team: Team, subject: str, message: str, addresses: list[str]) -> None:
    link = f"{settings.SITE_URL}/c/{team.competition.slug}/team/"
    text = f"{message}\n\nYour team's page: {link}\n"
    mails.send(team.competition, subject, text, addresses)
