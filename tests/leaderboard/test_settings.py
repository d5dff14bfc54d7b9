"""The settings as a whole, as production and the demo read them."""

import os
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured

ROOT = Path(__file__).resolve().parent.parent.parent
SECRET = "an example that is long enough to be taken for a secret key"
NO_KEY = {"SITE_URL": "https://leaderboard.example.org"}


def check(*options: str, data: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """`manage.py check` in a process that has only these variables."""
    return subprocess.run(
        [sys.executable, "manage.py", "check", *options],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "DATA_DIR": str(data), **variables},
        capture_output=True,
        text=True,
    )


def read(data: Path, **variables: str) -> dict[str, Any]:
    """The settings where only these variables are set. Those of the test run stay as they are."""
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            patch.delenv(name)
        for name, value in {"DATA_DIR": str(data), **variables}.items():
            patch.setenv(name, value)
        return runpy.run_path(str(ROOT / "leaderboard" / "settings.py"))


def test_deployment_check_is_clean_in_production(tmp_path):
    done = check("--deploy", "--fail-level", "INFO", data=tmp_path, **NO_KEY, SECRET_KEY=SECRET)
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "secret_key").exists()


@pytest.mark.parametrize(
    ("variables", "sentence"),
    [
        (NO_KEY, "SECRET_KEY is not set"),
        ({"DATABASE_URL": "postgres://host/name"}, "SECRET_KEY is not set"),
        ({"REDIS_URL": "redis://host"}, "REDIS_URL is set, but the database is SQLite"),
        ({"DATABASE_URL": "mysql://host/name"}, "DATABASE_URL does not start with postgres://"),
        (
            {"EVALUATION_LEASE_SECONDS": "5", "EVALUATION_HEARTBEAT_SECONDS": "5"},
            "not shorter than the lease",
        ),
        ({"CELERY_BROKER_URL": "filesystem://"}, "REDIS_URL alone chooses the broker. Unset it"),
        ({"LOG_LEVEL": "LOUD"}, "LOG_LEVEL is 'LOUD'"),
        ({"PORT": "70000"}, "PORT is 70000. Write a number from 1 to 65535."),
    ],
)
def test_refusals_say_which_variable_is_wrong(tmp_path, variables, sentence):
    with pytest.raises(ImproperlyConfigured) as refusal:
        read(tmp_path, **variables)
    assert sentence in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_a_refusal_is_one_sentence_without_a_traceback(tmp_path):
    done = check(data=tmp_path, **NO_KEY)
    assert done.returncode == 1
    assert "SECRET_KEY is not set" in done.stderr
    assert "Traceback" not in done.stderr


def test_without_variables_it_is_the_demo(tmp_path):
    found = read(tmp_path, PORT="8123")
    expected = {
        "DEBUG": False,
        "SITE_URL": "http://127.0.0.1:8123",
        "DATABASE_URL": f"sqlite://{tmp_path}/db.sqlite3",
        "SESSION_COOKIE_SECURE": False,
    }
    assert {name: found[name] for name in expected} == expected


def test_uploads_lie_outside_every_served_path_and_are_private(tmp_path):
    storages = read(tmp_path)["STORAGES"]
    for name, folder in (("default", "files"), ("uploads", "uploads")):
        assert storages[name]["OPTIONS"]["location"] == tmp_path / folder
        assert storages[name]["OPTIONS"]["base_url"] is None
        assert storages[name]["OPTIONS"]["file_permissions_mode"] == 0o600


def test_uploads_in_s3_are_read_back_with_bounded_memory(tmp_path):
    found = read(tmp_path, S3_BUCKET="b", S3_ENDPOINT_URL="https://s3.example.org")
    assert found["STORAGES"]["uploads"]["OPTIONS"]["max_memory_size"] == 8 * 1024 * 1024


def test_mail_must_be_verified_only_where_it_is_sent(tmp_path):
    assert read(tmp_path)["ACCOUNT_EMAIL_VERIFICATION"] == "none"
    found = read(tmp_path, EMAIL_URL="smtp://m.example.org")
    assert found["ACCOUNT_EMAIL_VERIFICATION"] == "mandatory"
    assert (found["EMAIL_HOST"], found["EMAIL_PORT"]) == ("m.example.org", 587)
