"""Ask to join, merge teams, hand in a method description, give awards."""

import hashlib
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.files import File
from django.core.mail import send_mail
from django.db import IntegrityError, transaction
from django.utils import timezone

from leaderboard.models import (
    Attempt,
    AuditEntry,
    Award,
    Competition,
    JoinRequest,
    Merger,
    MethodDescription,
    Phase,
    Standing,
    Submission,
    Team,
)

from .refusals import Conflict, InvalidInput, NotAllowed, RosterLocked, TeamFull
from .teams import add_member, check_has_no_team, check_owner, check_roster_open

LARGEST_DESCRIPTION = 5 * 2**20


def ask_to_join(user: Any, team: Team, message: str = "") -> JoinRequest:
    """Ask the owners of a team to be taken in; they are told by mail."""
    check_roster_open(team.competition)
    check_has_no_team(user, team.competition)
    asked = JoinRequest(team=team, user=user, message=message.strip())
    _check_texts(asked)
    try:
        with transaction.atomic():
            asked.save()
            transaction.on_commit(lambda: _tell_owners(team, f"{user} asks to join {team}", asked.message))
    except IntegrityError as error:
        raise Conflict(f"You have asked {team} already; its owners have not decided yet.") from error
    return asked


def decide_request(user: Any, asked: JoinRequest, accept: bool) -> None:
    """Take the person in, or decline."""
    check_owner(user, asked.team)
    with transaction.atomic():
        if (
            not JoinRequest.objects.open()
            .filter(pk=asked.pk)
            .update(decided_at=timezone.now(), accepted=accept)
        ):
            raise Conflict("This request has been decided already.")
        if accept:
            add_member(asked.team, asked.user)


def propose_merger(user: Any, team: Team, other: Team) -> Merger:
    """Offer another team to become part of one's own."""
    check_owner(user, team)
    if (
        other.competition_id != team.competition_id
        or other.pk == team.pk
        or other.is_organisers
        or other.merged_into
    ):
        raise InvalidInput("Choose another team of the same competition.")
    check_mergers_open(team.competition)
    try:
        with transaction.atomic():
            offered = Merger.objects.create(team=team, other=other, proposed_by=user)
            transaction.on_commit(lambda: _tell_owners(other, f"{team} proposes to merge with {other}", ""))
    except IntegrityError as error:
        raise Conflict(f"{other} has that offer already and has not decided yet.") from error
    return offered


def decide_merger(user: Any, offered: Merger, accept: bool) -> None:
    """Accept or decline an offer. Accepted, members, submissions and used attempts of both teams become one team's."""
    check_owner(user, offered.other)
    with transaction.atomic():
        if not Merger.objects.open().filter(pk=offered.pk).update(decided_at=timezone.now(), accepted=accept):
            raise Conflict("This offer has been decided already.")
        if accept:
            check_mergers_open(offered.team.competition)
            _merge(offered.team, offered.other)
            AuditEntry.objects.append(
                "teams merged",
                competition=offered.team.competition,
                actor=user,
                subject=f"{offered.other} into {offered.team}",
                public=True,
            )


def check_mergers_open(competition: Competition) -> None:
    check_roster_open(competition)
    until = competition.mergers_until
    if until is not None and timezone.now() >= until:
        raise RosterLocked(f"Teams of {competition} could merge until {until:%d %B %Y, %H:%M} UTC.")


def _merge(team: Team, other: Team) -> None:
    locked = {
        row.pk: row
        for row in Team.objects.select_for_update().filter(pk__in=[team.pk, other.pk]).order_by("pk")
    }
    if any(row.merged_into_id for row in locked.values()):
        raise Conflict("One of the two teams has become part of another one meanwhile.")
    limit, together = team.competition.max_team_size, team.memberships.count() + other.memberships.count()
    if limit is not None and together > limit:
        raise TeamFull(f"Together you would be {together} people; a team may have {limit}.")
    phases = list(Phase.objects.filter(submissions__team=other).distinct())
    Attempt.objects.filter(team=other).move_to(team)
    Submission.objects.filter(team=other).update(team=team, idempotency_key=None)
    other.memberships.update(team=team)
    Team.objects.filter(pk=other.pk).update(merged_into=team)
    other.merged_into = team
    for phase in phases:
        Standing.objects.refresh(phase, other)
        Standing.objects.refresh(phase, team)


def hand_in_description(user: Any, team: Team, file: File) -> MethodDescription:
    """Keep the team's method description (PDF); a later one replaces it until the due date."""
    if not team.has_member(user):
        raise NotAllowed("Only members of the team can hand in its description.")
    due = team.competition.descriptions_due_at
    if due is not None and timezone.now() > due:
        raise RosterLocked(f"Descriptions were due on {due:%d %B %Y, %H:%M} UTC.")
    if not file.size or file.size > LARGEST_DESCRIPTION:
        raise InvalidInput(
            f"The file has {file.size or 0:,} bytes; a PDF of at most {LARGEST_DESCRIPTION:,} is taken."
        )
    content = file.read()
    if not content.startswith(b"%PDF-"):
        raise InvalidInput("This is no PDF. Save the description (one or two pages) as a PDF and send that.")
    description, _ = MethodDescription.objects.update_or_create(
        team=team,
        defaults={
            "pdf": content,
            "sha256": hashlib.sha256(content).hexdigest(),
            "members": [str(member) for member in team.members.order_by("username")],
            "uploaded_by": user,
            "uploaded_at": timezone.now(),
        },
    )
    return description


def give_award(user: Any, competition: Competition, team: Team, title: str, citation: str = "") -> Award:
    """An award to an eligible team; the committee's prize is given the same way."""
    if not competition.is_organised_by(user):
        raise NotAllowed("Only organisers give awards.")
    if not Team.objects.eligible(competition).filter(pk=team.pk).exists():
        raise NotAllowed(f"{team} is not eligible: no method description was handed in before the due date.")
    award = Award(competition=competition, team=team, title=title.strip(), citation=citation.strip())
    award.position = competition.awards.count()
    _check_texts(award)
    try:
        with transaction.atomic():
            award.save()
            AuditEntry.objects.append(
                "award given",
                competition=competition,
                actor=user,
                subject=str(award),
                reason=citation,
                public=True,
            )
    except IntegrityError as error:
        raise Conflict(f"The award {award.title!r} has been given already. Take it back first.") from error
    return award


def take_award_back(user: Any, award: Award, reason: str) -> None:
    if not award.competition.is_organised_by(user):
        raise NotAllowed("Only organisers take awards back.")
    if not reason.strip():
        raise InvalidInput("Please give a reason; it is kept in the log.")
    with transaction.atomic():
        AuditEntry.objects.append(
            "award taken back",
            competition=award.competition,
            actor=user,
            subject=str(award),
            reason=reason.strip(),
            public=True,
        )
        award.delete()


def _check_texts(row: Any) -> None:
    try:
        row.clean_fields()
    except ValidationError as error:
        raise InvalidInput(" ".join(error.messages), fields=error.message_dict) from error


def _tell_owners(team: Team, subject: str, message: str) -> None:
    addresses = list(
        team.memberships.filter(role="owner").exclude(user__email="").values_list("user__email", flat=True)
    )
    if addresses:
        link = f"{settings.SITE_URL}/c/{team.competition.slug}/team/"
        send_mail(
            f"[{settings.SITE_NAME}] {subject}",
            f"{message}\n\nDecide here: {link}\n",
            None,
            addresses,
            fail_silently=True,
        )
