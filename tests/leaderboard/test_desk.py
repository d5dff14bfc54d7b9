"""The organisers' desk: what waits, when, how much; and every number leads to exactly the rows that it counts."""

import re
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.admin import site
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from evaluation.archive.problems import too_large
from leaderboard.actions import submissions
from leaderboard.actions.refusals import Refusal
from leaderboard.models import (
    Evaluation,
    LabelReport,
    LabelSet,
    Mail,
    MethodDescription,
    Phase,
    PhaseFigures,
    PhaseReport,
    Prize,
    Question,
    RefusedUpload,
    Review,
    Team,
    Worker,
)
from leaderboard.reporting import counting
from leaderboard.scoring import queue
from tests.leaderboard.factories import (
    Cast,
    make_competition,
    make_labels,
    make_phase,
    make_submission,
    make_team,
    make_user,
    upload,
)

NOW = timezone.now


@pytest.fixture
def desk(cast: Cast, client: Client) -> Client:
    client.force_login(cast.organiser)
    return client


def shown(client: Client, **query: Any) -> dict[str, Any]:
    response = client.get(reverse("admin:index"), query)
    assert response.status_code == 200
    return response.context


def rows_behind(client: Client, item: Any) -> Any:
    """The rows of the list that a number leads to."""
    response = client.get(item.link)
    assert response.status_code == 200, item.link
    return response.context["cl"].queryset


def fill(cast: Cast) -> None:
    """Something of everything that waits, more than once where it can, and the same in a competition of others."""
    others = make_competition("others", organiser=make_user("other-organiser", is_staff=True))
    for competition, phase, team, other in (
        (cast.competition, cast.phase, cast.team, cast.other_team),
        (others, make_phase(others), make_team(others), make_team(others)),
    ):
        make_phase(competition, "test", labels=False, opens_at=NOW() + timedelta(days=3))
        make_phase(competition, "later", labels=False, opens_at=NOW() + timedelta(days=300))
        ended = make_phase(competition, "ended", closes_at=NOW() - timedelta(days=1))
        for _ in range(2):
            make_submission(team, phase, state=Evaluation.State.FAILED)
        make_submission(team, ended, state=Evaluation.State.FAILED)
        for number in range(3):
            Mail.objects.create(competition=competition, to="a@example.org", subject="x", failed_at=NOW())
            LabelReport.objects.create(phase=phase, team=team, patch=number + 1, text="wrong")
        Mail.objects.create(competition=competition, to="a@example.org", subject="on its way")
        LabelReport.objects.create(phase=phase, team=team, patch=1, text="decided", decided_at=NOW())
        for member, verdict in ((team, "open"), (other, "accepted")):
            MethodDescription.objects.create(team=member, pdf=b"%PDF", uploaded_at=NOW(), verdict=verdict)
        Review.objects.create(phase=phase, kind="same_masks", team=team, other=other, evidence={"masks": 1})
        waiting = LabelSet.objects.get(pk=make_labels(phase).pk)
        Phase.objects.filter(pk=phase.pk).update(labels=phase.label_sets.get(version=1))
        assert waiting.version == 2
        PhaseReport.objects.create(phase=ended, label_set=ended.labels, built_at=NOW())
        Prize.objects.create(competition=competition, title="1st", phase=ended, rank=1)
        Prize.objects.create(competition=competition, title="jury's")
        Question.objects.create(competition=competition, title="May we?", body="Use other data?")
        Question.objects.create(
            competition=competition, title="Since", body="when?", answer="Since May.", answered_at=NOW()
        )
        competition.approval_needed_from = NOW() - timedelta(minutes=5)
        competition.save()
        make_team(competition, f"Waits in {competition}")
        Team.objects.filter(pk__in=[team.pk, other.pk]).update(approval="approved")


@pytest.mark.django_db
class TestToDo:
    def test_everything_that_waits_is_named_with_its_number(self, cast: Cast, desk: Client) -> None:
        fill(cast)
        todo = {item.words: item.number for item in shown(desk)["todo"]}
        assert todo == {
            "evaluations of Validation failed by a fault of the server": 2,
            "evaluation of Ended failed by a fault of the server": 1,
            "phase needs labels": 1,
            "mails could not be delivered": 3,
            "question to answer": 1,
            "team to approve": 1,
            "label reports to decide": 3,
            "label version to compare and put in force": 1,
            "method description to judge": 1,
            "finding of the detectors to look at": 1,
            "report to publish": 1,
            "award by rank to give": 1,
        }

    def test_each_number_leads_to_exactly_its_rows(self, cast: Cast, desk: Client) -> None:
        fill(cast)
        for item in shown(desk)["todo"]:
            found = rows_behind(desk, item)
            assert found.count() == item.number, item

    def test_what_was_done_waits_no_longer(self, cast: Cast, desk: Client) -> None:
        assert shown(desk)["todo"] == []
        made = make_submission(cast.team, cast.phase, state=Evaluation.State.FAILED)
        [item] = shown(desk)["todo"]
        assert "0123456789ab" in item.note
        Evaluation.objects.create(submission=made, label_set=cast.phase.labels)
        assert shown(desk)["todo"] == []
        assert "Nothing waits for you" in desk.get(reverse("admin:index")).content.decode()


@pytest.mark.django_db
class TestPhases:
    def test_the_open_phase_comes_first(self, cast: Cast, desk: Client) -> None:
        Phase.objects.filter(pk=cast.phase.pk).update(position=5)
        make_phase(cast.competition, "early", position=1, closes_at=NOW() - timedelta(days=1))
        make_phase(cast.competition, "late", position=2, opens_at=NOW() + timedelta(days=3))
        assert [card["phase"].slug for card in shown(desk)["phases"]] == ["validation", "late", "early"]

    def test_each_number_leads_to_exactly_its_rows(self, cast: Cast, desk: Client) -> None:
        for state in (*["scored"] * 4, *["invalid"] * 3, *["failed"] * 2):
            problems = (too_large(10, 1),) if state == "invalid" else ()
            make_submission(cast.team, cast.phase, state=state, problems=problems)
        make_submission(cast.other_team, cast.phase, state="queued")
        counting.keep_up(NOW())
        [card] = shown(desk)["phases"]
        numbers = {item.words: item.number for item in card["items"]}
        assert numbers == {
            "team ranked": 1, "scored": 4, "invalid": 3, "failed": 2, "waiting": 1, "being scored": 0,
        }  # fmt: skip
        for item in card["items"][1:]:
            assert rows_behind(desk, item).count() == item.number, item
        assert card["oldest"] is not None
        assert desk.get(card["items"][0].link).context["phase"] == cast.phase


@pytest.mark.django_db
class TestDates:
    def test_the_next_date_ticks(self, cast: Cast, desk: Client) -> None:
        cast.competition.roster_locks_at = NOW() + timedelta(days=9)
        cast.competition.save()
        Phase.objects.filter(pk=cast.phase.pk).update(closes_at=NOW() + timedelta(days=2, hours=3, minutes=1))
        context = shown(desk)
        assert [date.words for date in context["dates"]] == ["Validation ends", "Teams are locked"]
        page = desk.get(reverse("admin:index")).content.decode()
        assert 'class="countdown"' in page
        assert "2\xa0days, 3\xa0hours" in page
        assert desk.get(context["dates"][0].link).status_code == 200

    def test_nothing_is_ahead(self, cast: Cast, desk: Client) -> None:
        assert shown(desk)["dates"] == []
        assert "No date is ahead" in desk.get(reverse("admin:index")).content.decode()


@pytest.mark.django_db
class TestSwitch:
    def test_the_competition_with_an_open_phase_comes_first_and_others_are_a_click_away(
        self, cast: Cast, desk: Client
    ) -> None:
        newer = make_competition("newer", organiser=cast.organiser)
        context = shown(desk)
        assert [each.slug for each in context["competitions"]] == ["landslides", "newer"]
        assert context["chosen"] == cast.competition
        assert shown(desk, competition=newer.pk)["chosen"] == newer
        assert shown(desk, competition="nonsense")["chosen"] == cast.competition

    def test_a_competition_of_others_cannot_be_chosen(self, cast: Cast, desk: Client) -> None:
        secret = make_competition("secret", organiser=make_user("other-organiser", is_staff=True))
        assert shown(desk, competition=secret.pk)["chosen"] == cast.competition


@pytest.mark.django_db
class TestRefusedUploads:
    def refuse(self, cast: Cast, user: Any, **fields: Any) -> None:
        with pytest.raises(Refusal):
            submissions.submit(user, cast.phase, upload(**fields), method="U-Net")

    def test_counted_by_reason_and_each_leads_to_its_rows(self, cast: Cast, desk: Client) -> None:
        Phase.objects.filter(pk=cast.phase.pk).update(quota_total=0)
        cast.phase.refresh_from_db()
        for user, times in ((cast.owner, 3), (cast.rival, 1)):
            for _ in range(times):
                self.refuse(cast, user)
        self.refuse(cast, cast.owner, content=b"")
        old = timezone.now() - timedelta(days=8)
        RefusedUpload.objects.create(
            phase=cast.phase, user=cast.owner, code="too_large", day=old.date(), last_at=old
        )
        reasons = shown(desk)["refused"]
        assert [(item.words, item.number) for item in reasons] == [
            ("total quota used up", 4),
            ("empty file", 1),
        ]
        for item in reasons:
            assert sum(rows_behind(desk, item).values_list("number", flat=True)) == item.number
        row = RefusedUpload.objects.get(user=cast.owner, code="total_used_up")
        assert (row.number, row.team) == (3, cast.team)
        assert "has used all 0 submissions of Validation" in row.sentence

    def test_an_archive_that_cannot_be_scored_is_one(self, cast: Cast, desk: Client) -> None:
        submissions.submit(cast.owner, cast.phase, upload(), method="U-Net")
        held = queue.claim("worker")
        assert held is not None
        queue.record_invalid(held, [too_large(10, 1)])
        assert [(item.words, item.number) for item in shown(desk)["refused"]] == [("file too large", 1)]

    def test_rows_are_kept_for_a_month(self, cast: Cast) -> None:
        for days in (31, 29):
            day = timezone.now() - timedelta(days=days)
            RefusedUpload.objects.create(
                phase=cast.phase, user=cast.owner, code="too_large", day=day.date(), last_at=day
            )
        assert RefusedUpload.objects.outdated(timezone.now()).count() == 1


@pytest.mark.django_db
class TestServer:
    def test_workers_queue_disk_and_database(self, cast: Cast, desk: Client) -> None:
        Worker.objects.sign("host:1", NOW())
        Worker.objects.sign("host:2", NOW() - timedelta(minutes=10))
        Worker.objects.sign("host:3", NOW(), Worker.Confinement.REFUSES)
        make_submission(cast.team, cast.phase, state="queued")
        server = shown(desk)["server"]
        assert [(item.words, item.number) for item in server["workers"]] == [
            ("at work", 1),
            ("silent", 1),
            ("refusing to score", 1),
        ]
        for item in (*server["workers"], server["queue"]):
            assert rows_behind(desk, item).count() == item.number
        assert server["queue"].number == 1
        assert 0 < server["capacity"].disk_free < server["capacity"].disk_total
        page = " ".join(desk.get(reverse("admin:index")).content.decode().split())
        assert re.search(r'<a href="[^"]+"> <b>[^<]+</b> of [^<]+ free for archives</a>', page)
        assert re.search(r'<a href="[^"]+"> <b>[^<]+</b> of results in the database</a>', page)

    def test_no_worker_is_said_in_red(self, cast: Cast, desk: Client) -> None:
        [item] = shown(desk)["server"]["workers"]
        assert item.number == 0
        assert "0</b> workers at work" in " ".join(desk.get(reverse("admin:index")).content.decode().split())


@pytest.mark.django_db
def test_the_desk_asks_few_queries(cast: Cast, desk: Client, django_assert_max_num_queries: Any) -> None:
    fill(cast)
    for name in ("second", "third"):
        make_phase(make_competition(name, organiser=cast.organiser))
    shown(desk)
    with django_assert_max_num_queries(10):
        shown(desk)


@pytest.mark.django_db
def test_the_list_of_phases_shows_the_figures_once_there_are_any(cast: Cast, desk: Client) -> None:
    """Counting half a million submissions takes longer than the rest of the page."""
    make_submission(cast.team, cast.phase)

    def listed() -> list[int]:
        rows = desk.get(reverse("admin:leaderboard_phase_changelist")).context["cl"].result_list
        admin_of = site.get_model_admin(Phase)
        return [admin_of.submission_count(row) for row in rows if row.pk == cast.phase.pk]

    assert listed() == [1]
    counting.keep_up(NOW())
    assert listed() == [1]
    PhaseFigures.objects.filter(phase=cast.phase).update(states={"scored": 4_000, "queued": 321})
    assert listed() == [4_321]
    page = desk.get(reverse("admin:leaderboard_phase_load_labels", args=[cast.phase.pk])).content.decode()
    assert "4,321\n          submissions of this phase" in page
