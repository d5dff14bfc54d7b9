"""A folder of its own for what the client keeps, and the cast of the server's tests."""

from pathlib import Path

import pytest

from tests.leaderboard.conftest import cast as cast


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where tokens are kept: nothing of this machine is read or written."""
    for name in ("L4S_TOKEN", "L4S_SERVER"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setattr("l4s.credentials.keyring", None)
    return tmp_path / "config" / "l4s"
