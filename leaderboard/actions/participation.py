"""Who may take part: the terms that each participant accepts, and the approval of teams."""

from typing import Any

from django.conf import settings
from django.db import transaction

from leaderboard.models import AuditEntry, Competition, Membership, Team, Terms, TermsAcceptance
from leaderboard.models.locks import lock_rows
from leaderboard.notifications import mails

from .organisers import in_turn
from .records import need_reason
from .refusals import (
    Conflict,
    InvalidInput,
    Refusal,
    TeamNotApproved,
    TermsNotAccepted,
    check_fields,
    check_organiser,
)


def why_not_take_part(user: Any, team: Team) -> Refusal | None:
    """The one rule for whether a member may submit for the team, whatever the phase; None if they may."""
    competition = team.competition
    terms = Terms.objects.in_force(competition)
    if terms is not None and terms.accepted_at(user) is None:
        address = terms_address(competition)
        return TermsNotAccepted(
            f"Accept the terms of {competition} (version {terms.version}) before you submit: {address}",
            address=address,
        )
    if not team.needs_approval or team.approval == Team.Approval.APPROVED:
        return None
    if team.approval == Team.Approval.REFUSED:
        return TeamNotApproved(f"The organisers refused {team}: {team.approval_reason}")
    return TeamNotApproved(
        f"{team} waits for the organisers’ approval. Its owners get a mail once it is decided."
    )


def terms_address(competition: Competition) -> str:
    return f"{settings.SITE_URL}/c/{competition.slug}/terms/"


def publish_terms(user: Any, competition: Competition, body: str) -> Terms:
    """Put a new version in force: from now on everybody must accept it before they submit again."""
    check_organiser(user, competition)
    with transaction.atomic():
        in_turn(competition)
        before = Terms.objects.in_force(competition)
        if before is not None and before.body.strip() == body.strip():
            raise Conflict(f"Version {before.version} has the same text.")
        version = before.version + 1 if before else 1
        terms = Terms(competition=competition, version=version, body=body.strip(), published_by=user)
        check_fields(terms, "body")
        terms.save()
        AuditEntry.objects.append(
            "terms published",
            competition=competition,
            actor=user,
            subject=f"version {version}",
            details={"version": version},
            public=True,
        )
    return terms


def effects_of_terms(competition: Competition) -> list[str]:
    """What a new version does, in sentences."""
    before = Terms.objects.in_force(competition)
    people = Membership.objects.filter(competition=competition, team__is_organisers=False).count()
    who = f"{people} member{'' if people == 1 else 's'} of teams must accept it before the next submission."
    if before is None:
        return [f"These are the first terms of the competition. {who}"]
    accepted = before.acceptances.count()
    return [
        f"It replaces version {before.version}, which {accepted} of them accepted. {who}",
        "A version cannot be edited or taken back; the next one replaces it. The earlier ones remain readable.",
    ]


def accept_terms(user: Any, competition: Competition, version: int) -> Terms:
    """Accept the version in force. Accepting it twice changes nothing. Raises Conflict if another one is in force."""
    terms = Terms.objects.in_force(competition)
    if terms is None:
        raise InvalidInput(f"{competition} has no terms to accept.")
    if version != terms.version:
        raise Conflict(
            f"Version {terms.version} is in force. Read and accept it: {terms_address(competition)}"
        )
    with transaction.atomic():
        _, is_new = TermsAcceptance.objects.get_or_create(terms=terms, user=user)
        if is_new:
            AuditEntry.objects.append(
                "terms accepted",
                competition=competition,
                actor=user,
                subject=str(user),
                details={"version": terms.version},
            )
    return terms


def approve_team(user: Any, team: Team, reason: str) -> None:
    """Let the team submit."""
    _decide(user, team, Team.Approval.APPROVED, need_reason(reason))


def refuse_team(user: Any, team: Team, reason: str) -> None:
    """The team cannot submit; its owners read the reason. It can be approved later."""
    _decide(user, team, Team.Approval.REFUSED, need_reason(reason))


def tell_organisers_of_new_team(team: Team) -> None:
    """Inside the transaction that creates the team: mail the organisers that it waits for approval."""
    if not team.needs_approval:
        return
    organisers = team.competition.organisers.filter(is_active=True).exclude(email="")
    text = (
        f"{team} ({team.affiliation or 'no affiliation given'}) waits for approval and cannot submit until then.\n\n"
        f"Decide: {settings.SITE_URL}/admin/leaderboard/team/{team.pk}/change/\n"
    )
    mails.send(
        team.competition, f"{team} waits for approval", text, organisers.values_list("email", flat=True)
    )


def _decide(user: Any, team: Team, approval: str, reason: str) -> None:
    check_organiser(user, team.competition)
    with transaction.atomic():
        [held] = lock_rows(Team.objects.filter(pk=team.pk))
        if not held.needs_approval:
            raise Conflict(f"{held} needs no approval: see the competition's “approval needed from”.")
        if held.approval == approval:
            raise Conflict(f"{held} is {held.get_approval_display()} already.")
        held.approval, held.approval_reason = approval, reason
        check_fields(held, "approval_reason")
        held.save(update_fields=["approval", "approval_reason"])
        AuditEntry.objects.append(
            f"team {approval}", competition=team.competition, actor=user, subject=str(team), reason=reason
        )
        may = approval == Team.Approval.APPROVED
        outcome = "Your team may submit now." if may else "Your team cannot submit."
        owners = held.memberships.filter(role=Membership.Role.OWNER).exclude(user__email="")
        text = f"The organisers of {team.competition} decided about {team}: {approval}.\n\n{reason}\n\n{outcome}\n"
        text += f"{settings.SITE_URL}/c/{team.competition.slug}/team/\n"
        addresses = owners.values_list("user__email", flat=True)
        mails.send(team.competition, f"{team} is {approval}", text, addresses)
    team.refresh_from_db()
