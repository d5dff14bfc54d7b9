"""What cannot be parsed is refused by name, with the fix."""

import stat
import threading
from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured

from leaderboard.platform import environment as env


@pytest.mark.parametrize(
    ("read", "value", "sentence"),
    [
        (lambda: env.number("X", 5), "five", "is 'five', not a whole number"),
        (lambda: env.number("X", 5), "٣", "not a whole number"),
        (lambda: env.number("X", 5), "--5", "is '--5', not a whole number"),
        (lambda: env.number("X", 5, least=1, most=9), "10", "Write a number from 1 to 9"),
        (lambda: env.number("X", 5), "-1", "Write a number from 0"),
        (lambda: env.flag("X"), "maybe", "not yes or no"),
        (lambda: env.seconds("X", 5), "soon", "not a number of seconds"),
        (lambda: env.seconds("X", 5), "nan", "at least"),
        (lambda: env.seconds("X", 5), "inf", "at least"),
        (lambda: env.seconds("X", 5), "0", "at least"),
        (lambda: env.url("X", ("redis",)), "localhost:6379", "does not start with redis://"),
        (lambda: env.url("X", ("redis",)), "redis://host:port", "is not a URL"),
        (lambda: env.database("X", "postgres://host"), "", "has no database name"),
        (lambda: env.database("X", "sqlite://relative.db"), "", "absolute path"),
        (lambda: env.smtp("X", "smtp:///"), "", "has no host name"),
        (lambda: env.folder("X", Path("/")), "/dev/null/below", "cannot be created"),
        (lambda: env.secret("X", Path("/nowhere"), required=False), "short", "too few for a secret"),
        (lambda: env.secret("X", Path("/nowhere"), required=True), "", "runs in production"),
    ],
)
def test_refused(monkeypatch, read, value, sentence):
    monkeypatch.setenv("X", value)
    with pytest.raises(ImproperlyConfigured, match="Environment variable X ") as refusal:
        read()
    assert sentence in str(refusal.value)
    assert str(refusal.value).endswith(".") or "token_urlsafe" in str(refusal.value)


def test_a_variable_can_come_from_a_file(monkeypatch, tmp_path):
    (tmp_path / "secret").write_text("from the file\n")
    monkeypatch.setenv("SOME_FILE", str(tmp_path / "secret"))
    assert env.text("SOME") == "from the file"
    monkeypatch.setenv("SOME", "here")
    with pytest.raises(ImproperlyConfigured, match=r"SOME is set, and so is SOME_FILE\. Keep one"):
        env.text("SOME")
    monkeypatch.delenv("SOME")
    monkeypatch.setenv("SOME_FILE", str(tmp_path / "missing"))
    with pytest.raises(ImproperlyConfigured, match="SOME_FILE names a file that cannot be read"):
        env.text("SOME")


def test_a_password_apart_from_the_url():
    assert env.database("X", "postgres://me@host/db", "secret")["PASSWORD"] == "secret"
    assert env.database("X", "postgres://me:own@host/db", "secret")["PASSWORD"] == "own"


def test_an_empty_variable_counts_as_not_set(monkeypatch):
    monkeypatch.setenv("X", "  ")
    assert env.text("X", "default") == "default"
    assert env.number("X", 7) == 7
    assert env.flag("X", True) is True
    assert env.words("X", ["a"]) == ["a"]


def test_words_and_flags(monkeypatch):
    monkeypatch.setenv("X", " a.org, ,b.org ")
    assert env.words("X") == ["a.org", "b.org"]
    for value, meaning in {
        "Yes": True,
        "1": True,
        "on": True,
        "no": False,
        "0": False,
        "FALSE": False,
    }.items():
        monkeypatch.setenv("X", value)
        assert env.flag("X") is meaning


def test_postgresql_url_is_decoded():
    found = env.database("X", "postgres://a%40b:p%2Fw@db.example.org:6543/name?sslmode=require")
    assert (found["USER"], found["PASSWORD"], found["HOST"]) == ("a@b", "p/w", "db.example.org")
    assert (found["PORT"], found["NAME"], found["OPTIONS"]) == ("6543", "name", {"sslmode": "require"})


@pytest.mark.parametrize(
    ("url", "port", "tls", "ssl"),
    [
        ("smtp://u:p@mail.example.org", 587, True, False),
        ("smtps://u:p@mail.example.org", 465, False, True),
        ("smtp://mail.example.org:25?tls=no", 25, False, False),
    ],
)
def test_mail_url(url, port, tls, ssl):
    found = env.smtp("X", url)
    assert (found["EMAIL_PORT"], found["EMAIL_USE_TLS"], found["EMAIL_USE_SSL"]) == (port, tls, ssl)


def test_secret_is_kept_private_and_the_same_for_all(monkeypatch, tmp_path):
    monkeypatch.delenv("X", raising=False)
    path, found = tmp_path / "secret_key", []
    readers = [
        threading.Thread(target=lambda: found.append(env.secret("X", path, required=False))) for _ in range(8)
    ]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join()
    assert len(found) == 8
    assert len(set(found)) == 1
    assert len(found[0]) >= 50
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("HTTPS://Leaderboard.Example.ORG/", "https://leaderboard.example.org"),
        ("https://example.org:8443", "https://example.org:8443"),
        ("https://example.org:443", "https://example.org"),
        ("http://example.org:80", "http://example.org"),
        ("https://example.org.", "https://example.org"),
        ("http://[2001:DB8:0::1]:8000", "http://[2001:db8::1]:8000"),
        ("http://127.0.0.1:8000", "http://127.0.0.1:8000"),
        ("https://Bücher.example", "https://xn--bcher-kva.example"),
        ("https://xn--bcher-kva.example", "https://xn--bcher-kva.example"),
    ],
)
def test_a_site_is_written_as_browsers_write_it(monkeypatch, written, meant):
    monkeypatch.setenv("X", written)
    assert env.site("X", "") == meant


@pytest.mark.parametrize(
    ("written", "sentence"),
    [
        ("https://example.org/leaderboard", "needs a host name of its own"),
        ("https://example.org?x=1", "needs a host name of its own"),
        ("https://user@example.org", "needs a host name of its own"),
        ("https://", "where a host name belongs"),
        ("https://under_score.example.org", "'under_score.example.org' where a host name belongs"),
        ("https://two words.org", "where a host name belongs"),
        ("https://*.example.org", "where a host name belongs"),
        ("https://straße.example", "Write its ASCII form"),
        ("https://example.org:0", "names port 0"),
        ("https://example.org:99999", "is not a URL"),
        ("http://[::1", "is not a URL"),
        ("http://[fe80::1%25eth0]/", "where a host name belongs"),
        ("http://300.1.1.1", "does not exist"),
    ],
)
def test_a_site_that_cannot_work_is_refused(monkeypatch, written, sentence):
    monkeypatch.setenv("X", written)
    with pytest.raises(ImproperlyConfigured, match="Environment variable X ") as refusal:
        env.site("X", "")
    assert sentence in str(refusal.value)
