"""The documentation of the REST API in a real browser, under the site's content policy."""

from typing import Any

import pytest

from tests.leaderboard.factories import make_cast

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


def test_the_documentation_is_read_and_tried(page: Any) -> None:
    make_cast()
    page.goto("/api/v1/docs/")
    page.get_by_role("button", name="GET /api/v1/phases/ All phases").click()
    page.get_by_role("button", name="Execute").click()
    page.locator(".live-responses-table").get_by_text('"slug": "validation"').first.wait_for()
