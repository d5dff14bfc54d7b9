"""The settings as a whole, read by a fresh process as production and the demo read them."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
SECRET = "an example that is long enough to be taken for a secret key"
SHOW = """
import json, sys
from django.conf import settings
print(json.dumps({name: getattr(settings, name) for name in sys.argv[1:]}, default=str))
"""


def run(*command: str, data: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {
        "PATH": os.environ["PATH"],
        "DATA_DIR": str(data),
        "DJANGO_SETTINGS_MODULE": "leaderboard.settings",
    }
    return subprocess.run(
        [sys.executable, *command], cwd=ROOT, env={**environment, **variables}, capture_output=True, text=True
    )


def settings_of(*names: str, data: Path, **variables: str) -> dict:
    shown = run("-c", SHOW, *names, data=data, **variables)
    assert shown.returncode == 0, shown.stderr
    return json.loads(shown.stdout)


def test_deployment_check_is_clean_in_production(tmp_path):
    done = run(
        "manage.py", "check", "--deploy", "--fail-level", "INFO",
        data=tmp_path, SITE_URL="https://leaderboard.example.org", SECRET_KEY=SECRET,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "secret_key").exists()


@pytest.mark.parametrize(
    ("variables", "sentence"),
    [
        ({"SITE_URL": "https://leaderboard.example.org"}, "SECRET_KEY is not set"),
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
def test_refusals_are_one_sentence_without_a_traceback(tmp_path, variables, sentence):
    done = run("manage.py", "check", data=tmp_path, **variables)
    assert done.returncode == 1
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr


def test_without_variables_it_is_the_demo(tmp_path):
    found = settings_of(
        "DEBUG", "SITE_URL", "DATABASE_URL", "SESSION_COOKIE_SECURE", data=tmp_path, PORT="8123"
    )
    assert found == {
        "DEBUG": False,
        "SITE_URL": "http://127.0.0.1:8123",
        "DATABASE_URL": f"sqlite://{tmp_path}/db.sqlite3",
        "SESSION_COOKIE_SECURE": False,
    }


def test_uploads_lie_outside_every_served_path_and_are_private(tmp_path):
    found = settings_of("STORAGES", "STATIC_URL", data=tmp_path)["STORAGES"]
    for name in ("default", "uploads"):
        assert found[name]["OPTIONS"]["location"] == str(tmp_path / name.replace("default", "files"))
        assert found[name]["OPTIONS"]["base_url"] is None
        assert found[name]["OPTIONS"]["file_permissions_mode"] == 0o600


def test_uploads_in_s3_are_read_back_with_bounded_memory(tmp_path):
    found = settings_of("STORAGES", data=tmp_path, S3_BUCKET="b", S3_ENDPOINT_URL="https://s3.example.org")
    assert found["STORAGES"]["uploads"]["OPTIONS"]["max_memory_size"] == 8 * 1024 * 1024


def test_mail_must_be_verified_only_where_it_is_sent(tmp_path):
    assert settings_of("ACCOUNT_EMAIL_VERIFICATION", data=tmp_path)["ACCOUNT_EMAIL_VERIFICATION"] == "none"
    with_server = settings_of(
        "ACCOUNT_EMAIL_VERIFICATION",
        "EMAIL_HOST",
        "EMAIL_PORT",
        data=tmp_path,
        EMAIL_URL="smtp://m.example.org",
    )
    assert with_server == {
        "ACCOUNT_EMAIL_VERIFICATION": "mandatory", "EMAIL_HOST": "m.example.org", "EMAIL_PORT": 587,
    }  # fmt: skip
