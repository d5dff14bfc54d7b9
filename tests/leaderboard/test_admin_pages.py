"""Every page of the admin answers, shows what organisers look for, and asks few queries however long its list is."""

import re
from datetime import timedelta

import pytest
from django.contrib import admin
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from evaluation.archive.problems import too_large
from leaderboard.models import (
    Announcement,
    ApiToken,
    AuditEntry,
    Award,
    BulkAct,
    DataFile,
    Evaluation,
    Extension,
    JoinRequest,
    JuryVote,
    LabelReport,
    Mail,
    Merger,
    MethodDescription,
    Page,
    PhaseReport,
    Picture,
    Prize,
    PublishedEntry,
    Question,
    RefusedUpload,
    Rehearsal,
    Review,
    Role,
    Team,
    Terms,
    TermsAcceptance,
    Worker,
)
from tests.leaderboard.factories import Cast, make_submission, make_team, make_user

MODELS = [model for model in admin.site._registry if model._meta.app_label == "leaderboard"]


def address(model: type, page: str = "changelist", *args: object) -> str:
    return reverse(f"admin:leaderboard_{model._meta.model_name}_{page}", args=args)


@pytest.fixture
def full(cast: Cast) -> Cast:
    return fill(cast)


def fill(cast: Cast) -> Cast:
    """A competition with a row of everything."""
    for counts, team in (((80, 20, 20), cast.team), ((60, 40, 40), cast.other_team)):
        make_submission(team, cast.phase, counts)
    make_submission(cast.team, cast.phase, state=Evaluation.State.INVALID, problems=(too_large(10, 1),))
    make_submission(cast.team, cast.phase, state=Evaluation.State.FAILED)
    make_submission(cast.team, cast.phase, state=Evaluation.State.QUEUED)
    Page.objects.create(competition=cast.competition, slug="rules", title="Rules", body="Be kind.")
    PublishedEntry.objects.create(phase=cast.phase, name="Kingdrone", f1="80.41", source="the paper")
    AuditEntry.objects.append("made", competition=cast.competition, subject="a test")
    ApiToken.objects.create(user=cast.owner, name="laptop")
    PhaseReport.objects.create(phase=cast.phase)
    Review.objects.create(
        phase=cast.phase,
        kind="same_counts",
        team=cast.team,
        other=cast.other_team,
        evidence={"value": 0.5, "limit": 0.1},
    )
    Mail.objects.create(competition=cast.competition, to="away@example.org", subject="Labels")
    LabelReport.objects.create(phase=cast.phase, team=cast.team, patch=1, text="a landslide that is none")
    Prize.objects.create(competition=cast.competition, title="1st place", phase=cast.phase, rank=1)
    Extension.objects.create(team=cast.team, phase=cast.phase, quota_total=5, reason="ill")
    Worker.objects.sign("host:1", timezone.now())
    RefusedUpload.objects.note(cast.owner, cast.phase, "too_large", "The archive is too large.")
    Announcement.objects.create(competition=cast.competition, title="New dates", body="Later.")
    Picture.objects.create(competition=cast.competition, name="a.png", media_type="image/png", content=b"PNG")
    DataFile.objects.create(competition=cast.competition, name="a.zip", url="https://example.org/a.zip")
    Rehearsal.objects.create(competition=cast.competition)
    Role.objects.create(competition=cast.competition, user=cast.stranger, kind="jury")
    special = Prize.objects.create(competition=cast.competition, title="Special")
    JuryVote.objects.create(prize=special, juror=cast.stranger, team=cast.team, reason="New.")
    terms = Terms.objects.create(competition=cast.competition, version=1, body="Be fair.")
    TermsAcceptance.objects.create(terms=terms, user=cast.owner)
    Question.objects.create(competition=cast.competition, title="Dates", body="When?", asked_by=cast.owner)
    BulkAct.objects.create(competition=cast.competition, kind="rescore", reason="try", rows=[], total=0)
    add_to_the_roster(cast.team, cast.other_team)
    return cast


def add_to_the_roster(team: Team, other: Team) -> None:
    JoinRequest.objects.create(team=team, user=make_user(), message="landslides!")
    Merger.objects.create(team=team, other=other, proposed_by=team.members.first())
    MethodDescription.objects.create(team=team, pdf=b"%PDF-1.7", uploaded_at=timezone.now())
    Award.objects.create(competition=team.competition, team=team, title=f"Prize of {team}")


@pytest.fixture
def superuser(client: Client, db: None) -> Client:
    client.force_login(make_user("root", is_staff=True, is_superuser=True))
    return client


@pytest.fixture
def organiser(client: Client, cast: Cast) -> Client:
    client.force_login(cast.organiser)
    return client


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_list_and_row_answer_superusers(full: Cast, superuser: Client, model: type) -> None:
    assert superuser.get(address(model)).status_code == 200
    row = model.objects.first()
    assert row is not None
    assert superuser.get(address(model, "change", row.pk)).status_code == 200
    assert superuser.get(address(model) + "?q=land").status_code == 200
    if admin.site._registry[model].has_add_permission(superuser.get(address(model)).wsgi_request):
        assert superuser.get(address(model, "add"), follow=True).status_code == 200


@pytest.mark.parametrize("model", [m for m in MODELS if m is not ApiToken], ids=lambda model: model.__name__)
def test_list_and_row_answer_organisers(full: Cast, organiser: Client, model: type) -> None:
    assert organiser.get(address(model)).status_code == 200
    assert organiser.get(address(model, "change", model.objects.first().pk)).status_code == 200


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_a_longer_list_needs_no_more_queries(full: Cast, superuser: Client, model: type) -> None:
    superuser.get(address(model))

    def queries() -> int:
        with CaptureQueriesContext(
            connection,
        ) as captured:
            assert superuser.get(address(model)).status_code == 200
        return len(captured)

    before = queries()
    for number in range(5):
        team = make_team(full.competition, f"More {number}")
        make_submission(team, full.phase, state=Evaluation.State.INVALID)
        Page.objects.create(competition=full.competition, slug=f"p{number}", title="More", body="")
        PublishedEntry.objects.create(phase=full.phase, name=f"Entry {number}", f1="70", source="the paper")
        AuditEntry.objects.append("made", competition=full.competition, subject="a test")
        ApiToken.objects.create(user=team.members.get(), name="laptop")
        Prize.objects.create(competition=full.competition, title=f"Prize {number}")
        add_to_the_roster(team, full.team)
    assert queries() == before


def test_participants_are_kept_out(cast: Cast, client: Client) -> None:
    client.force_login(cast.owner)
    for model in MODELS:
        assert client.get(address(model)).status_code in (302, 403)
    assert client.get(reverse("admin:leaderboard_phase_ranking", args=[cast.phase.pk])).status_code in (
        302,
        403,
    )


def test_a_stranger_is_sent_to_the_log_in(cast: Cast, client: Client) -> None:
    response = client.get(address(MODELS[0]))
    assert response.status_code == 302
    assert "login" in response["Location"]


class TestRanking:
    def url(self, cast: Cast) -> str:
        return reverse("admin:leaderboard_phase_ranking", args=[cast.phase.pk])

    def test_shows_ranks_counts_and_links(self, full: Cast, organiser: Client) -> None:
        page = organiser.get(self.url(full)).content.decode()
        cells = [re.sub(r"<[^>]+>|\s", "", cell) for cell in re.findall(r"<td[^>]*>(.*?)</td>", page, re.S)]
        assert cells[:9] == ["1", "Alpine", "80.00", "80.00", "80.00", "80", "20", "20", "1"]
        assert cells[11:20] == ["2", "Rivals", "60.00", "60.00", "60.00", "60", "40", "40", "1"]
        best = full.team.submissions.filter(evaluation__state="scored").get()
        assert reverse("admin:leaderboard_submission_change", args=[best.pk]) in page
        assert "Kingdrone" in page
        assert "not scored here" in page

    def test_is_exact_while_the_phase_hides_everything(self, full: Cast, organiser: Client) -> None:
        full.phase.hidden_until_close = True
        full.phase.closes_at = timezone.now() + timedelta(days=1)
        full.phase.save()
        page = organiser.get(self.url(full)).content.decode()
        assert "80.00" in page
        assert "Participants see no board" in page

    def test_a_reference_entry_stands_apart(self, full: Cast, organiser: Client) -> None:
        own = make_team(full.competition, "Organisers", is_organisers=True)
        make_submission(own, full.phase, (90, 10, 10), reference=True, method="U-Net baseline")
        page = organiser.get(self.url(full)).content.decode()
        assert page.index("Reference entries") < page.index("U-Net baseline")
        assert page.index("Rivals") < page.index("U-Net baseline")

    def test_as_csv(self, full: Cast, organiser: Client) -> None:
        full.team.name = "=HYPERLINK(1)"
        full.team.save()
        text = organiser.get(self.url(full) + "?format=csv").content.decode()
        lines = text.split("\r\n")
        assert lines[0].startswith("rank,kind,team,submission,method,f1,precision,recall,tp,fp,fn")
        assert lines[1].startswith("1,team,'=HYPERLINK(1),")
        assert ",0.8,0.8,0.8,80,20,20,1," in lines[1]

    def test_asks_few_queries(self, full: Cast, organiser: Client, django_assert_max_num_queries) -> None:
        for number in range(10):
            make_submission(make_team(full.competition, f"More {number}"), full.phase, (50 + number, 5, 5))
        organiser.get(self.url(full))
        with django_assert_max_num_queries(12):
            organiser.get(self.url(full))

    def test_the_menu_leads_to_the_open_phase(self, full: Cast, organiser: Client) -> None:
        response = organiser.get(reverse("admin:leaderboard_phase_rankings"))
        assert response["Location"] == self.url(full)


class TestOverview:
    """What the desk says is in test_desk.py."""

    def test_nothing_of_another_competition(self, full: Cast, client: Client) -> None:
        client.force_login(make_user("elsewhere", is_staff=True))
        page = client.get(reverse("admin:index")).content.decode()
        assert "You do not organise a competition yet" in page
        assert "0123456789ab" not in page
        assert re.search(r'<link[^>]*rel="icon"[^>]*logo[^>]*svg', page)


def test_a_submission_shows_result_history_and_incident(full: Cast, organiser: Client) -> None:
    failed = full.team.submissions.get(evaluation__state="failed")
    page = organiser.get(reverse("admin:leaderboard_submission_change", args=[failed.pk])).content.decode()
    assert "0123456789ab" in page
    assert "internal_error" in page
    invalid = full.team.submissions.get(evaluation__state="invalid")
    page = organiser.get(reverse("admin:leaderboard_submission_change", args=[invalid.pk])).content.decode()
    assert "too_large" in page
    assert "the archive was invalid" in page
    scored = full.team.submissions.get(evaluation__state="scored")
    page = organiser.get(reverse("admin:leaderboard_submission_change", args=[scored.pk])).content.decode()
    assert "80.00 / 80.00 / 80.00" in page
    assert "80 / 20 / 20" in page


def test_an_archive_is_downloaded_as_a_file(full: Cast, organiser: Client) -> None:
    submission = full.team.submissions.first()
    page = organiser.get(
        reverse("admin:leaderboard_submission_change", args=[submission.pk])
    ).content.decode()
    assert reverse("pages:archive", args=[submission.pk]) in page
    response = organiser.get(reverse("pages:archive", args=[submission.pk]))
    assert b"".join(response.streaming_content) == b"an archive that nobody reads"
    assert response["Content-Disposition"].startswith("attachment")
    assert response["X-Content-Type-Options"] == "nosniff"


def test_an_empty_list_says_whether_there_are_none_or_none_match(cast: Cast, client: Client) -> None:
    client.force_login(cast.organiser)
    address = reverse("admin:leaderboard_award_changelist")
    assert "There are no awards yet." in client.get(address).content.decode()
    assert "No awards match this search" in client.get(address, {"q": "best"}).content.decode()
    people = client.get(reverse("admin:leaderboard_user_changelist"), {"q": "nobody"}).content.decode()
    assert "No people match this search" in people
