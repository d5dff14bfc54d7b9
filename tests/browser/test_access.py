"""Accessibility by axe (WCAG 2.2 AA) on the pages that people use most, in their states too; and what a first visit weighs.

`make screenshots` does the same for every page in four variants.
"""

import os
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from evaluation.archive.problems import Problem
from leaderboard.actions.accounts import create_token
from leaderboard.reporting import counting
from tests.browser.screenshots import VARIANTS, violations
from tests.browser.shots import ACTS
from tests.browser.test_main_job import sign_in
from tests.conftest import web_process
from tests.leaderboard.factories import make_cast, make_submission, make_team

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

SHORT = ["desktop-light", "phone-dark"]
COLD_BYTES = 150_000


@pytest.fixture(params=SHORT)
def variant_page(request: pytest.FixtureRequest, browser: Any, live_server: Any) -> Any:
    context = browser.new_context(base_url=live_server.url, **VARIANTS[request.param])
    context.set_default_timeout(15_000)
    yield context.new_page()
    context.close()


def found_on(page: Any, addresses: list[str]) -> dict[str, list[str]]:
    found = {}
    for address in addresses:
        assert page.goto(address).ok, address
        page.wait_for_load_state("networkidle")
        found[address] = violations(page)
    return {address: faults for address, faults in found.items() if faults}


def test_pages_of_visitors_and_members(variant_page: Any) -> None:
    cast = make_cast()
    scored = make_submission(cast.team, cast.phase)
    other = make_submission(cast.team, cast.phase, (70, 30, 30))
    problems = (Problem("dataset_missing", "mask_1.h5", "No dataset."),)
    invalid = make_submission(cast.team, cast.phase, state="invalid", problems=problems)
    make_submission(cast.other_team, cast.phase, (60, 40, 40))
    home = f"/c/{cast.competition.slug}/"
    board = f"{home}board/{cast.phase.slug}/"
    assert found_on(variant_page, ["/", home, board, "/accounts/login/"]) == {}
    sign_in(variant_page, "owner")
    message = f"{home}submissions/compare/?id={scored.pk}"
    pages = [board, f"{home}submit/", f"{home}submissions/", f"{home}team/", message]
    pages += [f"/submissions/{each.pk}/" for each in (scored, invalid)]
    pages += [f"{home}submissions/compare/?id={scored.pk}&id={other.pk}", "/account/"]
    assert found_on(variant_page, pages) == {}
    variant_page.goto(message)
    assert variant_page.locator(".messages .note.error").is_visible()


def test_pages_of_organisers(variant_page: Any) -> None:
    cast = make_cast()
    made = make_submission(cast.team, cast.phase)
    make_submission(cast.other_team, cast.phase, state="queued")
    sign_in(variant_page, cast.organiser.username)
    admin = "/admin/leaderboard/"
    pages = ["/admin/", f"{admin}submission/", f"{admin}submission/{made.pk}/change/", f"{admin}phase/"]
    pages += [f"{admin}phase/{cast.phase.pk}/change/", f"{admin}phase/rankings/", f"{admin}user/"]
    pages.append(f"{admin}announcement/add/")
    assert found_on(variant_page, pages) == {}


@pytest.mark.parametrize("state", ["progress", "paused", "cut", "error", "same archive"])
def test_states_of_an_upload(variant_page: Any, tmp_path: Path, state: str) -> None:
    cast = make_cast()
    archive = tmp_path / "masks.zip"
    archive.write_bytes(os.urandom(200_000))
    make_submission(cast.team, cast.phase, content=archive.read_bytes())
    sign_in(variant_page, "owner")
    variant_page.goto(f"/c/{cast.competition.slug}/submit/")
    ACTS[state](variant_page, {"archive": archive})
    assert violations(variant_page) == []


OUTSIDE = """() => {
  const { right } = document.querySelector("main").getBoundingClientRect();
  return [...document.querySelectorAll("main *")].filter((each) => each.getBoundingClientRect().right > right + 1
    && !each.closest(".scroll, pre, .visually-hidden")).map((each) => each.outerHTML.slice(0, 80));
}"""


@pytest.mark.parametrize("width", [390, 1000, 1280])
def test_tables_and_charts_stay_within_the_content(browser: Any, live_server: Any, width: int) -> None:
    now = timezone.now()
    cast = make_cast(opens_at=now - timedelta(days=30))
    for day in range(9, 0, -1):
        made = make_submission(
            cast.team, cast.phase, (60 + day, 40, 40), received_at=now - timedelta(days=day)
        )
        make_submission(
            cast.other_team, cast.phase, (80 - day, 40, 40), received_at=now - timedelta(days=day)
        )
    create_token(cast.owner, "a cluster with a long name")
    counting.keep_up(now)
    context = browser.new_context(base_url=live_server.url, viewport={"width": width, "height": 844})
    page = context.new_page()
    sign_in(page, "owner")
    home, charts = f"/c/{cast.competition.slug}/", 0
    addresses = ["/account/", f"{home}submissions/", f"{home}statistics/", f"{home}teams/{cast.team.pk}/"]
    for address in [*addresses, f"/submissions/{made.pk}/", f"{home}team/"]:
        assert page.goto(address).ok, address
        assert page.evaluate(OUTSIDE) == [], address
        assert page.evaluate("document.documentElement.scrollWidth") <= width, address
        charts += page.locator(".chart svg").count()
    assert charts >= 3
    context.close()


@pytest.mark.parametrize("address", ["/c/landslides/", "/c/landslides/board/validation/"])
def test_a_first_visit_is_light(browser: Any, tmp_path: Path, address: str) -> None:
    """All that a new visitor's browser fetches from the real web process, the typeface included, with 85 teams."""
    cast = make_cast()
    for number in range(83):
        make_submission(make_team(cast.competition), cast.phase, (50 + number, 40, 40))
    make_submission(cast.team, cast.phase)
    make_submission(cast.other_team, cast.phase)
    with web_process(tmp_path) as (_, url):
        sizes = fetched(browser, url + address)
    assert any(".woff2" in name for name in sizes)
    assert any(".css" in name for name in sizes)
    assert 50_000 < sum(sizes.values()) < COLD_BYTES, sizes


def fetched(browser: Any, address: str) -> dict[str, float]:
    """What a browser without a cache gets for a page: bytes on the line, by address."""
    context = browser.new_context(**VARIANTS["phone-light"])
    page = context.new_page()
    names: dict[str, str] = {}
    sizes: dict[str, float] = {}
    session = context.new_cdp_session(page)
    session.on(
        "Network.responseReceived",
        lambda event: names.update({event["requestId"]: event["response"]["url"]}),
    )
    session.on(
        "Network.loadingFinished",
        lambda event: sizes.update({names[event["requestId"]]: event["encodedDataLength"]}),
    )
    session.send("Network.enable")
    page.goto(address)
    page.wait_for_load_state("networkidle")
    context.close()
    return sizes
