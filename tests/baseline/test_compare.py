"""All methods and seeds side by side: in pieces as in one go, and what stands in the tables."""

import csv
import json
import re
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
load_file = pytest.importorskip("safetensors.torch").load_file

from baseline.__main__ import main  # noqa: E402
from baseline.cli.reference import _forecast  # noqa: E402
from baseline.experiments import compare, records, results, tables  # noqa: E402
from baseline.experiments.result_column import CELL  # noqa: E402
from baseline.experiments.results import Result  # noqa: E402
from baseline.experiments.study import Study  # noqa: E402
from baseline.methods import METHODS, method, seek, unet  # noqa: E402
from baseline.training import run as runs  # noqa: E402
from baseline.training.deadline import TimeIsUp  # noqa: E402
from baseline.training.world import World  # noqa: E402
from evaluation.scoring.counts import Counts  # noqa: E402

QUICK = ["--preset", "tiny", "--methods", "unet", "--steps", "6", "--width", "4", "--log-every", "2"]
QUICK += ["--device", "cpu", "--threads", "1", "--holdout", "0.25"]


def weights(folder):
    return load_file(folder / "weights.safetensors")


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    assert main(["compare", "--out", str(folder), *QUICK, "--seeds", "0", "1", "--archives"]) == 0
    return folder


def test_tables_hold_what_the_runs_scored(whole):
    content = json.loads((whole / "table.json").read_text())
    assert content["missing"] == []
    rows = content["runs"]
    assert [(r["seed"], r["split"]) for r in rows] == [
        (seed, split) for seed in (0, 1) for split in ("validation", "test", "held-out")
    ]
    for row in rows:
        metrics = json.loads((whole / f"runs/unet-{row['seed']}" / "metrics.json").read_text())[row["split"]]
        assert (row["tp"], row["f1"], row["best_f1"]) == (metrics["tp"], metrics["f1"], metrics["best_f1"])
        assert row["best_f1"] >= row["f1"]
        assert row["seconds_exact"]
    with (whole / "table.csv").open() as file:
        assert [float(row["f1"]) for row in csv.DictReader(file)] == [row["f1"] for row in rows]
    text = (whole / "table.md").read_text()
    scores = [100 * row["f1"] for row in rows if row["split"] == "test"]
    assert f"{np.mean(scores):.1f} ± {np.std(scores, ddof=1):.1f}" in text
    assert torch.__version__ in text
    assert len(list(whole.glob("runs/*/archives/*.zip"))) == 4


def test_in_pieces_as_in_one_go(whole, tmp_path, monkeypatch, capsys):
    """The time is up at every second look at the clock, so that each piece stops within a stage, at another step."""
    looks = []

    def time_for(self, seconds):
        looks.append(seconds)
        return bool(len(looks) % 2)

    monkeypatch.setattr(World, "time_for", time_for)
    command = ["compare", "--out", str(tmp_path), *QUICK, "--seeds", "0"]
    statuses = []
    while not statuses or statuses[-1] != 0:
        statuses.append(main(command))
        assert len(statuses) < 9
    assert statuses == [3, 3, 0]
    told = capsys.readouterr()
    assert "Stage unet stopped at step 2 of 6. The same command goes on." in told.err
    assert "Not finished yet: unet seed 0." in told.out
    expected, seen = weights(whole / "runs/unet-0"), weights(tmp_path / "runs/unet-0")
    assert all(torch.equal(expected[name], seen[name]) for name in expected)
    made = json.loads((tmp_path / "runs/unet-0/provenance.json").read_text())
    assert len(made["pieces"]) == 3
    assert made["seconds"] == pytest.approx(sum(made["pieces"]), abs=0.06)


def test_finished_runs_are_tabulated_wherever_they_lie(whole, tmp_path, capsys):
    """Also those scored before the counts of each patch were kept, and those that are not finished are named."""
    (whole / "runs/unet-1/counts/test.npz").unlink()
    command = [
        "compare",
        "--no-train",
        "--out",
        str(tmp_path),
        "--methods",
        "unet",
        "seek",
        "--seeds",
        "0",
        "1",
    ]
    command += ["--runs", f"{whole}/runs/{{method}}-{{seed}}", "--data", f"{whole}/data-{{seed}}"]
    assert main([*command, "--device", "cpu"]) == 0
    assert (whole / "runs/unet-1/counts/test.npz").exists()
    assert "Not finished yet: seek seed 0, seek seed 1." in capsys.readouterr().out
    one, other = (json.loads((folder / "table.json").read_text()) for folder in (whole, tmp_path))
    assert one["runs"] == other["runs"]
    # The command has no preset tiny, and no flags: the runs' own options show what they have beyond preset small.
    assert {"--steps 6", "--width 4", "--holdout 0.25", "--evaluate-every 30"} == set(other["flags"])
    assert "--steps 6" in (tmp_path / "table.md").read_text()


def test_flags_that_not_all_runs_have_are_listed_by_method(whole, tmp_path):
    entry, wider = (
        compare.MethodRun("unet", seed, whole, whole, whole / f"unet-{seed}.json") for seed in (0, 1)
    )
    assert set(compare.flags_of([entry, wider], "tiny")) == {
        "--steps 6",
        "--width 4",
        "--holdout 0.25",
    }
    options = {k: v for k, v in records.read(entry.record).options.items() if k in seek.Options().to_dict()}
    other = replace(records.read(entry.record), method="seek", options=options | {"steps": 7})
    records.write(other, tmp_path / "seek-0.json")
    found = compare.flags_of(
        [entry, compare.MethodRun("seek", 0, whole, whole, tmp_path / "seek-0.json")], "tiny"
    )
    assert {"--width 4", "unet: --steps 6", "seek: --steps 7"} <= set(found)


def test_a_record_stands_for_a_run_whose_folder_is_gone(whole, tmp_path, capsys):
    """A fresh machine has the records alone: nothing is trained again, and the tables are the same."""
    for seed in (0, 1):
        shutil.copy(whole / f"unet-{seed}.json", tmp_path)
    command = ["compare", "--out", str(tmp_path / "out"), "--results", str(tmp_path), *QUICK]
    assert main([*command, "--seeds", "0", "1"]) == 0
    assert not (tmp_path / "out/data-0").exists()
    one, other = (json.loads((folder / "table.json").read_text()) for folder in (whole, tmp_path))
    assert one["runs"] == other["runs"]
    assert one["differences"] == other["differences"]
    assert main([*command, "--seeds", "0", "--learning-rate", "0.5"]) == 1
    assert (
        "unet-0.json is of another run: learning_rate is 0.001 there and 0.5 here" in capsys.readouterr().err
    )
    (tmp_path / "unet-0.json").write_text("{}")
    assert main([*command, "--seeds", "0"]) == 1
    assert "unet-0.json is not the record of a run" in capsys.readouterr().err


@pytest.mark.timeout(400)  # six processes import torch, on a machine that may be busy
def test_a_forecast_adds_up_what_the_committed_records_say(whole, tmp_path, monkeypatch):
    shutil.copytree(whole, tmp_path / "tiny", ignore=shutil.ignore_patterns("runs", "data-*"))
    monkeypatch.setattr(records, "MEASURED", tmp_path)
    for path, seconds in zip(sorted((tmp_path / "tiny").glob("unet-*.json")), (120.0, 360.0), strict=False):
        content = json.loads(path.read_text())
        path.write_text(
            json.dumps(content | {"seconds": seconds, "made": content["made"] | {"machine": "that machine"}})
        )
    asked = compare.entries(
        ["unet", "seek"], [0, 1], str(tmp_path / "r/{method}-{seed}"), "data", tmp_path / "results"
    )
    sentence = _forecast(asked, "tiny")
    assert sentence.startswith("4 runs are to be trained. 2 of them took 4 minutes in all on that machine")
    assert sentence.endswith("The time of seek at preset tiny has not been measured.")
    for path in (tmp_path / "tiny").glob("unet-*.json"):
        path.write_text(json.dumps(json.loads(path.read_text()) | {"seconds_exact": False}))
    assert "2 of them took at least 4 minutes in all" in _forecast(asked, "tiny")
    for entry in asked:
        entry.folder.mkdir(parents=True)
        (entry.folder / "weights.safetensors").touch()
    assert _forecast(asked, "tiny") == "All runs are trained."


def test_jobs_share_out_the_runs_and_a_kill_loses_nothing(whole, tmp_path):
    """Two processes; the command is killed with -9 in the middle, its jobs end with it, and the next command finishes."""
    command = [sys.executable, "-m", "baseline", "compare", "--out", str(tmp_path), *QUICK[:-2]]
    command += ["--holdout", "0.25", "--seeds", "0", "1", "--jobs", "2"]
    first = subprocess.Popen(command)
    deadline = time.monotonic() + 180
    while not list(tmp_path.glob("runs/*/options.json")) and time.monotonic() < deadline:
        time.sleep(0.05)
    jobs = [int(pid) for pid in Path(f"/proc/{first.pid}/task/{first.pid}/children").read_text().split()]
    assert len(jobs) == 2
    first.kill()
    first.wait()
    while any(Path(f"/proc/{pid}/status").exists() for pid in jobs) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert time.monotonic() < deadline
    done = subprocess.run(command, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    for seed in (0, 1):
        expected, seen = weights(whole / f"runs/unet-{seed}"), weights(tmp_path / f"runs/unet-{seed}")
        assert all(torch.equal(expected[name], seen[name]) for name in expected)
        assert (tmp_path / f"unet-{seed}.json").exists()
    assert "| unet | 0 1 |" in done.stdout


def test_the_rise_of_the_last_quarter_is_of_the_best_so_far():
    assert records.rise([(100, 0.5), (200, 0.6), (300, 0.7), (400, 0.72)]) == pytest.approx(0.02)
    assert records.rise([(100, 0.5), (200, 0.8), (300, 0.7), (400, 0.72)]) == 0
    assert records.rise([(100, 0.5), (200, 0.8), (400, 0.9)]) is None


def test_the_stop_rule_is_said_for_every_stage_evaluated_often_enough(tmp_path):
    rows = {"long": [0.5, 0.6, 0.7, 0.704], "short": [0.1, 0.2, 0.3, 0.32], "once": [0.5]}
    lines = [f"{stage},{100 * k},1,{f1},0.1,9" for stage, f1s in rows.items() for k, f1 in enumerate(f1s, 1)]
    lines.append("long,450,1,,0.1,9")
    (tmp_path / "curve.csv").write_text(
        "stage,step,loss,f1,learning_rate,patches_per_second\n" + "\n".join(lines)
    )
    assert records.stop_rule(tmp_path) == [
        "long: F1 on the patches held out rose by 0.4 points in the last quarter; converged (less than 1).",
        "short: F1 on the patches held out rose by 2.0 points in the last quarter; "
        "not converged (1 or more): take more --steps.",
    ]
    assert records.stop_rule(tmp_path / "nowhere") == []


def test_a_failed_run_does_not_stop_the_others(tmp_path, capsys):
    command = ["compare", "--out", str(tmp_path), *QUICK, "--seeds", "0", "1"]
    (tmp_path / "runs/unet-0").mkdir(parents=True)
    (tmp_path / "runs/unet-0/options.json").write_text('{"method": "seek", "data": "", "options": {}}')
    assert main(command) == 1
    assert "unet-0 holds another run: method is 'seek' there" in capsys.readouterr().err
    assert [row["seed"] for row in json.loads((tmp_path / "table.json").read_text())["runs"]] == [1, 1, 1]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--runs", "runs/{method}"], "gives several runs one folder"),
        (["--runs", "runs/{metod}-{seed}"], "may name {method} and {seed}"),
        (["--methods", "unett"], "There is no method 'unett'"),
    ],
)
def test_what_cannot_be_compared_is_said_at_once(flags, message, tmp_path, capsys):
    assert main(["compare", "--out", str(tmp_path), *flags]) == 1
    assert message in capsys.readouterr().err


def result(tp, fp, fn, data="a"):
    columns = (np.array(column, np.uint32) for column in (tp, fp, fn))
    return Result(Counts(*columns), 0.5, 0.5, 0.5, data)


def test_seeds_on_the_same_data_are_summed_patch_by_patch_and_others_stand_side_by_side():
    same = tables.pooled(("m",), [[result([1, 2], [0, 1], [3, 0]), result([2, 2], [5, 0], [2, 0])]])
    assert same.tp.tolist() == [[3, 4]]
    assert same.fp.tolist() == [[5, 1]]
    two = tables.pooled(("m",), [[result([1, 2], [0, 1], [3, 0]), result([2, 2], [5, 0], [2, 0], "b")]])
    assert two.tp.tolist() == [[1, 2, 2, 2]]
    assert two.fn.tolist() == [[3, 0, 2, 0]]


def test_difference_by_hand():
    """Pooled F1 is 12/20 and 8/20: patches 4/8, 8/12 and 4/8, 4/12. The interval repeats the delta method by hand."""
    one, other = result([2, 4], [2, 2], [2, 2]), result([2, 2], [2, 4], [2, 4])
    seen = tables.difference("test", ("one", {0: one}), ("other", {0: other, 1: other}))
    assert seen.by_seed == {0: pytest.approx(0.2)}
    assert seen.pooled == pytest.approx(0.2)
    u = [
        (np.array(top) - f * np.array(size)) / 10
        for top, f, size in (((4, 8), 0.6, (8, 12)), ((4, 4), 0.4, (8, 12)))
    ]
    error = np.sqrt(np.square(u[0] - u[1]).sum() / 2)
    assert seen.high - seen.low == pytest.approx(
        2 * 12.706204736 * error
    )  # Student's t, one degree of freedom
    assert tables.difference("test", ("one", {0: one}), ("other", {1: other})) is None


def test_mean_and_spread():
    assert tables.mean_and_spread([]) == ""
    assert tables.mean_and_spread([2.0]) == "2.00"
    assert tables.mean_and_spread([1.0, 2.0, 3.0], 1) == "2.0 ± 1.0"


def test_best_threshold_is_that_of_trying_each():
    generator = torch.Generator().manual_seed(0)
    labels = (torch.rand(3, 8, 8, generator=generator) < 0.3).to(torch.uint8)
    probabilities = torch.sigmoid(torch.randn(3, 8, 8, generator=generator) + 2 * labels - 3)
    threshold, f1 = results.best(results._between_thresholds(probabilities, labels).numpy())
    tried = {}
    for t in results.THRESHOLDS.tolist():
        mask = probabilities >= t
        tp, fp, fn = (
            (mask & (labels == 1)).sum(),
            (mask & (labels == 0)).sum(),
            (~mask & (labels == 1)).sum(),
        )
        tried[t] = float(2 * tp / (2 * tp + fp + fn))
    assert f1 == pytest.approx(max(tried.values()))
    assert tried[threshold] == pytest.approx(f1)
    assert 0.5 in tried


def test_data_are_made_whole_or_not_at_all(tmp_path, monkeypatch):
    def stopped(*arguments):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(compare.synth, "generate", stopped)
        with pytest.raises(KeyboardInterrupt):
            compare.make_data(tmp_path / "data-0", "tiny", 0)
    assert not (tmp_path / "data-0").exists()


def test_a_study_is_tabulated_and_its_cell_in_a_document_filled(whole, tmp_path, monkeypatch, capsys):
    variants = {"narrow": {"width": 4}, "wide": {"width": 6}}
    monkeypatch.setattr(unet, "STUDIES", {"widths": Study("a test", "wide", variants)}, raising=False)
    command = ["study", "unet", "widths", "--data", str(whole / "data-0"), "--out", str(tmp_path / "widths")]
    command += ["--preset", "tiny", "--steps", "2", "--device", "cpu", "--threads", "1", "--seeds", "0", "1"]
    assert main(command) == 0
    weights = [(path, path.stat().st_mtime_ns) for path in tmp_path.rglob("metrics.json")]
    assert main(command) == 0  # finished runs are neither trained nor scored again
    assert weights == [(path, path.stat().st_mtime_ns) for path in tmp_path.rglob("metrics.json")]
    content = json.loads((tmp_path / "widths/table.json").read_text())
    runs = content["runs"]
    assert (content["flags"], len(runs)) == (["--steps 2"], 8)  # and none about the machine
    assert [(r["variant"], r["seed"], r["split"]) for r in runs[:3]] == [
        ("narrow", 0, "validation"),
        ("narrow", 0, "test"),
        ("narrow", 1, "validation"),
    ]
    document = tmp_path / "README.md"
    rest = "| other | <!-- seek -->not run yet | 3 |\n\n<!-- unet/widths: table -->\n| old |\n\nThe end.\n"
    document.write_text("| a | <!-- unet -->not run yet | 1 |\n| b | <!-- unet/widths -->old | 2 |\n" + rest)
    tables_of_runs = [str(whole / "table.json"), str(tmp_path / "widths/table.json")]
    assert main(["fill", str(document), *tables_of_runs]) == 0
    first, second, third, *block = document.read_text().splitlines()
    means = re.fullmatch(
        r"\| a \| <!-- unet -->validation ([\d.]+) ± [\d.]+, test .* \(tiny, seeds 0, 1, "
        r"--steps 6, --width 4, --holdout 0.25\) \| 1 \|",
        first,
    )
    content = json.loads((whole / "table.json").read_text())["runs"]
    expected = np.mean([100 * row["f1"] for row in content if row["split"] == "validation"])
    assert float(means[1]) == pytest.approx(expected, abs=0.051)
    assert second.startswith("| b | <!-- unet/widths -->wide: validation ")
    assert second.endswith("(tiny, seeds 0, 1, --steps 2) | 2 |")
    assert third == rest.splitlines()[0]
    assert block[:3] == [
        "",
        "<!-- unet/widths: table -->",
        "| tiny, seeds 0, 1, --steps 2 | validation F1 (best threshold) | test F1 (best threshold) |",
    ]
    assert [line.split(" |")[0] for line in block[4:]] == ["| narrow", "| wide", "", "The end."]
    assert main(["fill", str(document), str(tmp_path / "widths/table.json")]) == 0
    assert "filled unet/widths" in capsys.readouterr().out


def test_a_study_that_is_stopped_leaves_a_table_of_what_is_finished(whole, tmp_path, monkeypatch):
    variants = {"narrow": {"width": 4}, "wide": {"width": 6}}
    monkeypatch.setattr(unet, "STUDIES", {"widths": Study("a test", "wide", variants)}, raising=False)
    real = runs.train

    def train(run):
        if run.options.width == 6:
            raise TimeIsUp("stopped")
        return real(run)

    monkeypatch.setattr(runs, "train", train)
    command = ["study", "unet", "widths", "--data", str(whole / "data-0"), "--out", str(tmp_path)]
    command += ["--preset", "tiny", "--steps", "1", "--device", "cpu", "--threads", "1"]
    assert main(command) == 3
    found = json.loads((tmp_path / "table.json").read_text())["runs"]
    assert {row["variant"] for row in found} == {"narrow"}
    assert "| narrow |" in (tmp_path / "table.md").read_text()


def test_the_readme_has_a_cell_for_every_method_and_none_for_what_is_not_there():
    text = (Path(compare.__file__).parents[1] / "README.md").read_text()
    marks = set(CELL.findall(text))
    assert set(METHODS) <= marks
    for mark in marks:
        name, _, study = mark.partition("/")
        assert name in METHODS
        assert not study or study in method(name).STUDIES


@pytest.fixture
def other_targets(whole, tmp_path):
    """A data set with the training patches of `whole`'s first and other targets."""
    assert main(["synth", str(tmp_path / "other"), "--preset", "tiny", "--seed", "5"]) == 0
    shutil.copytree(whole / "data-0", tmp_path / "data")
    for split in ("ValidData", "TestData"):
        shutil.rmtree(tmp_path / "data" / split)
        shutil.copytree(tmp_path / "other" / split, tmp_path / "data" / split)
    return tmp_path / "data"


def test_on_other_targets_stages_on_labelled_patches_are_taken_over(
    whole, other_targets, tmp_path, monkeypatch
):
    monkeypatch.setattr(compare.runs.Stage, "_update", None)  # nothing is trained
    command = [
        "compare",
        "--out",
        str(tmp_path / "out"),
        *QUICK,
        "--seeds",
        "0",
        "--data",
        str(other_targets),
    ]
    assert main([*command, "--other-targets", str(whole)]) == 0
    ours, theirs = tmp_path / "out/runs/unet-0", whole / "runs/unet-0"
    assert all(torch.equal(weights(ours)[name], value) for name, value in weights(theirs).items())
    mine, before = (records.read(folder / "unet-0.json") for folder in (tmp_path / "out", whole))
    assert mine.results["test"].data_sha256 != before.results["test"].data_sha256
    assert before.exact
    assert not mine.exact


def test_stages_that_adapt_are_trained_on_the_new_targets(whole, other_targets, tmp_path):
    quick = ["--preset", "tiny", "--methods", "sklgp", "--steps", "3", "--device", "cpu", "--threads", "1"]
    for out, data, more in (
        ("first", whole / "data-0", []),
        ("second", other_targets, ["--other-targets", str(tmp_path / "first")]),
    ):
        command = ["compare", "--out", str(tmp_path / out), *quick, "--seeds", "0", "--data", str(data)]
        assert main([*command, *more]) == 0
    stages = tmp_path / "second/runs/sklgp-0/stages"
    assert (stages / "first.pt").is_symlink()
    assert not (stages / "second.pt").is_symlink()


def test_stages_of_other_training_patches_are_refused(whole, tmp_path, capsys):
    command = ["compare", "--out", str(tmp_path), *QUICK, "--seeds", "0", "--data", str(whole / "data-1")]
    assert main([*command, "--other-targets", str(whole)]) == 1
    assert "was trained on other patches" in capsys.readouterr().err
