"""The documentation of the REST API in a real browser, under the site's content policy."""

from typing import Any

import pytest

from tests.browser.screenshots import violations
from tests.leaderboard.factories import make_cast

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


def test_the_documentation_is_read_and_followed(page: Any) -> None:
    make_cast()
    page.goto("/api/v1/docs/")
    page.locator("summary", has_text="Submit an archive").click()
    operation = page.locator("#submissions_create")
    assert operation.get_by_text("quota_used_up").first.is_visible()
    operation.get_by_role("link", name="Submission", exact=True).first.click()
    page.wait_for_url("**#object-Submission")
    page.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
    assert violations(page) == []
