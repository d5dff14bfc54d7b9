"""The organisers' side in a real browser: overview, ranking, disqualify by the list, restore on the page, labels."""

from pathlib import Path
from typing import Any

import pytest

from leaderboard.models import AuditEntry
from tests.browser.test_main_job import sign_in
from tests.leaderboard.factories import make_archive, make_cast, make_masks, make_submission

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


def test_an_organiser_judges(page: Any, tmp_path: Path) -> None:
    cast = make_cast()
    best = make_submission(cast.team, cast.phase, (80, 20, 20), method="Copied masks")
    make_submission(cast.other_team, cast.phase, (60, 40, 40))
    sign_in(page, cast.organiser.username)
    page.goto(f"/admin/leaderboard/phase/{cast.phase.pk}/rankings/")
    page.get_by_role("row").filter(has_text="Alpine").filter(has_text="80.00").wait_for()

    page.goto("/admin/leaderboard/submission/")
    page.get_by_role("row", name="Copied masks").get_by_role("checkbox").check()
    page.locator("select[name=action]").select_option("disqualify")
    page.locator("button[name=index]").click()
    page.get_by_text(str(best)).wait_for()
    page.locator("#id_reason").fill("taken from another team")
    page.get_by_role("button", name="Disqualify", exact=True).click()
    page.get_by_text("Disqualify: 1 submission changed.").wait_for()

    page.goto(f"/admin/leaderboard/phase/{cast.phase.pk}/rankings/")
    page.get_by_role("row").filter(has_text="Rivals").filter(has_text="60.00").wait_for()
    assert page.get_by_role("row").filter(has_text="Alpine").count() == 0

    page.goto(f"/admin/leaderboard/submission/{best.pk}/change/")
    page.get_by_text("disqualified: taken from another team").wait_for()
    page.get_by_role("link", name="Restore").click()
    page.locator("#id_reason").fill("they were in one team before")
    page.get_by_role("button", name="Restore", exact=True).click()
    page.get_by_text("Restore: 1 submission changed.").wait_for()

    file = tmp_path / "labels.zip"
    file.write_bytes(make_archive(make_masks(seed=3)))
    page.goto(f"/admin/leaderboard/phase/{cast.phase.pk}/load_labels/")
    page.locator("input[name=masks]").set_input_files(file)
    page.get_by_role("button", name="Load labels").click()
    page.get_by_text("Version 2 is loaded and waits").wait_for()
    cast.phase.refresh_from_db()
    assert cast.phase.labels.version == 1
    acts = list(AuditEntry.objects.order_by("pk").values_list("act", flat=True))
    assert acts == ["disqualified", "restored", "labels loaded"]


@pytest.mark.parametrize(
    "path",
    [
        "",
        "phase/rankings/",
        "submission/",
        "submission/{submission}/change/",
        "labelset/{labels}/change/",
        "auditentry/",
        "auditentry/{entry}/change/",
    ],
)
def test_a_page_of_the_admin_fits_a_phone(browser: Any, live_server: Any, path: str) -> None:
    cast = make_cast()
    made = make_submission(cast.team, cast.phase)
    entry = AuditEntry.objects.append("disqualified", competition=cast.competition, subject="a submission")
    path = path.format(submission=made.pk, labels=cast.phase.labels_id, entry=entry.pk)
    context = browser.new_context(base_url=live_server.url, viewport={"width": 390, "height": 800})
    page = context.new_page()
    sign_in(page, cast.organiser.username)
    page.goto(f"/admin/leaderboard/{path}" if path else "/admin/")
    page.wait_for_load_state()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    context.close()


@pytest.mark.parametrize("width", [1024, 1280])
def test_the_many_acts_of_a_competition_stay_in_the_window(
    browser: Any, live_server: Any, width: int
) -> None:
    cast = make_cast()
    context = browser.new_context(base_url=live_server.url, viewport={"width": width, "height": 800})
    page = context.new_page()
    sign_in(page, cast.organiser.username)
    page.goto(f"/admin/leaderboard/competition/{cast.competition.pk}/change/")
    page.wait_for_load_state()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    last = page.get_by_role("link", name="Download as TOML")
    assert last.bounding_box()["x"] + last.bounding_box()["width"] <= width
    context.close()


@pytest.mark.parametrize(("width", "height"), [(390, 844), (1280, 900), (1280, 740)])
def test_the_bar_with_save_does_not_cover_the_switch_that_confirms(
    browser: Any, live_server: Any, width: int, height: int
) -> None:
    cast = make_cast()
    context = browser.new_context(base_url=live_server.url, viewport={"width": width, "height": height})
    page = context.new_page()
    sign_in(page, cast.organiser.username)
    page.goto("/admin/leaderboard/announcement/add/")
    page.locator("#id_title").fill("Hello")
    page.locator("#id_body").fill("**Hello**")
    page.locator("#id_competition").select_option(str(cast.competition.pk))
    page.get_by_role("button", name="Save", exact=True).first.click()
    page.get_by_text("Not sent yet").first.wait_for()
    page.locator("#id_confirmed").focus()
    page.wait_for_function(
        """() => {
          const place = document.activeElement.getBoundingClientRect();
          return document.elementFromPoint(place.x + place.width / 2, place.y + place.height / 2).id === "id_confirmed";
        }"""
    )
    context.close()


def test_words_alone_name_links_and_buttons(page: Any) -> None:
    cast = make_cast()
    sign_in(page, cast.organiser.username)
    page.goto(f"/admin/leaderboard/competition/{cast.competition.pk}/change/")
    page.get_by_role("link", name="Add an organiser", exact=True).wait_for()
    page.goto("/admin/leaderboard/membership/")
    page.get_by_role("link", name="Add membership", exact=True).wait_for()
    page.locator("#nav-sidebar").get_by_role("link", name="Rankings", exact=True).wait_for()


def test_teams_are_merged_by_a_name_that_is_looked_up(page: Any, tmp_path: Path) -> None:
    """A list of ten thousand teams takes a second to build: the page asks for those that contain what is typed."""
    cast = make_cast()
    sign_in(page, cast.organiser.username)
    page.goto(f"/admin/leaderboard/team/{cast.team.pk}/merge/")
    assert page.locator("select[name=other] option").count() <= 1
    page.locator(".select2-selection").click()
    page.locator(".select2-search__field").fill("riv")
    page.locator(".select2-results__option", has_text="Rivals").click()
    page.locator("#id_reason").fill("they asked for it")
    page.screenshot(path=tmp_path / "merge.png", full_page=True)
    page.get_by_role("button", name="Merge", exact=True).click()
    page.get_by_text("Rivals is part of Alpine now.").wait_for()
