"""Masks over images in a real browser: arrow keys, opacity, difference, and the page without JavaScript."""

from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from django.utils import timezone

from evaluation.report.pictures import OVERLAY
from evaluation.report.png import png
from leaderboard.actions.judging import keep_images
from tests.browser.test_main_job import sign_in
from tests.leaderboard.factories import make_cast, make_masks
from tests.leaderboard.test_masks import make_scored, odd_masks

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

COLOURS = """canvas => {
  const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  return Array.from({ length: data.length / 4 }, (_, k) => Array.from(data.slice(4 * k, 4 * k + 4)).join());
}"""


def stage(cast: Any) -> Any:
    images = {
        kind: [png(np.full((16, 16, 3), shade, np.uint8))] * 3
        for kind, shade in (("true", 40), ("false", 90))
    }
    keep_images(cast.organiser, cast.phase, images)
    make_scored(cast, make_masks(seed=1), received_at=timezone.now() - timedelta(hours=1))
    return make_scored(cast, odd_masks())


def test_arrow_keys_go_from_odd_to_ordinary_patches(page: Any) -> None:
    cast = make_cast()
    made = stage(cast)
    sign_in(page, "owner")
    page.goto(f"/submissions/{made.pk}/masks/")
    page.locator("#stage canvas").wait_for()
    number, facts = page.locator(".stage-number"), page.locator(".stage-facts")
    assert number.inner_text() == "1"
    assert "100.0 % marked" in facts.inner_text()
    assert page.locator(".stage-oddity").inner_text() == "full"
    drawn = page.locator("#stage canvas").evaluate(COLOURS)
    assert set(drawn) == {",".join(map(str, (*OVERLAY[1], 255)))}
    page.keyboard.press("ArrowRight")
    assert number.inner_text() == "2"
    assert set(page.locator("#stage canvas").evaluate(COLOURS)) == {"0,0,0,0"}
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    assert number.inner_text() == "3"
    assert "patch=3" in page.url
    marked = [colour != "0,0,0,0" for colour in page.locator("#stage canvas").evaluate(COLOURS)]
    assert marked == odd_masks()[2].ravel().astype(bool).tolist()
    page.keyboard.press("Space")
    assert page.locator("#stage canvas").is_hidden()
    page.get_by_label("Image").select_option("False colour")
    assert page.locator("#stage .ground").get_attribute("src").endswith("/3/false.png")
    page.locator(".thumbs a").first.click()
    assert number.inner_text() == "1"


def test_the_difference_of_two_submissions(page: Any) -> None:
    made = stage(make_cast())
    sign_in(page, "owner")
    page.goto(f"/submissions/{made.pk}/masks/?show=change&patch=2")
    page.locator("#stage canvas").wait_for()
    drawn = page.locator("#stage canvas").evaluate(COLOURS)
    alone = ",".join(map(str, (*OVERLAY[2], 255)))
    assert [colour == alone for colour in drawn] == make_masks(seed=1)[1].ravel().astype(bool).tolist()


def test_without_javascript_there_are_pictures_and_links(browser: Any, live_server: Any, page: Any) -> None:
    made = stage(make_cast())
    sign_in(page, "owner")
    still = browser.new_context(
        base_url=live_server.url, java_script_enabled=False, storage_state=page.context.storage_state()
    ).new_page()
    still.goto(f"/submissions/{made.pk}/masks/?show=change&order=number")
    assert still.locator(".thumbs li").count() == 3
    for picture in still.locator("#stage img").all():
        assert still.request.get(picture.get_attribute("src")).ok
    still.get_by_role("link", name="Next").click()
    assert still.locator(".stage-number").inner_text() == "2"
    assert "show=change" in still.url
    still.context.close()


def test_two_submissions_are_selected_and_compared(page: Any) -> None:
    cast = make_cast()
    made = stage(cast)
    sign_in(page, "owner")
    page.goto(f"/c/{cast.competition.slug}/submissions/")
    for box in page.get_by_role("checkbox").all():
        box.check()
    page.get_by_role("button", name="Compare two").click()
    page.get_by_role("heading", name=f"against no. {made.pk}").wait_for()
    assert page.get_by_role("row", name="F1").is_visible()
    assert page.locator(".changes li").count() == 3
    for picture in page.locator(".changes li").first.locator("img").all():
        picture.scroll_into_view_if_needed()
        page.wait_for_function(
            "image => image.complete && image.naturalWidth === 16", arg=picture.element_handle()
        )
