"""What the server does with the User-Agent of l4s."""

import logging

import pytest
from django.test import override_settings

from tests.leaderboard.api import API, client_of

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("path", ["phases/", "submissions/", "nothing/"])
def test_the_client_is_logged_and_learns_which_version_is_supported(path: str, caplog) -> None:
    with caplog.at_level(logging.INFO), override_settings(L4S_CLIENT_MINIMUM="3.2"):
        ours = client_of().get(f"{API}/{path}", headers={"User-Agent": "l4s/1.1.0 python/3.11"})
        theirs = client_of().get(f"{API}/{path}", headers={"User-Agent": "Mozilla/5.0 (l4s/1.1.0)"})
    assert ours["L4S-Client-Minimum"] == "3.2"
    assert "L4S-Client-Minimum" not in theirs
    lines = [str(record.msg) for record in caplog.records if "request_finished" in str(record.msg)]
    assert len(lines) == 2
    assert "'client': 'l4s/1.1.0'" in lines[0]
    assert "client" not in lines[1]
    assert "Mozilla" not in lines[1]
