"""`l4s` as people and scripts run it, against a real server with a real worker."""

import csv
import io
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from l4s.cli.main import main, make_parser
from l4s.cli.output import progress_bar
from l4s.errors import EXIT_CODES
from leaderboard.actions.accounts import create_token
from leaderboard.models import Evaluation, Phase, Submission
from tests.leaderboard.factories import Cast, make_archive, make_masks, make_phase, make_submission

ROOT = Path(__file__).resolve().parents[2]
with_database = pytest.mark.django_db(transaction=True)
with_worker = pytest.mark.worker


@pytest.fixture
def l4s(capsys):
    """Runs a command; returns exit code, stdout, stderr. With --json stdout is read."""

    def run(*arguments):
        words = [str(argument) for argument in arguments]
        capsys.readouterr()
        try:
            code = main(words)
        except SystemExit as end:
            code = end.code
        shown = capsys.readouterr()
        return code, json.loads(shown.out) if "--json" in words else shown.out, shown.err

    return run


@pytest.fixture
def logged_in(cast: Cast, live_server, monkeypatch) -> Cast:
    monkeypatch.setenv("L4S_SERVER", live_server.url)
    monkeypatch.setenv("L4S_TOKEN", create_token(cast.owner, "script")[1])
    return cast


@pytest.fixture
def files(tmp_path):
    """Archives: good, one pixel off, with a mask missing."""
    off = make_masks()
    off[0, 0, 0] = 0
    for name, masks in {"good": make_masks(), "off": off, "short": np.zeros((2, 16, 16), np.uint8)}.items():
        (tmp_path / f"{name}.zip").write_bytes(make_archive(masks))
    return tmp_path


@with_database
@with_worker
def test_exit_codes_without_a_score(logged_in: Cast, files, l4s, monkeypatch) -> None:
    """No worker runs yet: this test stands before those that start one."""
    submit = ("submit", files / "good.zip", "--method", "U-Net")
    assert l4s(*submit, "--wait", "--timeout", 0.5)[0] == 7
    code, out, err = l4s(*submit, "--phase", "nothing", "--json")
    assert (code, out["error"]["code"]) == (2, "wrong_use")
    assert "'nothing' is not a phase of this server" in err
    code, _, err = l4s("submit", files / "missing.zip", "--method", "U-Net")
    assert code == 2
    assert err == f"l4s: {files / 'missing.zip'}: No such file or directory.\n"
    assert l4s("show", 10**6)[0] == 3
    assert l4s("receipt", Submission.objects.get().pk)[0] == 3
    make_phase(logged_in.competition, "test", opens_at="2040-01-01T00:00Z")
    code, _, err = l4s(*submit, "--phase", "test")
    assert code == 5
    assert "Test opens on 1 January 2040, 00:00 UTC" in err
    for limits, *expected in (
        ({"quota_per_day": 1}, 5, "quota_used_up"),
        ({"quota_total": 1}, 3, "total_used_up"),
    ):
        Phase.objects.filter(slug="validation").update(**{"quota_per_day": None} | limits)
        code, out, _ = l4s(*submit, "--attempt", "2", "--json")
        assert (code, out["error"]["code"]) == tuple(expected)
    monkeypatch.setattr("l4s.client.sleep", lambda seconds: None)
    code, _, err = l4s("phases", "--server", "http://127.0.0.1:9")
    assert code == 6
    assert err.count("Trying again in") == 4
    assert l4s("phases", "--server", "http://127.0.0.1:9", "--quiet")[2].count("\n") == 1


@with_database
def test_log_in_and_out(cast: Cast, live_server, l4s, home, monkeypatch) -> None:
    text = create_token(cast.owner, "script")[1]
    monkeypatch.setattr("sys.stdin", io.StringIO("l4s_" + 64 * "0"))
    assert l4s("login", "--server", live_server.url)[0] == 4
    assert not home.exists()
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{text}\n"))
    code, out, _ = l4s("login", "--server", f"{live_server.url}/")
    assert (code, out) == (
        0,
        f"Logged in to {live_server.url}; the token is in {home / 'credentials.json'}.\n",
    )
    assert "Alpine" in l4s("team")[1]
    assert l4s("logout")[0] == 0
    assert l4s("team")[0] == 4
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    assert "No token was given" in l4s("login")[2]


@with_database
def test_a_forged_receipt_ends_with_1(logged_in: Cast, l4s, monkeypatch, settings) -> None:
    made = make_submission(logged_in.team, logged_in.phase)
    assert l4s("receipt", made.pk, "--verify")[0] == 0

    def other_key(session):
        settings.RECEIPT_KEY = "another secret"
        answer = yield from real(session)
        return answer

    from l4s import operations

    real = operations.receipt_key
    monkeypatch.setattr(operations, "receipt_key", other_key)
    code, _, err = l4s("receipt", made.pk, "--verify")
    assert code == 1
    assert "The signature does not fit" in err


@with_database
def test_a_board_is_watched(logged_in: Cast, l4s, monkeypatch) -> None:
    """Printed at once, and again only when it has changed; Ctrl-C ends it."""
    steps = [
        lambda: None,
        lambda: make_submission(logged_in.team, logged_in.phase),
        lambda: None,
    ]

    def pause(seconds):
        assert seconds == 5
        if not steps:
            raise KeyboardInterrupt
        steps.pop(0)()

    monkeypatch.setattr("l4s.cli.board.sleep", pause)
    code, out, _ = l4s("board", "--watch")
    assert code == 130
    assert out.count("Nobody is on the board yet.") == 1
    assert out.count("Alpine") == 1


@with_database
@with_worker
def test_an_evening(logged_in: Cast, files, l4s, worker) -> None:
    Phase.objects.filter(pk=logged_in.phase.pk).update(allows_withdrawal=True, counts="selected")
    assert l4s("check", files / "good.zip", "--phase", "validation")[:2] == (
        0,
        f"{files / 'good.zip'}: all 3 masks are valid.\n",
    )
    submit = ("submit", files / "off.zip", "--phase", "validation", "--method", "U-Net", "--wait")
    code, out, _ = l4s(*submit)
    assert code == 0
    assert out.startswith("Submission ")
    assert "scored, precision 100.00 %, recall" in out
    code, again, _ = l4s(*submit, "--json")  # a retry does not submit twice
    assert (code, again["state"]) == (0, "scored")
    assert Submission.objects.count() == 1
    code, number, err = l4s("submit", files / "good.zip", "--method", "Better", "--quiet")
    assert (code, err) == (0, "")
    assert l4s("show", number.strip(), "--wait", "--json")[1]["f1"] == 1.0

    code, listed, _ = l4s("list")
    assert [line.split()[0] for line in listed.splitlines()] == ["id", number.strip(), str(again["id"])]
    assert [row["id"] for row in l4s("list", "--json", "--limit", 1)[1]] == [int(number)]
    assert l4s("list", "--state", "invalid")[1] == "There is no submission.\n"
    shown = l4s("show", number.strip())[1]
    assert "Better" in shown
    assert again["sha256"] not in shown

    code, compared, _ = l4s("diff", again["id"], number.strip(), "--json")
    assert compared["scores"]["precision"]["difference"] == 0
    assert compared["scores"]["recall"]["difference"] > 0
    masks = compared["masks"]
    assert (masks["only_a"], masks["only_b"], masks["patches"]) == (
        0,
        1,
        [{"patch": 1, "only_a": 0, "only_b": 1}],
    )
    text = l4s("diff", files / "good.zip", again["id"])[1]
    assert "1 patches differ." in text

    assert l4s("select", number.strip(), again["id"])[0] == 0
    assert l4s("select", number.strip(), "--off")[1] == f"Submission {number.strip()} no longer counts.\n"
    assert l4s("withdraw", again["id"], "--json")[1][0]["withdrawn_at"]

    save = files / "copy.zip"
    assert l4s("download", number.strip(), "-o", save)[1] == f"{save}\n"
    assert save.read_bytes() == (files / "good.zip").read_bytes()
    code, receipt, err = l4s("receipt", number.strip(), "--verify", "--json")
    assert receipt["statement"]["scores_percent"]["f1"] == "100.00"
    assert "genuine" in err

    rows = list(csv.DictReader(io.StringIO(l4s("board", "validation", "--csv")[1])))
    assert [(row["kind"], row["rank"], row["team"], row["f1"]) for row in rows] == [
        ("team", "1", "Alpine", "1.0")
    ]
    assert rows[0]["received_at"]
    assert "Alpine" in l4s("board")[1]
    assert l4s("board", "--json")[1]["rows"][0]["team"] == "Alpine"
    code, team, _ = l4s("team")
    assert team.startswith("Alpine in landslides: owner (owner)")
    assert "may submit" in team
    assert l4s("phases", "--json")[1][0]["patches"] == 3
    assert "landslides/validation" in l4s("phases")[1]


@with_database
@with_worker
def test_exit_codes_say_how_it_ended(logged_in: Cast, files, l4s, worker, monkeypatch) -> None:
    submit = ("submit", files / "short.zip", "--method", "U-Net", "--wait")
    code, out, _ = l4s(*submit)
    assert code == 1
    assert "invalid" in out.splitlines()[0]
    assert "\n  mask_3.h5: Missing: the archive holds 2 of 3 masks" in out
    code, out, _ = l4s(*submit, "--json")
    assert (code, [each["code"] for each in out["problems"]]) == (1, ["missing_file"])
    assert l4s("check", files / "short.zip")[0] == 1
    failed = make_submission(logged_in.team, logged_in.phase, state="failed")
    Evaluation.objects.filter(submission=failed).update(incident="abc")
    code, out, _ = l4s("show", failed.pk, "--wait")
    assert code == 8
    assert "tell the organisers the number abc" in out
    monkeypatch.setenv("L4S_TOKEN", "l4s_" + 64 * "0")
    code, out, err = l4s("list", "--json")
    assert (code, out["error"]["status"], out["error"]["exit_code"]) == (4, 401, 4)
    assert err.startswith("l4s: Unauthorized (401)")


def test_offline_commands_need_no_server(l4s, files) -> None:
    assert l4s("check", files / "good.zip", "--patches", 3, "--size", "16x16")[0] == 0
    assert l4s("check", files / "good.zip", "--patches", 4, "--size", "16x16", "--json")[1]["valid"] is False
    assert l4s("score", files / "off.zip", files / "good.zip", "--json")[1]["fn"] == 1
    text = l4s("diff", files / "good.zip", files / "off.zip", "--patches", 3, "--size", "16x16")[1]
    assert "1 patches differ." in text
    code, _, err = l4s("diff", files / "good.zip", files / "short.zip", "--patches", 3, "--size", "16x16")
    assert code == 2
    assert "short.zip cannot be compared. mask_3.h5" in err
    code, _, err = l4s("check", files / "good.zip")
    assert code == 2
    assert "Which server? Give --server URL, set L4S_SERVER, or run `l4s login" in err


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("submit", "a.zip"), "The following arguments are required: --method."),
        (("list", "--bogus"), "Unrecognized arguments: --bogus."),
        (("show", "seven"), "Argument ID: invalid int value: 'seven'."),
        (("nonsense",), "Argument COMMAND: invalid choice: 'nonsense' (choose from 'login'"),
    ],
)
def test_wrong_use_is_json_too(l4s, words, sentence) -> None:
    code, out, err = l4s(*words, "--json")
    assert (code, out["error"]["code"], out["error"]["exit_code"]) == (2, "wrong_use", 2)
    assert out["error"]["message"].startswith(sentence)
    assert "usage: l4s" in err
    code, out, err = l4s(*words)
    assert (code, out) == (2, "")
    assert f"l4s: {sentence}" in err


def test_help_and_the_page_about_scripts_have_the_same_table() -> None:
    shown = make_parser().format_help()
    page = (ROOT / "docs/scripting.md").read_text()
    for code, text in EXIT_CODES.items():
        assert f"{code:3}  {text}" in shown
        assert f"| {code} | {text} |" in page


def test_a_closed_pipe_is_no_error(files) -> None:
    command = f"{sys.executable} -m l4s check {files / 'short.zip'} --patches 300 --size 16x16 | true; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, cwd=ROOT)
    assert done.stderr == ""


def test_without_httpx_only_the_servers_commands_are_missing(files) -> None:
    program = (
        "import sys; sys.modules.update(httpx=None, tqdm=None, keyring=None)\n"
        "from l4s.cli.main import main; sys.exit(main(sys.argv[1:]))"
    )

    def run(*words):
        command = [sys.executable, "-c", program, *map(str, words)]
        return subprocess.run(command, capture_output=True, text=True, cwd=ROOT)

    assert run("check", files / "good.zip", "--patches", 3, "--size", "16x16").returncode == 0
    for words in (
        ("list",),
        ("submit", "a.zip", "--method", "x"),
        ("check", files / "good.zip", "--phase", "x"),
    ):
        done = run(*words, "--server", "http://127.0.0.1:9")
        assert done.returncode == 2
        assert done.stderr == (
            "l4s: Talking to a server needs the package httpx: run `pip install 'landslide4sense[client]'`.\n"
        )


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_knows_every_command_and_option(l4s, shell) -> None:
    script = l4s("completion", shell)[1]
    for word in ("submit", "board", "verify-log", "completion"):
        assert word in script
    assert "method" in script


def test_fish_completes(l4s, tmp_path) -> None:
    if shutil.which("fish") is None:
        pytest.skip("NO FISH: its completion was not tried")
    script = tmp_path / "completion.fish"
    script.write_text(l4s("completion", "fish")[1])

    def complete(line):
        code = f"source {script}; complete -C '{line}'"
        done = subprocess.run(
            ["fish", "-c", code], capture_output=True, text=True, cwd=tmp_path, env={"HOME": str(tmp_path)}
        )
        assert done.stderr == ""
        return [each.split("\t")[0] for each in done.stdout.splitlines()]

    assert complete("l4s re") == ["receipt", "report"]
    assert complete("l4s submit --me") == ["--method"]
    assert complete("l4s completion ") == ["bash", "fish", "zsh"]
    assert complete("l4s submit com") == ["completion.fish"]


def test_zsh_takes_the_script(l4s, tmp_path) -> None:
    if shutil.which("zsh") is None:
        pytest.skip("NO ZSH: its completion was not tried")
    script = tmp_path / "completion.zsh"
    script.write_text(l4s("completion", "zsh")[1])
    code = f"autoload -Uz compinit; compinit -D -u; source {script}; echo $_comps[l4s]"
    done = subprocess.run(["zsh", "-fc", code], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("_l4s\n", "")


def test_a_bar_shows_what_was_sent(monkeypatch) -> None:
    pytest.importorskip("tqdm")
    terminal = io.StringIO()
    monkeypatch.setattr(terminal, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(sys, "stderr", terminal)
    arguments = make_parser().parse_args(["submit", "a.zip", "--method", "x"])
    with progress_bar(arguments, "a.zip") as progress:
        progress(3 * 2**20, 4 * 2**20)
    assert "a.zip:  75%" in terminal.getvalue()
    assert "3.00M/4.00M" in terminal.getvalue()
    arguments.quiet = True
    with progress_bar(arguments, "a.zip") as progress:
        assert progress is None


def test_bash_completes(l4s, tmp_path) -> None:
    script = tmp_path / "completion.bash"
    script.write_text(l4s("completion", "bash")[1])

    def complete(*words):
        line = " ".join(f"'{word}'" for word in ("l4s", *words))
        code = f"source {script}; COMP_WORDS=({line}); COMP_CWORD={len(words)}; _l4s; echo ${{COMPREPLY[@]}}"
        return subprocess.run(["bash", "-c", code], capture_output=True, text=True, check=True).stdout.split()

    assert complete("re") == ["receipt", "report"]
    assert complete("submit", "--me") == ["--method"]
    assert complete("completion", "") == ["--help", "bash", "zsh", "fish"]
    assert "--csv" in complete("board", "--")
