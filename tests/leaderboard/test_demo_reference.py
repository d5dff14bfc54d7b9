"""`manage.py demo_reference`: the server that it finds or starts, the token that it hands to the trainers and takes back."""

import fcntl
import json
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from django.core.management import CommandError, call_command

from leaderboard.management.commands import demo_reference
from leaderboard.models import ApiToken
from tests.leaderboard.api import API
from tests.leaderboard.factories import Cast
from tests.services import free_port


@pytest.fixture
def folder(settings, tmp_path) -> Path:
    settings.DATA_DIR = tmp_path
    return tmp_path


@contextmanager
def lock_of_a_server(folder: Path):
    with (folder / "serve.lock").open("a+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("status", [0, 1])
def test_trainers_get_an_organisers_token_for_as_long_as_they_run(
    cast: Cast, folder, live_server, monkeypatch, status, capsys
) -> None:
    notes = {"organiser": {"username": cast.organiser.username}, "phase": cast.phase.pk}
    (folder / "demo.json").write_text(json.dumps(notes | {"url": live_server.url, "images": "/images"}))
    seen: dict = {}

    def run(command, cwd, env):
        headers = {"Authorization": f"Bearer {env['L4S_TOKEN']}"}
        url = command[command.index("--server") + 1]
        token = ApiToken.objects.get()
        seen.update(
            token=token, answer=httpx.get(f"{url}{API}/submissions/", headers=headers), command=command
        )
        return subprocess.CompletedProcess(command, status)

    monkeypatch.setattr(demo_reference.subprocess, "run", run)
    with lock_of_a_server(folder):
        if status:
            with pytest.raises(CommandError, match="reference entries were not made"):
                call_command("demo_reference")
        else:
            flags = "--methods unet seek --seeds 1 2 --preset tiny -- --precision bf16"
            call_command("demo_reference", *flags.split())
            assert f"The board is at {live_server.url}/c/landslides/board/" in capsys.readouterr().out
            text = " ".join(seen["command"])
            assert "--competition landslides --images /images" in text
            assert "--preset tiny --methods unet seek --seeds 1 2 --precision bf16" in text
    assert seen["answer"].status_code == 200
    assert (seen["token"].user, seen["token"].competition) == (cast.organiser, cast.competition)
    assert seen["token"].scopes == ["submit", "organise"]
    assert not ApiToken.objects.exists()


def test_a_server_that_runs_elsewhere_is_asked_for(folder, monkeypatch) -> None:
    monkeypatch.setattr(demo_reference, "START_SECONDS", 0)
    url = f"http://127.0.0.1:{free_port()}"
    with (
        lock_of_a_server(folder),
        pytest.raises(CommandError, match=f"does not answer at {url}. If it listens elsewhere, set PORT"),
        demo_reference.running_server(url),
    ):
        pytest.fail("no server runs")


def test_a_server_that_does_not_start_says_why(folder, settings, monkeypatch) -> None:
    """A server that the command started ends with it; here it ends by itself, because its port is taken."""
    settings.SITE_URL = f"http://127.0.0.1:{free_port()}"
    real = subprocess.Popen

    def popen(command, **options):
        return real(
            [sys.executable, "-c", "print('Cannot listen on port 80'); raise SystemExit(1)"], **options
        )

    monkeypatch.setattr(demo_reference.subprocess, "Popen", popen)
    assert not demo_reference.serves_already()
    with (
        pytest.raises(CommandError, match="Its log ends:\nCannot listen on port 80"),
        demo_reference.running_server("http://127.0.0.1:1"),
    ):
        pytest.fail("no server runs")
