"""The admin works without `unsafe-eval` and without inline scripts: every page, and what its theme does by scripts."""

from typing import Any

import pytest

from tests.browser.test_main_job import sign_in
from tests.leaderboard.factories import make_cast, make_user
from tests.leaderboard.test_admin_pages import MODELS, address, fill

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def lines(page: Any) -> list[str]:
    """What the page's scripts complain about. Alpine reports an expression that it cannot read as a warning."""
    seen: list[str] = []
    page.on("console", lambda line: seen.append(line.text) if line.type in ("error", "warning") else None)
    return seen


def sign_in_superuser(page: Any) -> None:
    make_user("root", is_staff=True, is_superuser=True)
    sign_in(page, "root")


def test_no_page_of_the_admin_complains(page: Any, lines: list[str]) -> None:
    fill(make_cast())
    sign_in_superuser(page)
    opened = ["/admin/"]
    for model in MODELS:
        opened.append(address(model))
        opened.append(address(model, "change", model.objects.first().pk))
        opened.append(address(model, "add"))
    complaints: dict[str, list[str]] = {}
    for path in opened:
        lines.clear()
        answer = page.goto(path)
        page.locator("html:not([x-cloak])").wait_for(state="attached")  # Alpine has started
        if lines and answer.status == 200:
            complaints[path] = list(lines)
    assert not complaints
    policy = answer.headers["content-security-policy"]
    assert "unsafe-eval" not in policy
    assert "script-src" not in policy  # default-src 'self' holds


def test_what_the_theme_does_by_scripts_works(page: Any, lines: list[str]) -> None:
    cast = fill(make_cast())
    sign_in_superuser(page)
    page.goto(address(cast.competition.__class__, "change", cast.competition.pk))
    menu, toggle = page.locator("#nav-sidebar"), page.get_by_text("dock_to_right").first
    assert menu.is_visible()
    toggle.click()
    menu.wait_for(state="hidden")
    page.reload()
    page.locator("html:not([x-cloak])").wait_for(state="attached")
    assert not menu.is_visible()  # remembered
    page.get_by_text("dock_to_right").first.click()
    menu.wait_for()

    page.get_by_text("root", exact=True).last.click()
    for name, dark in (("Dark", True), ("Light", False)):
        page.get_by_text(name, exact=True).click()
        page.wait_for_function(f"document.documentElement.classList.contains('dark') === {str(dark).lower()}")
    page.keyboard.press("Escape")

    form = page.locator("form#competition_form")
    assert "#" not in form.get_attribute("action")
    tab = page.locator("#tabs-items a").nth(1)
    tab.click()
    page.wait_for_function("document.querySelector('form#competition_form').action.includes('#')")
    assert form.get_attribute("action").endswith(page.evaluate("location.hash"))

    page.keyboard.press("Control+k")
    command = page.locator("[x-ref=searchInputCommand]")
    command.press_sequentially("Submissions")
    page.locator("#command-results-list li").first.wait_for()
    command.press("ArrowDown")
    with page.expect_navigation():
        command.press("Enter")
    assert not lines


def test_the_test_notices_what_alpine_cannot_read(browser: Any, live_server: Any) -> None:
    context = browser.new_context(base_url=live_server.url)
    page = context.new_page()
    page.route("**/admin-alpine*.js", lambda route: route.fulfill(body="", content_type="text/javascript"))
    sign_in_superuser(page)
    with page.expect_console_message(lambda line: "CSP Parser Error" in line.text):
        page.goto("/admin/")
    context.close()
