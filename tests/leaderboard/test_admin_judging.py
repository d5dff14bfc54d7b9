"""What organisers do in the admin: each act asks for a reason, goes through the actions and is logged."""

from pathlib import Path

import numpy as np
import pytest
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import reverse

from evaluation.archive import mask_zip
from evaluation.task import MaskSpec
from leaderboard.models import (
    AuditEntry,
    Evaluation,
    LabelSet,
    Membership,
    Phase,
    PublishedEntry,
    Standing,
    Team,
)
from tests.leaderboard.admin_forms import as_sent
from tests.leaderboard.factories import (
    TINY,
    Cast,
    make_archive,
    make_labels,
    make_masks,
    make_submission,
    make_team,
    make_user,
    upload,
)

LIST = "/admin/leaderboard/submission/"


@pytest.fixture
def organiser(client: Client, cast: Cast) -> Client:
    client.force_login(cast.organiser)
    return client


def judge(client: Client, act: str, *submissions, **more: str):
    return client.post(LIST, {"action": act, "_selected_action": [s.pk for s in submissions], **more})


def detail(act: str, submission) -> str:
    return reverse(f"admin:leaderboard_submission_{act}", args=[submission.pk])


class TestDisqualify:
    def test_asks_first(self, cast: Cast, organiser: Client) -> None:
        made = make_submission(cast.team, cast.phase)
        response = judge(organiser, "disqualify", made)
        assert response.status_code == 200
        assert "reason" in response.content.decode()
        made.refresh_from_db()
        assert made.disqualified_at is None

    def test_needs_a_reason(self, cast: Cast, organiser: Client) -> None:
        made = make_submission(cast.team, cast.phase)
        assert judge(organiser, "disqualify", made, confirmed="yes", reason="  ").status_code == 200
        made.refresh_from_db()
        assert made.disqualified_at is None

    def test_several_at_once_and_back(self, cast: Cast, organiser: Client) -> None:
        first, second = make_submission(cast.team, cast.phase), make_submission(cast.other_team, cast.phase)
        response = judge(organiser, "disqualify", first, second, confirmed="yes", reason="shared masks")
        assert response.status_code == 302
        first.refresh_from_db()
        assert first.disqualified_reason == "shared masks"
        assert not Standing.objects.exists()
        entries = AuditEntry.objects.filter(act="disqualified")
        assert {(e.actor, e.reason) for e in entries} == {(cast.organiser, "shared masks")}
        assert entries.count() == 2
        judge(organiser, "restore", first, confirmed="yes", reason="a mistake")
        assert [s.team for s in Standing.objects.all()] == [cast.team]
        assert AuditEntry.objects.filter(act="restored", reason="a mistake").count() == 1

    def test_from_its_own_page(self, cast: Cast, organiser: Client) -> None:
        made = make_submission(cast.team, cast.phase)
        assert organiser.get(detail("disqualify_one", made)).status_code == 200
        response = organiser.post(
            detail("disqualify_one", made), {"confirmed": "yes", "reason": "two accounts"}
        )
        assert response["Location"] == reverse("admin:leaderboard_submission_change", args=[made.pk])
        made.refresh_from_db()
        assert made.disqualified_at is not None

    def test_a_search_asks_for_what_the_text_looks_like(self, cast: Cast, organiser: Client) -> None:
        mine = make_submission(cast.team, cast.phase)
        theirs = make_submission(cast.other_team, cast.phase, state="failed", by=cast.rival)
        for text, found in (
            (str(mine.pk), [mine]),
            (mine.sha256.upper(), [mine]),
            (theirs.evaluation.incident, [theirs]),
            ("alpine", [mine]),
            ("riva", [theirs]),
            (cast.owner.username, [mine]),
            ("9" * 30, []),
            ("nothing of this name", []),
        ):
            page = organiser.get(LIST, {"q": text})
            assert list(page.context["cl"].result_list) == found, text

    def test_all_of_a_filtered_list(self, cast: Cast, organiser: Client) -> None:
        for _ in range(3):
            make_submission(cast.team, cast.phase)
        kept = make_submission(cast.other_team, cast.phase)
        data = {"action": "disqualify", "_selected_action": kept.pk, "select_across": "1"}
        organiser.post(f"{LIST}?q=Alpine", {**data, "confirmed": "yes", "reason": "spam"})
        assert cast.team.submissions.filter(disqualified_at=None).count() == 0
        assert cast.other_team.submissions.filter(disqualified_at=None).count() == 1


class TestRescore:
    def test_queues_behind_fresh_ones(self, cast: Cast, organiser: Client) -> None:
        made = make_submission(cast.team, cast.phase)
        response = judge(organiser, "rescore", made, confirmed="yes", reason="new scorer")
        assert response.status_code == 302
        waiting = made.evaluations.get(state=Evaluation.State.QUEUED)
        assert waiting.priority == Evaluation.Priority.RESCORE
        assert AuditEntry.objects.get(act="re-scored").reason == "new scorer"
        made.refresh_from_db()
        assert made.state == Evaluation.State.SCORED

    def test_a_refusal_is_shown(self, cast: Cast, organiser: Client) -> None:
        made = make_submission(cast.team, cast.phase)
        Phase.objects.filter(pk=cast.phase.pk).update(labels=None)
        response = judge(organiser, "rescore", made, confirmed="yes", reason="why not")
        assert "has no labels yet" in response.content.decode()


class TestLabels:
    def url(self, cast: Cast) -> str:
        return reverse("admin:leaderboard_phase_load_labels", args=[cast.phase.pk])

    def test_before_the_first_submission_a_zip_is_in_force_at_once(
        self, cast: Cast, organiser: Client
    ) -> None:
        organiser.post(self.url(cast), {"masks": upload(make_archive(make_masks(seed=1)))})
        cast.phase.refresh_from_db()
        assert cast.phase.labels.version == 2

    def test_later_a_zip_waits_for_its_dry_run_and_a_second_act(self, cast: Cast, organiser: Client) -> None:
        made = make_submission(cast.team, cast.phase)
        before = cast.phase.labels
        file = upload(make_archive(make_masks(seed=1)))
        response = organiser.post(self.url(cast), {"masks": file, "note": "patch 2 was shifted"})
        assert response.status_code == 302, response.content.decode()
        cast.phase.refresh_from_db()
        assert cast.phase.labels == before
        loaded = cast.phase.label_sets.get(version=2)
        assert response["Location"] == reverse("admin:leaderboard_labelset_change", args=[loaded.pk])
        assert loaded.note == "patch 2 was shifted"
        assert made.evaluations.get(state="queued").label_set == loaded
        assert AuditEntry.objects.get(act="labels loaded").actor == cast.organiser
        organiser.post(
            reverse("admin:leaderboard_labelset_put_in_force", args=[loaded.pk]),
            {"confirmed": "yes", "reason": "patch 2"},
        )
        cast.phase.refresh_from_db()
        assert cast.phase.labels == loaded

    @pytest.mark.parametrize(
        ("masks", "sentence"),
        [
            (make_masks(MaskSpec(2, TINY.height, TINY.width)), "load these into a new phase"),
            (make_masks(MaskSpec(TINY.patches, 32, 32)), "could not be scored on them"),
            (
                np.zeros((TINY.patches, TINY.height, TINY.width), np.uint8),
                "No pixel of these labels is positive",
            ),
        ],
    )
    def test_labels_that_the_submissions_do_not_fit_are_refused(
        self, cast: Cast, organiser: Client, masks: np.ndarray, sentence: str
    ) -> None:
        make_submission(cast.team, cast.phase)
        page = organiser.post(self.url(cast), {"masks": upload(make_archive(masks))}).content.decode()
        assert sentence in page
        assert cast.phase.label_sets.count() == 1
        assert not Evaluation.objects.queued().exists()

    def test_an_old_version_of_another_shape_cannot_come_back(self, cast: Cast, organiser: Client) -> None:
        first = cast.phase.labels
        make_labels(cast.phase, make_masks(MaskSpec(2, TINY.height, TINY.width)))
        make_submission(cast.team, cast.phase)
        address = reverse("admin:leaderboard_labelset_put_in_force", args=[first.pk])
        page = organiser.post(address, {"confirmed": "yes", "reason": "back"}).content.decode()
        assert "could not be scored on them" in page

    def test_every_problem_is_named(self, cast: Cast, organiser: Client) -> None:
        page = organiser.post(self.url(cast), {"masks": upload(b"no zip")}).content.decode()
        assert "ZIP" in page
        assert cast.phase.label_sets.count() == 1

    def test_an_earlier_version_is_put_in_force_again(self, cast: Cast, organiser: Client) -> None:
        first = cast.phase.labels
        make_labels(cast.phase, make_masks(seed=1))
        address = reverse("admin:leaderboard_labelset_put_in_force", args=[first.pk])
        assert organiser.get(address).status_code == 200
        organiser.post(address, {"confirmed": "yes", "reason": "the new ones were wrong"})
        cast.phase.refresh_from_db()
        assert cast.phase.labels == first
        assert AuditEntry.objects.get(act="labels switched").reason == "the new ones were wrong"
        page = organiser.post(address, {"confirmed": "yes", "reason": "again"}).content.decode()
        assert "in force already" in page

    def test_the_masks_are_never_shown(self, cast: Cast, organiser: Client) -> None:
        page = organiser.get(reverse("admin:leaderboard_labelset_change", args=[cast.phase.labels.pk]))
        assert "masks" not in page.context["adminform"].readonly_fields
        names = {
            field for fieldset in page.context["adminform"] for line in fieldset for field in line.fields
        }
        assert not {"masks", "salt"} & names
        assert cast.phase.labels.salt not in page.content.decode()

    def test_by_the_command(self, cast: Cast, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        path = tmp_path / "labels.zip"
        path.write_bytes(make_archive(make_masks(seed=2)))
        call_command("load_labels", "landslides/validation", str(path), "--note", "by hand")
        assert "version 2 is current" in capsys.readouterr().out
        folder = tmp_path / "mask"
        folder.mkdir()
        for number, mask in enumerate(make_masks(seed=3), start=1):
            (folder / f"mask_{number}.h5").write_bytes(mask_zip.mask_file(mask))
        call_command("load_labels", str(cast.phase.pk), str(folder))
        assert LabelSet.objects.filter(phase=cast.phase).count() == 3

    @pytest.mark.parametrize(
        ("phase", "path", "sentence"),
        [
            (
                "landslides/final",
                "labels.zip",
                "landslides/final is not a phase. The phases are: landslides/validation",
            ),
            ("validation", "nothing.zip", "cannot be read"),
            ("validation", "bad.zip", "cannot be used"),
            ("validation", "empty.zip", "No pixel of these labels is positive"),
        ],
    )
    def test_the_command_refuses(
        self, cast: Cast, tmp_path: Path, phase: str, path: str, sentence: str
    ) -> None:
        (tmp_path / "labels.zip").write_bytes(make_archive())
        (tmp_path / "bad.zip").write_bytes(b"no zip")
        (tmp_path / "empty.zip").write_bytes(make_archive(np.zeros((3, 16, 16), np.uint8)))
        with pytest.raises(CommandError, match=sentence):
            call_command("load_labels", phase, str(tmp_path / path))


class TestChanges:
    """Forms write the changed columns, keep every board true, and leave an audit entry each."""

    def test_a_change_is_logged_with_before_and_after(self, cast: Cast, organiser: Client) -> None:
        entry = PublishedEntry.objects.create(phase=cast.phase, name="Seek", f1="76.1", source="the paper")
        address = reverse("admin:leaderboard_publishedentry_change", args=[entry.pk])
        data = {"phase": cast.phase.pk, "name": "Seek", "f1": "73.99", "source": "the paper"}
        before = Phase.objects.get(pk=cast.phase.pk).board_version
        assert organiser.post(address, data).status_code == 302
        logged = AuditEntry.objects.get(act="published entry changed")
        assert logged.details == {"f1": ["76.10", "73.99"]}
        assert (logged.actor, logged.competition) == (cast.organiser, cast.competition)
        assert Phase.objects.get(pk=cast.phase.pk).board_version == before + 1

    def test_an_addition_and_a_deletion_are_logged(self, cast: Cast, organiser: Client) -> None:
        data = {"phase": cast.phase.pk, "name": "Seek", "f1": "73.99", "source": "the paper"}
        organiser.post(reverse("admin:leaderboard_publishedentry_add"), data)
        entry = PublishedEntry.objects.get()
        organiser.post(reverse("admin:leaderboard_publishedentry_delete", args=[entry.pk]), {"post": "yes"})
        acts = list(AuditEntry.objects.order_by("pk").values_list("act", flat=True))
        assert acts == ["published entry added", "published entry deleted"]
        assert AuditEntry.objects.first_broken() is None

    def test_a_phase_form_does_not_undo_the_board_version(self, cast: Cast, organiser: Client) -> None:
        make_submission(cast.team, cast.phase, (80, 20, 20))
        make_submission(cast.team, cast.phase, (50, 20, 20))
        address = reverse("admin:leaderboard_phase_change", args=[cast.phase.pk])
        data = as_sent(organiser.get(address)) | {"counts": "latest", "reason": "as announced"}
        before = Phase.objects.get(pk=cast.phase.pk).board_version
        response = organiser.post(address, data)
        assert response.status_code == 302, response.context["errors"]
        phase = Phase.objects.get(pk=cast.phase.pk)
        assert phase.board_version > before
        assert phase.labels == cast.phase.labels
        assert Standing.objects.get(team=cast.team).submission.evaluation.tp == 50
        assert AuditEntry.objects.get(act="phase changed").details["counts"] == ["best", "latest"]

    def test_which_result_counts_follows_whether_scores_are_hidden(
        self, cast: Cast, organiser: Client
    ) -> None:
        Phase.objects.filter(pk=cast.phase.pk).update(counts="selected")  # and nobody selects any
        best = make_submission(cast.team, cast.phase, (80, 20, 20))
        latest = make_submission(cast.team, cast.phase, (50, 20, 20))
        address = reverse("admin:leaderboard_phase_change", args=[cast.phase.pk])
        assert Standing.objects.get(team=cast.team).submission == best
        data = as_sent(organiser.get(address)) | {"hidden_until_close": "on", "reason": "as announced"}
        assert organiser.post(address, data).status_code == 302
        assert Standing.objects.get(team=cast.team).submission == latest

    def test_two_teams_cannot_have_names_that_look_alike(self, cast: Cast, organiser: Client) -> None:
        address = reverse("admin:leaderboard_team_change", args=[cast.team.pk])
        data = as_sent(organiser.get(address))
        page = organiser.post(address, {**data, "name": "RIVALS  "}).content.decode()
        assert "exists already" in page
        assert organiser.post(address, {**data, "name": "Alpine Club"}).status_code == 302
        team = Team.objects.get(pk=cast.team.pk)
        assert (team.name, team.folded_name) == ("Alpine Club", "alpine club")

    def test_a_person_is_in_one_team(self, cast: Cast, client: Client) -> None:
        client.force_login(make_user("root", is_staff=True, is_superuser=True))
        address = reverse("admin:leaderboard_membership_add")
        data = {"team": cast.other_team.pk, "user": cast.owner.pk, "role": "member"}
        assert "in a team of this competition already" in client.post(address, data).content.decode()
        assert client.post(address, {**data, "user": cast.stranger.pk}).status_code == 302
        assert Membership.objects.get(user=cast.stranger).competition == cast.competition

    def test_a_password_is_never_logged(self, cast: Cast, client: Client) -> None:
        client.force_login(make_user("root", is_staff=True, is_superuser=True))
        address = reverse("admin:auth_user_password_change", args=[cast.owner.pk])
        client.post(address, {"password1": "a-new-long-password", "password2": "a-new-long-password"})
        cast.owner.refresh_from_db()
        assert cast.owner.check_password("a-new-long-password")
        text = str([(e.subject, e.details) for e in AuditEntry.objects.all()])
        assert "a-new-long" not in text
        assert "md5" not in text


def test_an_organiser_cannot_add_a_competition(cast: Cast, organiser: Client) -> None:
    assert organiser.get(reverse("admin:leaderboard_competition_add")).status_code == 403
    assert organiser.get(reverse("admin:leaderboard_user_add")).status_code == 403


def test_nothing_that_counts_can_be_edited_or_deleted(cast: Cast, organiser: Client) -> None:
    made = make_submission(make_team(cast.competition), cast.phase)
    for name, row in (
        ("submission", made),
        ("evaluation", made.evaluation),
        ("attempt", made.attempt),
        ("labelset", cast.phase.labels),
        ("phase", cast.phase),
        ("team", cast.team),
        ("competition", cast.competition),
    ):
        assert (
            organiser.post(f"/admin/leaderboard/{name}/{row.pk}/delete/", {"post": "yes"}).status_code == 403
        )
    assert (
        organiser.post(f"/admin/leaderboard/submission/{made.pk}/change/", {"method": "x"}).status_code == 403
    )
