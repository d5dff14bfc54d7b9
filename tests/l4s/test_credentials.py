"""Which server and which token: the environment first, then what was kept."""

import json
import stat
from types import SimpleNamespace

import pytest

from l4s import credentials, errors

SERVER = "https://leaderboard.example"


@pytest.mark.parametrize("given", [SERVER, f"{SERVER}/", f"{SERVER}/api/v1/"])
def test_addresses_are_taken_as_people_copy_them(given):
    assert credentials.server(given) == SERVER
    assert credentials.server("http://host:1/prefix/") == "http://host:1/prefix"


def test_no_server_and_no_address():
    with pytest.raises(errors.WrongUse, match="Which server"):
        credentials.server()
    with pytest.raises(errors.WrongUse, match="must begin with"):
        credentials.server("leaderboard.example")


def test_a_token_is_kept_for_its_owner_alone(home):
    where = credentials.keep(SERVER, "first")
    path = home / "credentials.json"
    assert where == str(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(home.stat().st_mode) == 0o700
    path.chmod(0o644)
    credentials.keep("http://other.example", "second")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert credentials.server() == "http://other.example"
    assert credentials.token(SERVER) == "first"
    credentials.forget(SERVER)
    assert credentials.token(SERVER) is None
    assert credentials.token("http://other.example") == "second"


def test_the_environment_wins(monkeypatch):
    credentials.keep(SERVER, "kept")
    monkeypatch.setenv("L4S_TOKEN", "said\n")
    monkeypatch.setenv("L4S_SERVER", "http://said.example/")
    assert credentials.server() == "http://said.example"
    assert credentials.token(SERVER) == "said"
    assert credentials.server(SERVER) == SERVER


def test_a_damaged_file_is_named(home):
    credentials.keep(SERVER, "kept")
    (home / "credentials.json").write_text("{")
    with pytest.raises(errors.WrongUse, match=r"credentials\.json is damaged .* Delete it and log in again"):
        credentials.token(SERVER)


def test_the_last_uploads_are_remembered(monkeypatch):
    monkeypatch.setattr(credentials, "MOST_UPLOADS", 2)
    uploads = credentials.Uploads()
    for key in ("a", "b", "a", "c"):
        uploads[key] = f"/uploads/{key}"
    assert dict(credentials.Uploads()) == {"a": "/uploads/a", "c": "/uploads/c"}
    del uploads["a"]
    assert len(credentials.Uploads()) == 1


class KeyringError(Exception):
    pass


@pytest.fixture
def keyring(monkeypatch):
    """A keyring of a desktop."""
    kept: dict = {}
    stand_in = SimpleNamespace(
        get_password=lambda service, name: kept.get((service, name)),
        set_password=lambda service, name, secret: kept.__setitem__((service, name), secret),
        delete_password=lambda service, name: kept.pop((service, name)),
    )
    monkeypatch.setattr(credentials, "keyring", stand_in)
    monkeypatch.setattr(credentials, "KeyringError", KeyringError)
    return kept


def test_a_keyring_is_preferred(home, keyring):
    assert credentials.keep(SERVER, "secret") == "the keyring"
    assert "secret" not in (home / "credentials.json").read_text()
    assert json.loads((home / "credentials.json").read_text())["server"] == SERVER
    assert credentials.token(SERVER) == "secret"
    credentials.forget(SERVER)
    assert keyring == {}
    assert credentials.token(SERVER) is None


def test_a_keyring_that_is_locked_is_passed_over(home, keyring, monkeypatch):
    def locked(*_):
        raise KeyringError

    for name in ("get_password", "set_password", "delete_password"):
        monkeypatch.setattr(credentials.keyring, name, locked)
    assert credentials.keep(SERVER, "secret") == str(home / "credentials.json")
    assert credentials.token(SERVER) == "secret"
    credentials.forget(SERVER)
    assert credentials.token(SERVER) is None
