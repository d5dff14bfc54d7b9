import gzip
import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from evaluation.__main__ import main
from evaluation.report.phase_report import Masks, Submissions, build
from evaluation.scoring.counts import count, pack
from evaluation.scoring.metrics import f1
from evaluation.statistics.history import Scored
from evaluation.statistics.intervals import score_intervals
from evaluation.statistics.table import CountTable
from evaluation.task import MaskSpec
from tests.evaluation.population import made_up_counts, write_counts

ROOT = Path(__file__).resolve().parents[2]
NOON = datetime(2022, 6, 15, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def field():
    """Masks of five teams, two with the same score, and a baseline: (table, baseline, masks)."""
    rng = np.random.default_rng(5)
    spec = MaskSpec(60, 16, 16)
    label = rng.random((60, 16, 16)) < 0.08 * (rng.random((60, 1, 1)) < 0.7)
    labels = pack(label)
    predictions = {f"team {k}": label ^ (rng.random(label.shape) < 0.01 * (k + 1)) for k in (3, 1, 2, 0)}
    predictions["late copy"] = predictions["team 1"]
    packed = {team: pack(mask) for team, mask in predictions.items()}
    baseline = pack(label ^ (rng.random(label.shape) < 0.08))
    return _table(packed, labels), _table({"baseline": baseline}, labels), Masks(packed, labels, spec)


def _table(packed, labels):
    counts = [count(mask, labels) for mask in packed.values()]
    tp, fp, fn = (np.stack([getattr(c, part) for c in counts]) for part in ("tp", "fp", "fn"))
    return CountTable(tuple(packed), tuple(map(str, range(len(labels)))), tp, fp, fn)


def test_a_full_report(field):
    table, baseline, masks = field
    received = dict.fromkeys(table.teams, NOON) | {"late copy": NOON + timedelta(hours=1)}
    tries = table.take([0, 1, 1, 2, 3, 4])
    submissions = Submissions(
        tries, ["team 3", "team 1", "team 1", "team 2", "team 0", "late copy"], list("abbcdb")
    )
    log = [Scored(team, NOON + timedelta(days=k), Fraction(k + 1, 9)) for k, team in enumerate(table.teams)]
    rng = np.random.default_rng(6)
    earlier = made_up_counts(rng, 30, 3)
    earlier = CountTable(
        ("team 0", "baseline", "team 2"), earlier.patches, earlier.tp, earlier.fp, earlier.fn
    )
    report = build(
        table, "test", received=received, submissions=submissions, baseline=baseline, earlier=earlier,
        log=log, masks=masks, replicates=300,
    )  # fmt: skip
    json.dumps(report, allow_nan=False)
    assert all(section is not None for name, section in report.items() if name != "sites")

    board = report["board"]
    assert [(row["rank"], row["team"]) for row in board] == [
        (1, "team 0"), (2, "team 1"), (2, "late copy"), (4, "team 2"), (5, "team 3"),
    ]  # fmt: skip
    assert [row["submissions"] for row in board] == [1, 2, 1, 1, 1]
    intervals = score_intervals(table.take([3]))
    assert board[0]["low"] == pytest.approx(100 * intervals.low[0], abs=1e-6)
    assert report["pairs"]["teams"] == report["blob"]["teams"] == [row["team"] for row in board]
    assert np.allclose(np.sum(report["blob"]["frequency"], 1), 1, atol=1e-4)
    assert report["pairs"]["p_holm"][1][2] == 1
    assert [(pair["first"], pair["second"]) for pair in report["podium"]] == [
        ("team 0", "team 1"), ("team 0", "late copy"), ("team 1", "late copy"),
    ]  # fmt: skip
    assert report["podium"][2]["p_permutation"] == 1
    assert report["patch_oracle"]["f1"] >= report["patch_oracle"]["best_single"] == board[0]["f1"]
    assert [row["team"] for row in report["selection"]] == ["team 1"]
    assert [row["team"] for row in report["shake_up"]["teams"]] == ["team 0", "team 2"]
    assert report["shake_up"]["baseline"] == "baseline"
    assert [step["team"] for step in report["history"]["best"]] == list(table.teams)
    assert report["history"]["per_day"] == [[f"2022-06-{15 + k}", 1] for k in range(5)]
    assert report["copies"]["same_masks"] == [["late copy", "team 1"]]
    assert report["copies"]["by_counts"][0]["value"] == 1
    assert (report["copies"]["by_errors"][0]["first"], report["copies"]["by_errors"][0]["second"]) == (
        "team 1",
        "late copy",
    )
    assert report["masks"]["error_jaccard"][1][2] == 1
    assert report["masks"]["pixel_oracle"]["f1"] > board[0]["f1"]
    assert [vote["top"] for vote in report["masks"]["votes"]] == [3, 5]
    assert report["masks"]["boundary_f1"][0]["within_2"] >= report["masks"]["boundary_f1"][0]["within_1"]
    assert len(report["masks"]["objects"]) == 5


def test_masks_of_every_team_or_none(field):
    table, _, masks = field
    some = Masks({"team 0": masks.by_team["team 0"]}, masks.labels, masks.spec)
    with pytest.raises(ValueError, match="no masks are given for late copy, team 1, team 2, team 3"):
        build(table, "p", masks=some, replicates=100)


def test_counts_alone_make_a_report_and_the_same_one_each_time(rng):
    table = made_up_counts(rng, 80, 4)
    first, second = (build(table, "p", replicates=200) for _ in range(2))
    assert first == second
    assert {name for name, section in first.items() if section is None} == {
        "sites", "selection", "shake_up", "history", "probing", "masks",
    }  # fmt: skip
    assert build(table, "other phase", replicates=200)["blob"] != first["blob"]
    assert (first["method"]["unit"], first["method"]["few_sites"]) == ("patch", False)


def test_sites_are_the_unit_when_there_are_enough(rng):
    table = made_up_counts(rng, 150, 3, sites=8)
    report = build(table, "p", replicates=200)
    assert (report["method"]["unit"], report["method"]["few_sites"]) == ("site", False)
    order = [table.teams.index(row["team"]) for row in report["board"]]
    np.testing.assert_allclose(
        [row["se"] for row in report["board"]], 100 * score_intervals(table.by_site()).se[order], atol=1e-5
    )
    assert sum(report["sites"]["patches"]) == 150
    few = build(made_up_counts(rng, 150, 3, sites=3), "p", replicates=200)
    assert (few["method"]["unit"], few["method"]["few_sites"]) == ("patch", True)
    assert len(few["sites"]["ranks_without"][0]) == 3


def test_one_team_is_enough(rng):
    report = build(made_up_counts(rng, 30, 1), "p", replicates=100)
    assert (report["board"][0]["rank_low"], report["board"][0]["rank_high"]) == (1, 1)
    assert report["podium"] == []


@pytest.fixture
def counts_file(tmp_path, rng):
    path = tmp_path / "counts.csv"
    with path.open("w") as file:
        write_counts(made_up_counts(rng, 90, 4, sites=6, skill=np.array([-1.0, 1.0, 0.0, 0.5])), file)
    return path


def test_the_command_prints_text(counts_file, capsys):
    assert main(["report", str(counts_file), "--replicates", "200"]) == 0
    text = capsys.readouterr().out
    assert text.startswith("4 teams, 90 patches")
    assert "95 % intervals and tests by site; 200 replicates" in text
    rows = [line.split() for line in text.splitlines() if line.split()[1:2] == ["team"]]
    assert rows[1][:3] == ["1", "team", "2"]
    for title in ("Podium", "F1 by site", "Hardest patches"):
        assert title in text


def test_the_command_prints_json(counts_file, capsys):
    assert main(["report", str(counts_file), "--replicates", "200", "--json", "--phase", "test"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["phase"] == "test"
    assert [row["rank"] for row in report["board"]] == [1, 2, 3, 4]
    for row in report["board"]:  # unrounded
        assert row["f1"] == 100 * f1(row["tp"], row["fp"], row["fn"])


def test_a_gzipped_file_is_read(counts_file, tmp_path, capsys):
    packed = tmp_path / "counts.csv.gz"
    packed.write_bytes(gzip.compress(counts_file.read_bytes()))
    assert main(["report", str(packed), "--replicates", "100", "--json"]) == 0
    report = capsys.readouterr().out
    assert main(["report", str(counts_file), "--replicates", "100", "--json"]) == 0
    assert capsys.readouterr().out == report
    for content, sentence in (
        (packed.read_bytes()[:-20], "it is cut off, or holds more than"),
        (packed.read_bytes()[:12] + bytes(50), "gzip file is damaged"),
    ):
        packed.write_bytes(content)
        assert main(["report", str(packed)]) == 1
        assert sentence in capsys.readouterr().out


def test_a_reader_that_has_read_enough_is_no_error(counts_file):
    """As in `l4s report ... | head -1`."""
    command = [sys.executable, "-m", "evaluation", "report", str(counts_file), "--replicates", "100"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT) as process:
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 0


def test_the_command_names_what_is_wrong(tmp_path, capsys):
    path = tmp_path / "bad.csv"
    path.write_text("team,patch,tp,fp,fn\na,1,x,0,0\n")
    assert main(["report", str(path)]) == 1
    assert "bad.csv cannot be used:\nline 2: tp is 'x'" in capsys.readouterr().out
    assert main(["report", str(path), "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["problems"][0].startswith("line 2: tp is 'x'")
    assert main(["report", str(tmp_path / "none.csv")]) == 2
    path.write_text("team,patch,tp,fp,fn\na,1,1,0,0\n")
    assert main(["report", str(path)]) == 2
    assert "at least two patches, not 1" in capsys.readouterr().err
