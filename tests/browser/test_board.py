"""The board and the overview in a real browser: search without a reload, the countdown by the server's clock."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from tests.browser.screenshots import violations
from tests.browser.test_main_job import sign_in
from tests.leaderboard.factories import make_cast, make_submission, make_team

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


def test_the_slider_moves_the_board_through_time(page: Any) -> None:
    now = timezone.now()
    cast = make_cast(opens_at=now - timedelta(days=9))
    make_submission(cast.team, cast.phase, (70, 30, 30), received_at=now - timedelta(days=6))
    make_submission(cast.other_team, cast.phase, (90, 10, 10), received_at=now - timedelta(days=2))
    page.goto(f"/c/{cast.competition.slug}/board/{cast.phase.slug}/")
    page.evaluate("window.sameDocument = true")
    slider = page.get_by_role("slider")
    assert slider.get_attribute("aria-valuetext") == "now"
    for _ in range(4):
        slider.press("ArrowLeft")
    day = now - timedelta(days=4)
    page.locator(".past", has_text=f"{day.day} {day:%B %Y}").wait_for()
    assert page.locator(".ranking .team").all_inner_texts() == ["Alpine"]
    assert slider.get_attribute("aria-valuetext") == f"at the end of {day.day} {day:%B %Y}"
    assert f"on={day.date()}" in page.url
    assert violations(page) == []
    slider.press("End")
    page.locator(".ranking .team", has_text="Rivals").wait_for()
    assert page.locator("#board").get_attribute("hx-trigger") == "every 5s"
    assert page.evaluate("window.sameDocument") is True
    page.goto(f"/c/{cast.competition.slug}/board/{cast.phase.slug}/?on={day.date()}")
    assert slider.get_attribute("aria-valuetext") == f"at the end of {day.day} {day:%B %Y}"


def test_without_a_script_the_day_is_a_date_field(browser: Any, live_server: Any) -> None:
    now = timezone.now()
    cast = make_cast(opens_at=now - timedelta(days=9))
    make_submission(cast.team, cast.phase, (70, 30, 30), received_at=now - timedelta(days=6))
    make_submission(cast.other_team, cast.phase, (90, 10, 10), received_at=now - timedelta(days=2))
    context = browser.new_context(base_url=live_server.url, java_script_enabled=False)
    page = context.new_page()
    page.goto(f"/c/{cast.competition.slug}/board/{cast.phase.slug}/")
    assert page.get_by_role("slider").count() == 0
    page.get_by_label("As it was at the end of").fill(str((now - timedelta(days=4)).date()))
    page.get_by_role("button", name="Show", exact=True).click()
    page.locator(".past").wait_for()
    assert page.locator(".ranking .team").all_inner_texts() == ["Alpine"]
    context.close()


def top(page: Any, selector: str) -> float:
    return float(page.locator(selector).first.evaluate("each => each.getBoundingClientRect().top"))


@pytest.mark.parametrize("width", [390, 1280])
def test_a_long_board_keeps_its_head_and_the_own_row_in_view(page: Any, width: int) -> None:
    cast = make_cast()
    for number in range(83):
        make_submission(make_team(cast.competition), cast.phase, (60 + number, 40, 40))
    make_submission(cast.team, cast.phase, (55, 40, 40))
    make_submission(cast.other_team, cast.phase, (50, 40, 40))
    sign_in(page, "owner")
    page.set_viewport_size({"width": width, "height": 844})
    page.goto(f"/c/{cast.competition.slug}/board/{cast.phase.slug}/")
    assert page.locator(".ranking tbody tr").count() == 85
    own = ".ranking tr.mine > .who" if width > 700 else ".ranking tr.mine"
    page.locator(".ranking tbody tr").nth(20).scroll_into_view_if_needed()
    assert 0 < top(page, own) < 844  # of rank 84, and pinned
    assert page.locator(".ranking tr.mine").get_by_text("84", exact=True).is_visible()
    rows = page.locator(".ranking tbody tr").nth(30).bounding_box()
    assert rows["height"] < 70  # two lines
    assert page.evaluate("document.documentElement.scrollHeight") < 85 * 70 + 1200
    if width > 700:
        page.evaluate("scrollTo(0, 2000)")
        assert top(page, ".ranking thead th") == pytest.approx(0, abs=1)
