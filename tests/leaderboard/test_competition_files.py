"""Competition files: the preset as it was run, every problem at once, changes shown before they are made."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import h5py
import numpy as np
import pytest
from django.core.management import CommandError, call_command

from evaluation.archive import mask_zip
from evaluation.task import TASK
from leaderboard.actions import competition_files
from leaderboard.actions.calendars import moved
from leaderboard.actions.competition_checks import CompetitionFileInvalid
from leaderboard.actions.competition_files import apply, plan, read_file
from leaderboard.models import AuditEntry, Competition, PublishedEntry, Standing
from tests.leaderboard.factories import make_labels, make_masks, make_submission, make_team, make_user

pytestmark = pytest.mark.django_db

SMALL = """
[competition]
slug = "small"
name = "Small"
[[phases]]
slug = "one"
name = "One"
opens_at = 2022-04-01T00:00:00Z
quota_total = 3
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "competition.toml"
    path.write_text(text)
    return path


def applied(path: Path) -> Competition:
    return apply(plan(read_file(path)))


PUBLISHED = [  # Tables I, II, V and VI of the outcome paper, and section IV: precision, recall, F1
    ("validation", "U-Net baseline", "51.75", "65.50", "57.82"),
    ("validation", "Kingdrone", None, None, "80.41"),
    ("validation", "Seek", "78.2", "74.2", "76.1"),
    ("test", "U-Net baseline", "52.45", "69.87", "59.92"),
    ("test", "Kingdrone", None, None, "74.54"),
    ("test", "Seek", None, None, "73.99"),
    ("test", "Seek, without self-training", None, None, "71.89"),
    ("test", "Tanmlh", None, None, "73.50"),
    ("test", "Sklgp", None, None, "71.29"),
]


def test_the_preset_has_the_rules_of_2022():
    competition = applied(Path("l4s-2022"))
    validation, test, future = competition.phases.all()
    assert (validation.quota_on_board, validation.quota_total, validation.allows_withdrawal) == (
        10,
        None,
        True,
    )
    assert (test.quota_on_board, test.quota_total, test.allows_withdrawal) == (None, 10, False)
    assert (validation.visible_metrics, test.visible_metrics, future.closes_at) == ("all", "f1", None)
    assert validation.opens_at == datetime(2022, 4, 1, tzinfo=UTC)
    assert validation.closes_at == test.opens_at == datetime(2022, 6, 15, tzinfo=UTC)
    rows = PublishedEntry.objects.values_list("phase__slug", "name", "precision", "recall", "f1")
    assert set(rows) == {(*row[:2], *(n and Decimal(n) for n in row[2:])) for row in PUBLISHED}
    assert competition.roster_locks_at == datetime(2022, 6, 13, tzinfo=UTC)
    assert competition.roster_reopens_at == future.opens_at, "open to everyone"
    prizes = [(prize.title, prize.phase, prize.rank) for prize in competition.prizes.all()]
    assert prizes == [
        ("1st place", test, 1),
        ("2nd place", test, 2),
        ("3rd place", test, 3),
        ("Special prize", None, None),
    ]
    assert plan(read_file(Path("l4s-2022"))).lines == []


AWARDS = """
[[awards]]
title = "Winner"
phase = "one"
rank = 1
"""


def test_awards_are_checked_changed_and_removed(tmp_path):
    applied(write(tmp_path, SMALL + AWARDS))
    second = AWARDS.replace("Winner", "Second").replace("rank = 1", 'rank = 2\nnote = "well done"')
    changed = SMALL + AWARDS.replace("rank = 1", "").replace('phase = "one"', "") + second
    assert plan(read_file(write(tmp_path, changed))).lines == [
        "prize Winner: rank: 1 → None",
        "prize Winner: phase: one → None",
        "prize Second: new",
    ]
    applied(write(tmp_path, changed))
    assert plan(read_file(write(tmp_path, SMALL))).lines == ["prize Winner: removed", "prize Second: removed"]
    wrong = SMALL + AWARDS + AWARDS.replace("one", "two") + AWARDS.replace("rank = 1", "") + "[[awards]]\n"
    with pytest.raises(CompetitionFileInvalid) as refused:
        plan(read_file(write(tmp_path, wrong)))
    told = "\n".join(refused.value.problems)
    assert "awards[2]: phase: 'two' is not a phase of this file." in told
    assert "awards[3]: name both phase and rank, or neither" in told
    assert "awards[1]: title: 'Winner' is there twice." in told
    assert "awards[4]: title: This field cannot be blank." in told


def test_applying_twice_changes_nothing(tmp_path):
    path = write(tmp_path, SMALL)
    applied(path)
    assert plan(read_file(path)).lines == []


def test_changes_are_shown_before_they_are_made(tmp_path):
    applied(write(tmp_path, SMALL))
    changed = write(tmp_path, SMALL.replace("quota_total = 3", "quota_total = 5").replace('"One"', '"First"'))
    assert plan(read_file(changed)).lines == ["phase one: name: One → First; quota_total: 3 → 5"]
    assert Competition.objects.get().phases.get().quota_total == 3
    applied(changed)
    assert Competition.objects.get().phases.get().quota_total == 5
    assert AuditEntry.objects.filter(act="competition file applied").count() == 2


def test_every_problem_is_named_at_once(tmp_path):
    text = SMALL.replace(
        "quota_total = 3", "quota_totl = 3\nquota_per_day = -1\nladder_step = 0.005"
    ).replace("00:00:00Z", "00:00:00")
    with pytest.raises(CompetitionFileInvalid) as refused:
        plan(read_file(write(tmp_path, text)))
    text = str(refused.value)
    for words in ("Did you mean quota_total?", "quota_per_day", "time zone", "Ladder needs"):
        assert words in text
    assert not Competition.objects.exists()


@pytest.mark.parametrize("name", ["no-such-file.toml", "no-such-preset"])
def test_a_missing_file_names_the_presets(name):
    with pytest.raises(CompetitionFileInvalid, match="hidden-test, l4s-2022"):
        read_file(Path(name))


def test_not_toml(tmp_path):
    with pytest.raises(CompetitionFileInvalid, match="not valid TOML"):
        read_file(write(tmp_path, "[competition\n"))


def test_a_phase_with_submissions_cannot_be_left_out(tmp_path):
    competition = applied(
        write(tmp_path, SMALL + 'labels = { path = "masks.zip" }\n') if labels(tmp_path) else None
    )
    make_submission(make_team(competition), competition.phases.get())
    with pytest.raises(CompetitionFileInvalid, match="has submissions"):
        plan(read_file(write(tmp_path, SMALL.replace('slug = "one"', 'slug = "two"'))))


def labels(folder: Path) -> bool:
    mask_zip.write(folder / "masks.zip", make_masks())
    return True


def test_labels_of_the_file_are_loaded_once(tmp_path):
    labels(tmp_path)
    path = write(tmp_path, SMALL + 'labels = { path = "masks.zip", note = "first" }\n')
    phase = applied(path).phases.get()
    assert (phase.labels.version, phase.labels.patches, phase.labels.note) == (1, 3, "first")
    told = str(AuditEntry.objects.get(act="competition file applied").details)
    assert "new labels of 3 patches" in told
    assert phase.labels.sha256[:8] not in told, "without its salt it confirms a guess"
    assert plan(read_file(path)).lines == []
    with pytest.raises(CompetitionFileInvalid, match="cannot be read"):
        plan(read_file(write(tmp_path, SMALL + 'labels = { path = "gone.zip" }\n')))


def test_sites_and_images_of_the_file_are_kept_once(tmp_path):
    labels(tmp_path)
    (tmp_path / "sites.csv").write_text("patch,site\n1,a\n2,b\n3,a\n")
    for number in range(1, 4):
        with h5py.File(tmp_path / f"image_{number}.h5", "w") as file:
            file["img"] = np.random.default_rng(number).random((16, 16, 14))
    path = write(tmp_path, SMALL + 'labels = { path = "masks.zip", sites = "sites.csv", images = "." }\n')
    phase = applied(path).phases.get()
    assert phase.labels.sites == ["a", "b", "a"]
    assert phase.quick_looks.count() == 3 * len(TASK.composites)
    told = str(list(AuditEntry.objects.for_public().values_list("details", flat=True)))
    assert "new labels, sites, images of 3 patches" in told
    assert not plan(read_file(path)).lines
    (tmp_path / "sites.csv").write_text("patch,site\n1,a\n2,b\n3,c\n")
    phase = applied(path).phases.get()
    assert (phase.labels.version, phase.labels.sites) == (1, ["a", "b", "c"])
    (tmp_path / "sites.csv").write_text("patch,site\n1,a\n")
    (tmp_path / "image_2.h5").unlink()
    with pytest.raises(CompetitionFileInvalid) as refused:
        plan(read_file(path))
    assert any("sites" in problem and "patch 2 and 1 more" in problem for problem in refused.value.problems)
    assert any("image_2.h5 is missing" in problem for problem in refused.value.problems)


def test_the_command_asks_and_names_organisers(tmp_path, capsys, monkeypatch):
    path = str(write(tmp_path, SMALL))
    with pytest.raises(CommandError, match="no user 'nobody'"):
        call_command("create_competition", path, "--organiser", "nobody")
    call_command("create_competition", path, "--dry-run")
    assert "phase one: new" in capsys.readouterr().out
    monkeypatch.setattr("builtins.input", lambda _: "n")
    with pytest.raises(CommandError, match="No changes were made"):
        call_command("create_competition", path)
    assert not Competition.objects.exists()
    user = make_user("chair")
    call_command("create_competition", path, "--organiser", "chair", "--yes")
    assert Competition.objects.get().is_organised_by(user)


def test_a_moved_calendar_moves_every_date():
    document = moved(read_file(competition_files.PRESETS / "l4s-2022.toml"), timedelta(days=1))
    assert document["phases"][0]["opens_at"] == datetime(2022, 4, 2, tzinfo=UTC)
    assert document["competition"]["roster_locks_at"] == datetime(2022, 6, 14, tzinfo=UTC)


def test_a_changed_rule_reaches_the_board_and_undoes_nothing(tmp_path):
    competition = applied(write(tmp_path, SMALL))
    phase = competition.phases.get()
    team = make_team(competition)
    planned = plan(read_file(write(tmp_path, SMALL + 'counts = "latest"\n')))
    make_labels(phase)
    make_submission(team, phase, (90, 5, 5))
    latest = make_submission(team, phase, (60, 5, 5))
    phase.refresh_from_db()
    version = phase.board_version
    apply(planned)
    phase.refresh_from_db()
    assert phase.labels == latest.evaluation.label_set
    assert phase.board_version > version
    assert Standing.objects.get(team=team).submission == latest


def test_days_count_from_the_start(tmp_path):
    counted = "starts_at = 2027-03-01T00:00:00Z\n" + SMALL.replace("2022-04-01T00:00:00Z", '"day 7 12:30"')
    phase = applied(write(tmp_path, counted)).phases.get()
    assert phase.opens_at == datetime(2027, 3, 8, 12, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            SMALL.replace("2022-04-01T00:00:00Z", '"day 7"'),
            r"phases\[1\]: opens_at: 'day 7' counts from starts_at",
        ),
        (SMALL.replace("2022-04-01T00:00:00Z", '"soon"'), r"phases\[1\]: opens_at: 'soon' is not a date"),
    ],
)
def test_a_day_that_is_none_is_named(tmp_path, text, problem):
    with pytest.raises(CompetitionFileInvalid, match=problem):
        plan(read_file(write(tmp_path, text)))


@pytest.mark.parametrize("preset", ["hidden-test", "l4s-2022"])
def test_the_calendar_of_a_preset_can_begin_on_another_day(preset):
    call_command("create_competition", preset, "--starts", "2027-05-03", "--yes")
    first, second, _ = Competition.objects.get().phases.all()
    assert first.opens_at == datetime(2027, 5, 3, tzinfo=UTC)
    assert second.opens_at == first.closes_at > first.opens_at


def test_the_safer_preset_has_the_recommended_rules():
    competition = applied(Path("hidden-test"))
    validation, test, future = competition.phases.all()
    assert (validation.quota_per_day, validation.quota_total, validation.quota_on_board) == (5, 150, None)
    assert (validation.hidden_until_close, validation.ladder, validation.counts) == (False, None, "best")
    assert (test.quota_total, test.hidden_until_close, test.allows_withdrawal) == (10, True, False)
    assert (test.counts, test.selected_limit, test.ladder) == ("selected", 2, None)
    assert future.closes_at is None
    assert future.ladder is not None
    assert competition.roster_locks_at == test.opens_at == validation.closes_at
    assert competition.mergers_until < competition.roster_locks_at


def test_the_rules_page_of_the_safer_preset_has_the_numbers_of_its_phases():
    competition = applied(Path("hidden-test"))
    validation, test, future = competition.phases.all()
    rules = " ".join(competition.pages.get(slug="rules").body.split())
    for sentence in (
        f"At most {validation.quota_per_day} submissions per day (UTC) and {validation.quota_total} in total.",
        f"At most {test.quota_total} submissions in total; none can be withdrawn.",
        f"selects at most {test.selected_limit} submissions",
        f"at most {future.quota_per_day} submission per day (UTC)",
        f"whole steps of {100 * future.ladder_step:.1f} points",
        "can merge until a week before",
    ):
        assert sentence in rules, sentence
    assert competition.roster_locks_at - competition.mergers_until == timedelta(days=7)
    assert (
        f"{validation.quota_per_day} submissions per day and {validation.quota_total}" in validation.summary
    )
    overview = competition.pages.get(slug="overview").body
    assert f"after {(test.opens_at - validation.opens_at).days // 7} weeks | validation closes" in overview
    assert f"after {(test.closes_at - validation.opens_at).days // 7} weeks | the test closes" in overview
    assert (
        f"after {(competition.mergers_until - validation.opens_at).days // 7} weeks | last team mergers"
        in overview
    )


def test_the_help_lists_the_presets(capsys):
    with pytest.raises(SystemExit):
        call_command("create_competition", "--help")
    assert "hidden-test or l4s-2022" in " ".join(capsys.readouterr().out.split())
