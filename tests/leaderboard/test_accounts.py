"""What is kept about a person can be had, and deleted."""

import json

import pytest
from allauth.account.models import EmailAddress
from django.utils import timezone

from leaderboard.actions import accounts, refusals, teams
from leaderboard.export.personal_data import personal_data
from leaderboard.models import AuditEntry, Invitation, Membership, Phase, Standing, Submission, Team, User
from tests.leaderboard.api import API, assert_problem, client_of
from tests.leaderboard.factories import PASSWORD, Cast, make_submission, make_team, make_user

pytestmark = pytest.mark.django_db


def test_personal_data_is_all_of_ones_own_and_nothing_of_others(cast: Cast) -> None:
    Phase.objects.filter(pk=cast.phase.pk).update(visible_metrics="f1")
    cast.phase.refresh_from_db()
    EmailAddress.objects.create(user=cast.owner, email="owner@example.org", primary=True)
    make_submission(cast.team, cast.phase, by=cast.owner, method="Mine")
    make_submission(cast.team, cast.phase, by=cast.teammate, method="Theirs")
    teams.invite(cast.owner, cast.team, "friend@example.org")
    response = client_of(cast.owner).get(f"{API}/account/")
    assert "attachment" in response["Content-Disposition"]
    body = response.json()
    assert (body["account"]["username"], body["account"]["email"]) == ("owner", "owner@example.org")
    assert body["email_addresses"] == [{"email": "owner@example.org", "verified": False, "primary": True}]
    assert [(team["team"], team["role"]) for team in body["teams"]] == [("Alpine", "owner")]
    assert [invitation["email"] for invitation in body["invitations_sent"]] == ["friend@example.org"]
    assert [(s["method"], s["f1"], s["precision"]) for s in body["submissions"]] == [("Mine", 0.8, None)]
    text = response.content.decode()
    for foreign in ("teammate", "rival", "Theirs", cast.owner.password, "digest"):
        assert foreign not in text
    assert json.dumps(personal_data(cast.organiser, timezone.now()), default=str)


TOLD = {
    *("ApiToken.user", "AuditEntry.actor", "Competition.organisers", "Submission.submitted_by"),
    *(
        "Invitation.created_by",
        "Invitation.accepted_by",
        "SubmissionNote.edited_by",
        "JoinRequest.user",
        "LabelReport.reported_by",
        "Membership.user",
        "Team.members",
    ),
    *("Merger.proposed_by", "MethodDescription.uploaded_by", "PhaseReport.requested_by", "EmailAddress.user"),
    "BulkAct.requested_by",
    "Extension.granted_by",
    "RefusedUpload.user",
    "Review.looked_by",
    "Announcement.author",
    "Question.asked_by",
    *("Role.user", "Role.granted_by", "JuryVote.juror"),
    "Rehearsal.requested_by",
    "Terms.published_by",
    "TermsAcceptance.user",
    "Question.answered_by",
    "NoticeChoice.user",
    "Webhook.created_by",
    "Upload.user",
    *("SignIn.user", "UserSession.user"),
}
NOT_TOLD = {
    "Authenticator.user",  # the secret of the second factor
    "LogEntry.user",  # the admin's own list of recent acts; each of them is in the audit log too
}


def test_personal_data_knows_everything_that_points_at_a_person() -> None:
    related = {f"{r.related_model.__name__}.{r.field.name}" for r in User._meta.related_objects}
    hidden = {
        f"{r.related_model.__name__}.{r.field.name}"
        for r in User._meta.get_fields(include_hidden=True)
        if r.auto_created and not r.concrete
    }
    through = {name for name in hidden if "_" in name.partition(".")[0]}
    assert related | (hidden - through) == TOLD | NOT_TOLD


def test_deleting_an_account_keeps_the_teams_result_without_the_name(cast: Cast) -> None:
    submission = make_submission(cast.team, cast.phase, by=cast.owner)
    invitation, _ = teams.invite(cast.rival, cast.other_team, "Owner@example.org")
    client = client_of(cast.owner)
    body = assert_problem(client.post(f"{API}/account/delete/", {"password": "wrong"}), 400, "invalid")
    assert list(body["errors"]) == ["password"]
    assert client.post(f"{API}/account/delete/", {"password": PASSWORD}).status_code == 204
    assert not User.objects.filter(username="owner").exists()
    assert_problem(client.get(f"{API}/account/"), 401, "authentication_failed")
    submission.refresh_from_db()
    assert submission.submitted_by is None
    assert Standing.objects.get().team == cast.team
    assert Membership.objects.get(team=cast.team).user == cast.teammate
    assert cast.team.is_owned_by(cast.teammate)
    assert Invitation.objects.get(pk=invitation.pk).email == ""
    assert AuditEntry.objects.first_broken() is None
    assert "owner" not in AuditEntry.objects.get(act="account deleted").subject


def test_the_last_member_leaves_results_behind_and_an_empty_team_goes(cast: Cast) -> None:
    make_submission(cast.other_team, cast.phase, by=cast.rival)
    accounts.delete_account(cast.rival, PASSWORD)
    assert Standing.objects.get().team == cast.other_team
    assert not cast.other_team.memberships.exists()
    loner = make_user()
    team = make_team(cast.competition, owner=loner)
    accounts.delete_account(loner, PASSWORD)
    assert not Team.objects.filter(pk=team.pk).exists()


def test_a_merged_team_does_not_come_back_with_the_last_members_account(cast: Cast) -> None:
    make_team(cast.competition, "Gone", merged_into=cast.other_team)
    accounts.delete_account(cast.rival, PASSWORD)
    assert list(Team.objects.all()) == [cast.team]


def test_somebody_is_left_to_run_the_place(cast: Cast) -> None:
    with pytest.raises(refusals.Conflict, match="only organiser of Landslides 2022"):
        accounts.delete_account(cast.organiser, PASSWORD)
    cast.competition.organisers.add(cast.stranger)
    accounts.delete_account(cast.organiser, PASSWORD)
    root = make_user("root", is_superuser=True)
    with pytest.raises(refusals.Conflict, match="only administrator"):
        accounts.delete_account(root, PASSWORD)
    assert Submission.objects.count() == 0


def test_the_password_cannot_be_guessed_here(cast: Cast) -> None:
    client = client_of(cast.owner)
    for _ in range(5):
        assert client.post(f"{API}/account/delete/", {"password": "guess"}).status_code == 400
    assert_problem(client.post(f"{API}/account/delete/", {"password": PASSWORD}), 429, "throttled")
    assert User.objects.filter(pk=cast.owner.pk).exists()
