"""Helpers and the jury: what each may see and do, who may be one, the votes and their tally."""

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from leaderboard.actions import awards, questions, roles
from leaderboard.actions.organisers import remove_organiser
from leaderboard.actions.refusals import Conflict, InvalidInput, NotAllowed, OrganisersDoNotCompete
from leaderboard.actions.teams import create_team
from leaderboard.models import (
    AuditEntry,
    Competition,
    JuryVote,
    MethodDescription,
    Page,
    Phase,
    Prize,
    Role,
    Submission,
    Team,
    User,
)
from leaderboard.models.visibility import EVERYTHING, Viewpoint, view_of
from tests.leaderboard.factories import Cast, make_submission, make_user

pytestmark = pytest.mark.django_db


def grant(cast: Cast, kind: str, username: str = "") -> User:
    person = make_user(username or kind)
    roles.grant(cast.organiser, cast.competition, person.username, kind, "needed")
    person.refresh_from_db()
    return person


def browser(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def admin(name: str, *args: Any) -> str:
    return reverse(f"admin:leaderboard_{name}", args=args)


@pytest.mark.parametrize("kind", ["helper", "jury"])
def test_roles_see_no_more_of_the_scores_than_everybody(cast: Cast, kind: str) -> None:
    person, now = grant(cast, kind), timezone.now()
    Phase.objects.filter(pk=cast.phase.pk).update(hidden_until_close=True)
    phase = Phase.objects.get(pk=cast.phase.pk)
    submission = make_submission(cast.team, phase)
    assert view_of(phase, person, now) == view_of(phase, cast.stranger, now)
    assert view_of(phase, cast.organiser, now).metrics == EVERYTHING
    assert Viewpoint(person, now).scores(submission).f1 is None
    assert not Submission.objects.visible_to(person).exists()
    page = browser(person).get(reverse("pages:submission", args=[submission.pk]))
    assert page.status_code == 404


def test_a_helper_sees_no_labels_scores_or_log_in_the_admin(cast: Cast) -> None:
    helper = browser(grant(cast, "helper"))
    make_submission(cast.team, cast.phase)
    for name in (
        "labelset",
        "submission",
        "evaluation",
        "attempt",
        "auditentry",
        "phase",
        "competition",
        "mail",
    ):
        assert helper.get(admin(f"{name}_changelist")).context["cl"].result_count == 0, name
    change = admin("labelset_change", cast.phase.labels.pk)
    assert helper.get(change)["Location"] == reverse("admin:index")
    assert helper.get(admin("phase_load_labels", cast.phase.pk)).status_code == 404
    assert helper.get(admin("phase_ranking", cast.phase.pk)).status_code == 404


def test_the_menu_leads_a_helper_to_what_helpers_may_see(cast: Cast) -> None:
    def titles(person: User) -> list[str]:
        page = browser(person).get(reverse("admin:index"))
        return [item["title"] for group in page.context["sidebar_navigation"] for item in group["items"]]

    helper = grant(cast, "helper")
    shown = titles(helper)
    assert shown == [
        "Today", "Pages", "Pictures", "Questions", "Teams", "Memberships", "Method descriptions",
    ]  # fmt: skip
    assert {*shown, "Submissions", "Label sets", "Audit log"} < set(titles(cast.organiser))
    cast.competition.organisers.add(helper)
    assert titles(helper) == titles(cast.organiser)


def test_a_helper_answers_questions_edits_pages_and_looks_at_teams(cast: Cast) -> None:
    person = grant(cast, "helper")
    helper = browser(person)
    question = questions.ask(cast.owner, cast.competition, "Which bands?", "All?")
    url = reverse("pages:question", args=[cast.competition.slug, question.pk])
    assert helper.post(url, {"answer": "All 14.", "public": "on"}).status_code == 302
    data = {
        "competition": cast.competition.pk,
        "title": "Rules",
        "slug": "rules",
        "position": 1,
        "body": "Text",
    }
    assert helper.post(admin("page_add"), data).status_code == 302
    assert Page.objects.get().body == "Text"
    assert helper.get(admin("team_change", cast.team.pk)).status_code == 200
    changed = {"name": "Renamed", "affiliation": "", "is_organisers": ""}
    assert helper.post(admin("team_change", cast.team.pk), changed).status_code == 403
    assert Team.objects.get(pk=cast.team.pk).name == "Alpine"
    membership = cast.team.memberships.first()
    assert helper.post(admin("membership_delete", membership.pk), {"post": "yes"}).status_code == 403
    with pytest.raises(NotAllowed):
        questions.delete(person, question, "why")


def test_a_draft_is_seen_by_helpers_and_not_by_the_jury(cast: Cast) -> None:
    helper, juror = grant(cast, "helper"), grant(cast, "jury")
    Competition.objects.update(is_published=False)
    home = reverse("pages:competition", args=[cast.competition.slug])
    assert (browser(helper).get(home).status_code, browser(juror).get(home).status_code) == (200, 404)


def test_who_competes_has_no_role_and_who_has_one_does_not_compete(cast: Cast) -> None:
    with pytest.raises(OrganisersDoNotCompete, match="must leave it first"):
        roles.grant(cast.organiser, cast.competition, "rival", "jury", "why")
    for kind in ("helper", "jury"):
        with pytest.raises(OrganisersDoNotCompete, match=f"is {kind} of"):
            create_team(grant(cast, kind), cast.competition, f"Team {kind}")


def test_roles_are_granted_and_revoked_in_public_by_organisers_alone(cast: Cast) -> None:
    with pytest.raises(NotAllowed):
        roles.grant(cast.owner, cast.competition, "stranger", "helper", "why")
    with pytest.raises(InvalidInput, match="helper or jury"):
        roles.grant(cast.organiser, cast.competition, "stranger", "owner", "why")
    helper = grant(cast, "helper")
    assert helper.is_staff
    with pytest.raises(Conflict, match="already"):
        roles.grant(cast.organiser, cast.competition, "helper", "helper", "why")
    roles.revoke(cast.organiser, Role.objects.get(), "done")
    helper.refresh_from_db()
    assert not helper.is_staff
    assert not grant(cast, "jury").is_staff
    acts = list(AuditEntry.objects.order_by("id").values_list("act", "subject", "reason", "public"))
    assert acts[:2] == [
        ("helper added", "helper", "needed", True),
        ("helper removed", "helper", "done", True),
    ]


def test_who_stays_a_helper_keeps_the_admin_when_no_longer_an_organiser(cast: Cast) -> None:
    helper = grant(cast, "helper")
    cast.competition.organisers.add(helper)
    remove_organiser(cast.organiser, cast.competition, "helper", "done")
    helper.refresh_from_db()
    assert helper.is_staff


@pytest.fixture
def special(cast: Cast) -> Prize:
    return Prize.objects.create(competition=cast.competition, title="Special", note="For a new idea.")


def test_the_jury_reads_descriptions_and_votes_with_a_reason(cast: Cast, special: Prize) -> None:
    description = MethodDescription.objects.create(
        team=cast.team, pdf=b"%PDF-1.7", sha256="0" * 64, uploaded_by=cast.owner, uploaded_at=timezone.now()
    )
    first, second = grant(cast, "jury", "first"), grant(cast, "jury", "second")
    page = reverse("pages:jury", args=[cast.competition.slug])
    pdf = reverse("pages:jury-method", args=[cast.competition.slug, description.pk])
    for other in (cast.owner, cast.stranger):
        assert browser(other).get(page).status_code == 404
        assert browser(other).get(pdf).status_code == 404
    juror = browser(first)
    assert juror.get(pdf).content == b"%PDF-1.7"
    assert pdf in juror.get(page).content.decode()
    vote = {"prize": special.pk, "team": "alpine", "reason": "A new idea."}
    assert juror.post(page, {**vote, "reason": " "}).status_code == 400
    assert juror.post(page, vote).status_code == 302
    shown = browser(second).get(page).content.decode()
    assert "A new idea." not in shown, "the others' reasons come after one's own vote"
    roles.vote(second, special, cast.other_team, "A better one.")
    roles.vote(first, special, cast.other_team, "I was convinced.")
    [row] = roles.tally(special)
    assert (row.team, len(row.votes)) == (cast.other_team, 2)
    organiser = browser(cast.organiser).get(page).content.decode()
    assert "I was convinced." in organiser
    log = list(AuditEntry.objects.filter(act="jury voted").order_by("id").values_list("reason", "details"))
    assert log[-1] == ("I was convinced.", {"prize": "Special", "before": "Alpine"})


def test_only_the_jury_votes_on_prizes_that_the_committee_gives_until_they_are_given(
    cast: Cast, special: Prize
) -> None:
    juror = grant(cast, "jury")
    ranked = Prize.objects.create(competition=cast.competition, title="First", phase=cast.phase, rank=1)
    with pytest.raises(NotAllowed, match="Only the jury"):
        roles.vote(cast.organiser, special, cast.team, "why")
    with pytest.raises(InvalidInput, match="by rank"):
        roles.vote(juror, ranked, cast.team, "why")
    Team.objects.filter(pk=cast.other_team.pk).update(is_organisers=True)
    with pytest.raises(NotAllowed, match="not eligible"):
        roles.vote(juror, special, Team.objects.get(pk=cast.other_team.pk), "why")
    roles.vote(juror, special, cast.team, "A new idea.")
    awards.give_award(cast.organiser, cast.competition, cast.team, "Special", "A new idea.")
    with pytest.raises(Conflict, match="has been given"):
        roles.vote(juror, special, cast.team, "Another reason.")
    assert JuryVote.objects.get().reason == "A new idea."


def test_the_desk_grants_and_revokes_with_a_reason(cast: Cast) -> None:
    client = browser(cast.organiser)
    url = admin("competition_add_role", cast.competition.pk)
    sent = {"confirmed": "yes", "username": "stranger", "kind": "jury", "reason": "Known in the field."}
    assert client.post(url, sent).status_code == 302
    role = Role.objects.get()
    assert (role.user, role.kind, role.granted_by) == (cast.stranger, "jury", cast.organiser)
    assert "stranger (jury)" in client.get(admin("competition_change", cast.competition.pk)).content.decode()
    revoke = admin("role_revoke", role.pk)
    assert client.post(revoke, {"confirmed": "yes", "reason": "Ill."}).status_code == 302
    assert not Role.objects.exists()
