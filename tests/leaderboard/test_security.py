"""Log-in slowed against guessing, encrypted cookies and transport, odd bytes everywhere, silent logs."""

import json
import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest
from django.db import transaction
from django.test import Client

from leaderboard.actions.accounts import create_token
from leaderboard.models import Phase, Submission
from leaderboard.scoring import tasks
from tests.leaderboard.api import Client as ApiClient
from tests.leaderboard.api import post
from tests.leaderboard.factories import PASSWORD, Cast, make_archive, make_masks, upload
from tests.leaderboard.permissions import ODD, Stage, rows

ROOT = Path(__file__).resolve().parent.parent.parent


def log_in(username: str, password: str, address: str = "127.0.0.1") -> bool:
    client = Client(REMOTE_ADDR=address)
    client.post("/accounts/login/", {"login": username, "password": password})
    return "_auth_user_id" in client.session


def test_a_password_cannot_be_guessed(cast: Cast) -> None:
    """Five wrong ones, and the name is closed for a while, from wherever it is tried; others still log in."""
    assert log_in("owner", PASSWORD)
    for number in range(5):
        assert not log_in("owner", f"guess {number}", f"10.0.0.{number}")
    assert not log_in("owner", PASSWORD, "10.0.1.1")
    assert not log_in("OWNER", PASSWORD, "10.0.1.2")
    assert log_in("teammate", PASSWORD, "10.0.1.1")


def test_one_address_cannot_try_many_names(cast: Cast) -> None:
    for number in range(10):
        assert not log_in(f"nobody{number}", "guess", "10.0.0.1")
    assert not log_in("owner", PASSWORD, "10.0.0.1")
    assert log_in("owner", PASSWORD, "10.0.0.2")


def test_the_admin_has_no_separate_log_in(cast: Cast) -> None:
    """Else it would know neither the limit nor the second factor."""
    for name, password in (("organiser", PASSWORD), ("organiser", "guess")):
        client = Client()
        answer = client.post("/admin/login/", {"username": name, "password": password})
        assert answer.status_code == 302
        assert answer["Location"].startswith("/accounts/login/")
        assert "_auth_user_id" not in client.session


def test_asking_for_a_new_password_does_not_tell_who_has_an_account(cast: Cast) -> None:
    answers = {
        Client(REMOTE_ADDR=f"10.0.0.{n}").post("/accounts/password/reset/", {"email": email}).status_code
        for n, email in enumerate(("owner@example.org", "nobody@example.org"))
    }
    assert answers == {302}


PRODUCTION = """
import json, django
django.setup()
from django.db import transaction
from django.test import Client
told = {}
for name, secure in (("encrypted", True), ("plain", False)):
    answer = Client(headers={"host": "board.example.org"}).get("/accounts/login/", secure=secure)
    told[name] = {"status": answer.status_code, **dict(answer.headers)}
    told[name]["cookies"] = {key: dict(cookie) for key, cookie in answer.cookies.items()}
from django.conf import settings
told["session"] = [settings.SESSION_COOKIE_SECURE, settings.SESSION_COOKIE_HTTPONLY, settings.SESSION_COOKIE_SAMESITE]
print(json.dumps(told))
"""


def test_in_production_everything_is_encrypted(tmp_path: Path) -> None:
    environment = {
        "PATH": os.environ["PATH"],
        "DJANGO_SETTINGS_MODULE": "leaderboard.settings",
        "SITE_URL": "https://board.example.org",
        "SECRET_KEY": "x1" * 40,
        "DATA_DIR": str(tmp_path),
    }
    done = subprocess.run(
        [sys.executable, "-c", PRODUCTION],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    encrypted, plain = told["encrypted"], told["plain"]
    assert encrypted["status"] == 200
    assert encrypted["Strict-Transport-Security"] == "max-age=31536000; includeSubDomains"
    assert encrypted["cookies"]["__Host-csrftoken"]["secure"] is True
    assert encrypted["cookies"]["__Host-csrftoken"]["samesite"] == "Lax"
    assert told["session"] == [True, True, "Lax"]
    assert (plain["status"], plain["Location"]) == (301, "https://board.example.org/accounts/login/")


@pytest.mark.django_db
def test_odd_bytes_in_an_address_are_never_an_error(cast: Cast) -> None:
    """PostgreSQL keeps no NUL: whatever reaches a query unchecked shows here, with --backend=postgres."""
    stage = Stage(cast)
    odd = "&".join(f"{name}={value}" for name in ODD for value in ("%00", "%ED%A0%80", "9" * 30))
    failed = []
    for row in rows():
        if row.method != "GET" or row.hidden:
            continue
        address = stage.address(row.name)
        for role in ("nobody", "owner", "administrator"):
            with transaction.atomic():
                answer = stage.clients[role].get(f"{address}{'&' if '?' in address else '?'}{odd}")
                transaction.set_rollback(True)
            if answer.status_code >= 500:
                failed.append(f"{row} as {role}: {answer.status_code}")
    assert not failed, "\n".join(failed)


@pytest.mark.django_db
@pytest.mark.parametrize(
    "cookie", ['"\\000\\000\\000\\000\\000\\000\\000\\000"', "ü" * 10, "a" * 5000, "'\"; DROP"]
)
def test_a_made_up_session_is_nobody(cookie: str) -> None:
    for path in ("/", "/account/", "/api/v1/phases/", "/admin/"):
        answer = Client(raise_request_exception=False, HTTP_COOKIE=f"sessionid={cookie}").get(path)
        assert answer.status_code in (200, 302), (path, answer.status_code)


@pytest.mark.django_db
def test_logs_tell_no_score_no_secret_and_no_address(cast: Cast, caplog: pytest.LogCaptureFixture) -> None:
    """From the log-in over an upload and its scoring to the board."""
    caplog.set_level(logging.DEBUG)
    Phase.objects.filter(pk=cast.phase.pk).update(visible_metrics="f1")
    token = create_token(cast.owner, "laptop")[1]
    assert log_in("owner", PASSWORD)
    assert not log_in("owner@example.org", "a wrong password")
    client = ApiClient()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {token}")
    predicted = make_masks()
    predicted[0, 0, 0] = 0
    answer = post(client, cast.phase, upload(make_archive(predicted)))
    assert tasks.work() == "scored"
    assert client.get(answer["Location"]).json()["f1"]
    Client().get(f"/c/landslides/board/{cast.phase.slug}/")
    evaluation = Submission.objects.get().evaluation
    told = "\n".join(f"{record.getMessage()} {record.__dict__}" for record in caplog.records)
    assert "request_finished" in told
    assert "outcome" in told
    recall = evaluation.tp / (evaluation.tp + evaluation.fn)
    for secret in (
        token,
        PASSWORD,
        "a wrong password",
        "@example.org",
        f"{recall:.4f}",
        f"'tp': {evaluation.tp}",
    ):
        assert secret not in told, secret
