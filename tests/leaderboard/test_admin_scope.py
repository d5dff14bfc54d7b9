"""An organiser who is not a superuser sees and changes only their own competitions, by every way into the admin."""

import csv
import io
import json
from dataclasses import dataclass

import pytest
from django.contrib import admin
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from leaderboard.models import (
    Announcement,
    ApiToken,
    AuditEntry,
    Award,
    BulkAct,
    Competition,
    DataFile,
    Evaluation,
    Extension,
    JoinRequest,
    JuryVote,
    LabelReport,
    LabelSet,
    Mail,
    Membership,
    Merger,
    MethodDescription,
    Page,
    Phase,
    PhaseReport,
    Picture,
    Prize,
    PublishedEntry,
    Question,
    RefusedUpload,
    Rehearsal,
    Review,
    Role,
    Submission,
    Team,
    Terms,
    TermsAcceptance,
    User,
    Worker,
)
from leaderboard.models.ownership import COMPETITION_OF
from leaderboard.reporting import counting
from tests.leaderboard.factories import (
    Cast,
    make_competition,
    make_phase,
    make_submission,
    make_team,
    make_user,
    upload,
)

MODELS = [model for model in admin.site._registry if model._meta.app_label == "leaderboard"]


@dataclass
class Foreign:
    """A row of each model in a competition of somebody else. Everything in it is called Secret."""

    rows: dict[type, object]


@pytest.fixture
def foreign(cast: Cast) -> Foreign:
    competition = make_competition("secret-cup", name="Secret cup", organiser=make_user("secretorganiser"))
    phase = make_phase(competition, "secret-phase", name="Secret phase")
    member = make_user("secretmember")
    team = make_team(competition, "Secret team", owner=member)
    submission = make_submission(team, phase, method="Secret method")
    return Foreign(
        {
            Competition: competition,
            Phase: phase,
            Page: Page.objects.create(competition=competition, slug="s", title="Secret page", body="Secret"),
            LabelSet: phase.labels,
            PublishedEntry: PublishedEntry.objects.create(phase=phase, name="Secret", f1="70", source="-"),
            type(team): team,
            Membership: team.memberships.get(),
            Submission: submission,
            type(submission.evaluation): submission.evaluation,
            type(submission.attempt): submission.attempt,
            JoinRequest: JoinRequest.objects.create(team=team, user=member, message="Secret message"),
            Merger: Merger.objects.create(team=team, other=make_team(competition, "Secret team two")),
            MethodDescription: MethodDescription.objects.create(
                team=team, pdf=b"%PDF-Secret", uploaded_at=timezone.now(), members=["secretmember"]
            ),
            Prize: (prize := Prize.objects.create(competition=competition, title="Secret prize")),
            Role: Role.objects.create(competition=competition, user=member, kind="jury"),
            JuryVote: JuryVote.objects.create(prize=prize, juror=member, team=team, reason="Secret"),
            Award: Award.objects.create(competition=competition, team=team, title="Secret award"),
            AuditEntry: AuditEntry.objects.append("Secret act", competition=competition),
            LabelReport: LabelReport.objects.create(phase=phase, team=team, patch=1, text="Secret text"),
            PhaseReport: PhaseReport.objects.create(phase=phase, error="Secret error"),
            Mail: Mail.objects.create(competition=competition, to="secret@example.org", subject="Secret"),
            Review: Review.objects.create(
                phase=phase, kind="same_masks", team=team, note="Secret note", evidence={"masks": 1}
            ),
            Extension: Extension.objects.create(
                team=team, phase=phase, quota_total=5, reason="Secret reason"
            ),
            RefusedUpload: RefusedUpload.objects.create(
                phase=phase,
                user=member,
                team=team,
                code="too_large",
                day=timezone.now().date(),
                last_at=timezone.now(),
                sentence="Secret sentence",
            ),
            BulkAct: BulkAct.objects.create(
                competition=competition, kind="disqualify", reason="Secret reason", rows=[1], total=1
            ),
            Announcement: Announcement.objects.create(
                competition=competition, title="Secret title", body="Secret", audience="no_submission"
            ),
            Question: Question.objects.create(
                competition=competition, title="Secret question", body="Secret", asked_by=member
            ),
            Picture: Picture.objects.create(
                competition=competition, name="secret.png", media_type="image/png", content=b""
            ),
            DataFile: DataFile.objects.create(
                competition=competition, name="secret.zip", url="https://example.org/secret"
            ),
            Rehearsal: Rehearsal.objects.create(competition=competition, report="Secret"),
            Terms: (terms := Terms.objects.create(competition=competition, version=1, body="Secret")),
            TermsAcceptance: TermsAcceptance.objects.create(terms=terms, user=member),
            User: member,
            ApiToken: ApiToken.objects.create(user=member, name="Secret token")[0],
        }
    )


@pytest.fixture
def organiser(client: Client, cast: Cast) -> Client:
    make_submission(cast.team, cast.phase)
    client.force_login(cast.organiser)
    return client


def address(model: type, page: str, *args: object) -> str:
    return reverse(f"admin:leaderboard_{model._meta.model_name}_{page}", args=args)


def test_every_model_of_the_admin_is_scoped() -> None:
    assert set(MODELS) - set(COMPETITION_OF) == {User, ApiToken, Worker}


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_lists_show_nothing_of_another_competition(foreign: Foreign, organiser: Client, model: type) -> None:
    for query in ("", "?q=ecre"):
        response = organiser.get(address(model, "changelist") + query)
        if model is ApiToken:
            assert response.status_code == 403
        else:
            assert response.status_code == 200
            assert "secret" not in response.content.decode().lower()


SCOPED = [model for model in MODELS if model is not Worker]  # workers serve all competitions


@pytest.mark.parametrize("model", SCOPED, ids=lambda model: model.__name__)
@pytest.mark.parametrize("page", ["change", "delete", "history"])
def test_rows_of_another_competition_are_not_found(
    foreign: Foreign, organiser: Client, model: type, page: str
) -> None:
    for method in (organiser.get, organiser.post):
        response = method(address(model, page, foreign.rows[model].pk))
        assert response.status_code in (302, 403, 404)
        if response.status_code == 302:
            assert response["Location"] == reverse("admin:index")
        assert b"ecret" not in response.content


@pytest.mark.parametrize(
    "name",
    ["submission_rescore_one", "submission_disqualify_one", "submission_restore_one"],
)
def test_submissions_of_another_competition_cannot_be_judged(
    foreign: Foreign, organiser: Client, name: str
) -> None:
    submission = foreign.rows[Submission]
    response = organiser.post(
        reverse(f"admin:leaderboard_{name}", args=[submission.pk]), {"confirmed": "yes", "reason": "spite"}
    )
    assert response.status_code == 404
    organiser.post(
        address(Submission, "changelist"),
        {"action": "disqualify", "_selected_action": submission.pk, "confirmed": "yes", "reason": "spite"},
    )
    submission.refresh_from_db()
    assert submission.disqualified_at is None
    assert submission.evaluations.count() == 1


def test_the_overview_counts_and_names_nothing_of_another_competition(
    foreign: Foreign, organiser: Client
) -> None:
    make_submission(foreign.rows[Team], foreign.rows[Phase], state=Evaluation.State.FAILED)
    counting.keep_up(timezone.now())
    page = organiser.get(reverse("admin:index"))
    assert b"ecret" not in page.content
    [card] = page.context["phases"]
    assert {item.words: item.number for item in card["items"]}["scored"] == 1
    assert [item.words for item in page.context["todo"] if "failed" in item.words] == []
    assert b"ecret" not in organiser.get(address(Phase, "rankings"), follow=True).content


@pytest.mark.parametrize(
    ("model", "act"),
    [
        (MethodDescription, "accept"),
        (MethodDescription, "rule_out"),
        (MethodDescription, "pdf"),
        (Award, "take_back"),
        (Competition, "add_organiser"),
        (Competition, "remove_organiser"),
        (Competition, "give_ranked"),
    ],
)
def test_rosters_and_awards_of_another_competition_are_out_of_reach(
    foreign: Foreign, organiser: Client, cast: Cast, model: type, act: str
) -> None:
    acts = AuditEntry.objects.count()
    body = {"confirmed": "yes", "reason": "spite", "username": cast.organiser.username}
    for answer in (
        organiser.get(address(model, act, foreign.rows[model].pk)),
        organiser.post(address(model, act, foreign.rows[model].pk), body),
    ):
        assert answer.status_code == 404
        assert b"ecret" not in answer.content
    assert AuditEntry.objects.count() == acts
    assert Award.objects.filter(title="Secret award").exists()


def test_no_award_goes_to_a_team_of_another_competition(
    foreign: Foreign, organiser: Client, cast: Cast
) -> None:
    body = {"team": foreign.rows[Team].pk, "title": "1st", "citation": ""}
    assert "valid choice" in organiser.post(address(Award, "add"), body).content.decode()
    prize = {
        "competition": cast.competition.pk,
        "title": "1st",
        "phase": foreign.rows[Phase].pk,
        "rank": 1,
        "position": 0,
    }
    assert "valid choice" in organiser.post(address(Prize, "add"), prize).content.decode()
    assert (Award.objects.count(), Prize.objects.count()) == (1, 1)


def test_labels_and_ranking_of_another_competition(foreign: Foreign, organiser: Client) -> None:
    phase = foreign.rows[Phase]
    assert organiser.get(address(Phase, "ranking", phase.pk)).status_code == 404
    response = organiser.post(address(Phase, "load_labels", phase.pk), {"masks": upload()})
    assert response.status_code == 404
    response = organiser.post(
        address(LabelSet, "put_in_force", foreign.rows[LabelSet].pk), {"confirmed": "yes", "reason": "spite"}
    )
    assert response.status_code == 404
    assert phase.label_sets.count() == 1


def test_forms_offer_and_accept_only_own_rows(foreign: Foreign, organiser: Client) -> None:
    for model in (Page, Phase, PublishedEntry, Membership):
        assert b"ecret" not in organiser.get(address(model, "add")).content
    data = {"phase": foreign.rows[Phase].pk, "name": "Seek", "f1": "73.99", "source": "the paper"}
    page = organiser.post(address(PublishedEntry, "add"), data).content.decode()
    assert "valid choice" in page
    assert PublishedEntry.objects.count() == 1
    data = {
        "competition": foreign.rows[Competition].pk,
        "title": "Mine",
        "slug": "mine",
        "body": "x",
        "position": 0,
    }
    assert "valid choice" in organiser.post(address(Page, "add"), data).content.decode()
    assert Page.objects.count() == 1


@pytest.mark.parametrize(
    ("model", "field"),
    [("membership", "user"), ("membership", "team"), ("competition", "organisers"), ("award", "team")],
)
def test_autocomplete_offers_only_own_rows(
    foreign: Foreign, organiser: Client, cast: Cast, model: str, field: str
) -> None:
    query = {"app_label": "leaderboard", "model_name": model, "field_name": field, "term": ""}
    found = organiser.get(reverse("admin:autocomplete"), query).json()["results"]
    assert found
    assert "secret" not in json.dumps(found).lower()
    if field != "team":
        assert cast.stranger.username not in json.dumps(found)


EXPORTED = [model for model in MODELS if hasattr(admin.site._registry[model], "export_action")]


def export(client: Client, model: type, file_format: int = 0, **more: object):
    admin_page = admin.site._registry[model]
    fields = {
        f"{resource.__name__.lower()}_{name}": "on"
        for resource in admin_page.get_resource_classes(None)
        for name in resource().get_export_order()
    }
    return client.post(address(model, "export"), {"format": file_format, "resource": 0, **fields, **more})


@pytest.mark.parametrize("model", EXPORTED, ids=lambda model: model.__name__)
def test_exports_hold_only_own_rows(foreign: Foreign, organiser: Client, cast: Cast, model: type) -> None:
    PublishedEntry.objects.create(phase=cast.phase, name="Own", f1="70", source="-")
    JoinRequest.objects.create(team=cast.team, user=cast.stranger)
    Merger.objects.create(team=cast.team, other=cast.other_team)
    MethodDescription.objects.create(team=cast.team, uploaded_at=timezone.now())
    Award.objects.create(competition=cast.competition, team=cast.team, title="1st")
    Question.objects.create(competition=cast.competition, title="Own question", body="?")
    terms = Terms.objects.create(competition=cast.competition, version=1, body="Own")
    TermsAcceptance.objects.create(terms=terms, user=cast.owner)
    prize = Prize.objects.create(competition=cast.competition, title="Own prize")
    JuryVote.objects.create(prize=prize, juror=cast.stranger, team=cast.team, reason="Own")
    AuditEntry.objects.append("own act", competition=cast.competition)
    assert organiser.get(address(model, "export")).status_code == 200
    for more in ({}, {"export_items": [foreign.rows[model].pk]}):
        text = export(organiser, model, **more).content.decode()
        assert "secret" not in text.lower()
    rows = list(csv.reader(io.StringIO(export(organiser, model).content.decode(), newline="")))
    assert len(rows) > 1
    assert rows[0] == list(admin.site._registry[model].get_resource_classes(None)[0]._meta.export_order)
    assert json.loads(export(organiser, model, 1).content)


def test_label_sets_people_and_tokens_have_no_export() -> None:
    assert not {LabelSet, User, ApiToken} & set(EXPORTED)


def test_an_export_runs_no_formula(organiser: Client, cast: Cast) -> None:
    make_submission(cast.team, cast.phase, method="=HYPERLINK(0)", description="-2+3, and more")
    response = export(organiser, Submission)
    text = response.content.decode()
    assert "'=HYPERLINK(0)" in text
    assert '"\'-2+3, and more"' in text
    assert "\r\n" in text
    assert response["Content-Disposition"].startswith("attachment")


def test_an_export_asks_no_query_per_row(
    organiser: Client, cast: Cast, django_assert_max_num_queries
) -> None:
    for _ in range(8):
        make_submission(cast.team, cast.phase)
    export(organiser, Submission)
    with django_assert_max_num_queries(10):
        export(organiser, Submission)


def test_a_superuser_sees_all(foreign: Foreign, client: Client) -> None:
    client.force_login(make_user("root", is_staff=True, is_superuser=True))
    assert b"Secret method" in client.get(address(Submission, "changelist")).content


def test_an_organiser_without_staff_status_is_kept_out(client: Client, cast: Cast) -> None:
    cast.organiser.is_staff = False
    cast.organiser.save()
    client.force_login(cast.organiser)
    assert client.get(address(Submission, "changelist")).status_code in (302, 403)


def test_masks_are_not_even_read(organiser: Client, cast: Cast, foreign: Foreign) -> None:
    """No page of the admin fetches the masks of a label set from the database."""
    with CaptureQueriesContext(connection) as queries:
        for model in MODELS:
            organiser.get(address(model, "changelist"))
        for model in (Phase, LabelSet, Submission):
            organiser.get(address(model, "change", model.objects.values_list("pk", flat=True)[0]))
        organiser.get(address(Phase, "ranking", cast.phase.pk))
        export(organiser, Submission)
    assert not [query["sql"] for query in queries if '"masks"' in query["sql"] or '"salt"' in query["sql"]]
