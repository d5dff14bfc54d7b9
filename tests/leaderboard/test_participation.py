"""Terms that each participant accepts, and the approval of teams: enforced in the one rule, by page, form, API and tus."""

from base64 import b64encode
from datetime import timedelta
from typing import Any

import pytest
from django.core import mail
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from leaderboard.actions import participation, submissions
from leaderboard.actions.refusals import Conflict, InvalidInput, NotAllowed, TeamNotApproved, TermsNotAccepted
from leaderboard.actions.teams import create_team
from leaderboard.models import AuditEntry, Competition, Submission, Team, Terms
from tests.leaderboard.api import API, assert_told, client_of, post
from tests.leaderboard.factories import Cast, upload

pytestmark = pytest.mark.django_db


def publish(cast: Cast, body: str = "Be **fair**.") -> Terms:
    return participation.publish_terms(cast.organiser, cast.competition, body)


def submit(cast: Cast, user: Any) -> Submission:
    return submissions.submit(user, cast.phase, upload(), method="U-Net")[0]


def test_each_member_accepts_the_version_in_force_and_a_new_one_asks_again(cast: Cast) -> None:
    publish(cast)
    with pytest.raises(TermsNotAccepted, match="version 1"):
        submit(cast, cast.owner)
    participation.accept_terms(cast.owner, cast.competition, 1)
    assert submit(cast, cast.owner)
    with pytest.raises(TermsNotAccepted):
        submit(cast, cast.teammate)
    publish(cast, "Be fairer.")
    with pytest.raises(TermsNotAccepted, match="version 2"):
        submit(cast, cast.owner)
    assert Submission.objects.count() == 1


def test_nothing_is_stored_of_a_refused_archive(cast: Cast, settings: Any) -> None:
    publish(cast)
    with pytest.raises(TermsNotAccepted):
        submit(cast, cast.owner)
    assert not Submission.objects.exists()
    assert not cast.team.attempts.exists()


def test_the_log_says_who_accepted_which_version_once(cast: Cast) -> None:
    publish(cast)
    for _ in range(2):
        participation.accept_terms(cast.owner, cast.competition, 1)
    entry = AuditEntry.objects.get(act="terms accepted")
    assert (entry.actor, entry.subject, entry.details, entry.public) == (
        cast.owner,
        "owner",
        {"version": 1},
        False,
    )
    assert AuditEntry.objects.get(act="terms published").public


def test_only_the_version_in_force_can_be_accepted(cast: Cast) -> None:
    with pytest.raises(InvalidInput, match="no terms"):
        participation.accept_terms(cast.owner, cast.competition, 1)
    publish(cast)
    publish(cast, "Be fairer.")
    with pytest.raises(Conflict, match="Version 2 is in force"):
        participation.accept_terms(cast.owner, cast.competition, 1)
    with pytest.raises(Conflict, match="same text"):
        publish(cast, "Be fairer. ")
    with pytest.raises(NotAllowed):
        participation.publish_terms(cast.owner, cast.competition, "Mine")


def test_the_api_refuses_with_code_and_address_until_accepted(cast: Cast) -> None:
    publish(cast)
    owner = client_of(cast.owner)
    told = assert_told(post(owner, cast.phase), 403, "terms_not_accepted")
    assert told["address"].endswith(f"/c/{cast.competition.slug}/terms/")
    assert told["address"] in told["detail"], "a client that knows no addresses shows it, too"
    address = f"{API}/competitions/{cast.competition.slug}/"
    read = client_of().get(f"{address}terms/").json()
    assert (read["version"], read["body"], read["accepted_at"]) == (1, "Be **fair**.", None)
    quotas = owner.get(f"{API}/teams/mine/").json()[0]["quotas"]
    assert [row["refusal_code"] for row in quotas] == ["terms_not_accepted"]
    assert_told(client_of().post(f"{address}accept-terms/", {"version": 1}), 401, "not_authenticated")
    assert_told(owner.post(f"{address}accept-terms/", {"version": 2}), 409, "conflict")
    assert owner.post(f"{address}accept-terms/", {"version": 1}).json()["accepted_at"]
    assert post(owner, cast.phase).status_code == 202


def test_a_resumable_upload_does_not_begin_before(cast: Cast) -> None:
    publish(cast)
    metadata = {"HTTP_TUS_RESUMABLE": "1.0.0", "HTTP_UPLOAD_LENGTH": "10"}
    metadata["HTTP_UPLOAD_METADATA"] = f"phase {b64encode(str(cast.phase.pk).encode()).decode()}"
    answer = client_of(cast.owner).post(f"{API}/uploads/", **metadata)
    assert (answer.status_code, answer.json()["code"]) == (403, "terms_not_accepted")


def test_the_pages_lead_from_submit_to_the_terms_and_back(cast: Cast, client: Client) -> None:
    form, terms = (reverse(f"pages:{name}", args=[cast.competition.slug]) for name in ("submit", "terms"))
    assert client.get(terms).status_code == 404
    publish(cast)
    assert "Be <strong>fair</strong>." in client.get(terms).content.decode()
    assert client.post(terms, {"version": "1"})["Location"].startswith("/accounts/login/")
    client.force_login(cast.owner)
    assert f'href="{terms}"' in client.get(form).content.decode()
    sent = client.post(form, {"phase": cast.phase.pk, "archive": upload(), "method": "U-Net"})
    assert sent.status_code == 403
    assert "I accept version 1" in client.get(terms).content.decode()
    assert client.post(terms, {"version": "x"}, follow=True).status_code == 200
    assert client.post(terms, {"version": "1"})["Location"] == form
    page = client.get(terms).content.decode()
    assert "I accept version" not in page
    assert "by you on" in page
    publish(cast, "Be fairer.")
    old = client.get(reverse("pages:old-terms", args=[cast.competition.slug, 1])).content.decode()
    assert "no longer in force" in old


def test_organisers_submit_reference_entries_without_accepting(cast: Cast) -> None:
    publish(cast)
    entry, _ = submissions.submit(cast.organiser, cast.phase, upload(), method="Baseline", reference=True)
    assert entry.reference


def test_the_desk_says_who_must_accept_before_a_version_is_in_force(cast: Cast, client: Client) -> None:
    client.force_login(cast.organiser)
    address = reverse("admin:leaderboard_terms_add")
    data = {"competition": cast.competition.pk, "body": "Be **fair**."}
    page = client.post(address, data).content.decode()
    assert "3 members of teams must accept it" in page
    assert "<strong>fair</strong>" in page
    assert not Terms.objects.exists()
    assert client.post(address, {**data, "confirmed": "on"}).status_code == 302
    assert Terms.objects.get().published_by == cast.organiser
    assert AuditEntry.objects.filter(act__contains="terms").count() == 1
    assert "has the same text" in client.post(address, {**data, "confirmed": "on"}).content.decode()


@pytest.fixture
def approving(cast: Cast) -> Cast:
    """From now on, teams are approved; those that are there already need nothing."""
    Competition.objects.update(approval_needed_from=timezone.now())
    cast.competition.refresh_from_db()
    cast.phase.refresh_from_db()
    return cast


def test_new_teams_wait_and_old_ones_go_on(approving: Cast) -> None:
    assert submit(approving, approving.owner)
    team = create_team(approving.stranger, approving.competition, "New")
    assert [message.to for message in mail.outbox] == [[approving.organiser.email]]
    with pytest.raises(TeamNotApproved, match="waits for the organisers"):
        submit(approving, approving.stranger)
    participation.approve_team(approving.organiser, team, "A known institute.")
    assert mail.outbox[-1].to == [approving.stranger.email]
    assert submit(approving, approving.stranger)


def test_a_refused_team_reads_the_reason_and_can_be_approved_later(approving: Cast, client: Client) -> None:
    team = create_team(approving.stranger, approving.competition, "New")
    participation.refuse_team(approving.organiser, team, "No affiliation.")
    assert "No affiliation." in mail.outbox[-1].body
    told = assert_told(post(client_of(approving.stranger), approving.phase), 403, "team_not_approved")
    assert "No affiliation." in told["detail"]
    client.force_login(approving.stranger)
    for page in ("team", "submit"):
        shown = client.get(reverse(f"pages:{page}", args=[approving.competition.slug])).content.decode()
        assert "No affiliation." in shown
    assert client_of(approving.stranger).get(f"{API}/teams/mine/").json()[0]["approval"] == "refused"
    participation.approve_team(approving.organiser, team, "Affiliation is there now.")
    assert submit(approving, approving.stranger)
    acts = list(AuditEntry.objects.order_by("id").values_list("act", "reason"))
    assert acts == [("team refused", "No affiliation."), ("team approved", "Affiliation is there now.")]


def test_only_organisers_decide_about_teams_that_need_it(approving: Cast) -> None:
    team = create_team(approving.stranger, approving.competition, "New")
    with pytest.raises(NotAllowed):
        participation.approve_team(approving.stranger, team, "me")
    with pytest.raises(InvalidInput, match="reason"):
        participation.approve_team(approving.organiser, team, "")
    with pytest.raises(Conflict, match="needs no approval"):
        participation.approve_team(approving.organiser, Team.objects.get(pk=approving.team.pk), "why not")


def test_the_desk_approves_with_a_reason(approving: Cast, client: Client) -> None:
    Team.objects.filter(pk=approving.team.pk).update(created_at=timezone.now() + timedelta(seconds=1))
    client.force_login(approving.organiser)
    address = reverse("admin:leaderboard_team_approve", args=[approving.team.pk])
    assert client.post(address, {"reason": "Known.", "confirmed": "1"}).status_code == 302
    assert Team.objects.get(pk=approving.team.pk).approval == "approved"
