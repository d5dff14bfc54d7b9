"""The board and the overview in a real browser: search without a reload, the countdown by the server's clock."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from tests.browser.screenshots import violations
from tests.leaderboard.factories import make_cast, make_submission

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


def test_the_board_is_searched_and_sorted_without_a_reload(page: Any) -> None:
    cast = make_cast()
    make_submission(cast.team, cast.phase, (80, 20, 20))
    make_submission(cast.other_team, cast.phase, (90, 10, 10))
    page.goto(f"/c/{cast.competition.slug}/board/{cast.phase.slug}/")
    page.evaluate("window.sameDocument = true")
    page.get_by_placeholder("Find a team").fill("alp")
    page.get_by_text("1 of 2 teams.").wait_for()
    assert page.locator(".ranking .team").all_inner_texts() == ["Alpine"]
    assert "q=alp" in page.url
    assert violations(page) == []
    page.get_by_placeholder("Find a team").fill("")
    page.locator("select[name=sort]").select_option("team")
    page.wait_for_url("**sort=team**")
    page.locator(".ranking .team", has_text="Rivals").wait_for()
    assert page.locator(".ranking .team").all_inner_texts() == ["Alpine", "Rivals"]
    assert page.evaluate("window.sameDocument") is True


def test_the_countdown_ticks_by_the_servers_clock(page: Any) -> None:
    cast = make_cast()
    cast.phase.closes_at = timezone.now() + timedelta(days=2, minutes=5)
    cast.phase.save()
    page.add_init_script("const real = Date.now; Date.now = () => real() + 9 * 3600 * 1000;")  # a wrong clock
    page.goto(f"/c/{cast.competition.slug}/")
    countdown = page.locator("time.countdown")
    before = countdown.inner_text()
    assert before.split()[:3] == ["2", "days", "00"]
    page.wait_for_function(
        "before => document.querySelector('time.countdown').innerText !== before", arg=before
    )
