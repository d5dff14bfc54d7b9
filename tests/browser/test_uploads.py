"""Uploads that survive, in a real browser: a cut line, a reload, another session, the deadline."""

import hashlib
import os
import re
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from leaderboard.models import Phase, Submission, Upload
from tests.browser.test_main_job import sign_in, submit
from tests.leaderboard.factories import Cast, make_cast, make_submission

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

SLOW = 400_000  # bytes per second


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    path = tmp_path / "masks.zip"
    path.write_bytes(os.urandom(3_000_000))
    return path


def fill(page: Any, cast: Cast, archive: Path | None) -> None:
    page.goto(f"/c/{cast.competition.slug}/submit/")
    if archive:
        page.get_by_label("Archive", exact=True).set_input_files(archive)
    page.get_by_label("Method").fill("SegFormer-B2")
    page.get_by_label("Description").fill("Dice loss")


def limit_speed(page: Any, bytes_per_second: int) -> None:
    speed = {"offline": False, "latency": 0, "downloadThroughput": -1, "uploadThroughput": bytes_per_second}
    page.context.new_cdp_session(page).send("Network.emulateNetworkConditions", speed)


def wait_for_bytes(page: Any, least: int = 1) -> None:
    wait_until(page, lambda: Upload.objects.filter(offset__gte=least).exists())


def wait_until(page: Any, holds: Callable[[], bool]) -> None:
    for _ in range(300):
        if holds():
            return
        page.wait_for_timeout(100)
    raise AssertionError("it did not happen")


def assert_arrived(page: Any, archive: Path) -> Submission:
    page.wait_for_url("**/submissions/*/", timeout=60_000)
    submission = Submission.objects.get()
    assert submission.sha256 == hashlib.sha256(archive.read_bytes()).hexdigest()
    assert submission.description == "Dice loss"
    assert Upload.objects.count() == 1
    return submission


def test_a_cut_upload_goes_on_by_itself(page: Any, archive: Path) -> None:
    cast = make_cast()
    sign_in(page, "owner")
    fill(page, cast, archive)
    sent: list[str] = []

    def cut_the_second(route: Any) -> None:
        sent.append(route.request.method)
        if sent.count("PATCH") == 2 and route.request.method == "PATCH":
            route.abort("connectionreset")
        else:
            route.continue_()

    page.route("**/api/v1/uploads/*/", cut_the_second)
    limit_speed(page, SLOW)
    submit(page)
    page.get_by_text(re.compile(r"\d+ % · .* of 2\.9 MB · .*/s · \d+ s left")).wait_for()
    page.get_by_text("The connection is lost. What has arrived is safe").first.wait_for()
    limit_speed(page, -1)
    assert_arrived(page, archive)
    assert "HEAD" in sent  # it asked where to go on


def watch_uploads(page: Any, hold: int = 0) -> list[str]:
    """The methods of all requests of uploads from now on; the ``hold``-th PATCH never gets an answer."""
    sent: list[str] = []

    def note(route: Any) -> None:
        sent.append(route.request.method)
        if not (route.request.method == "PATCH" and sent.count("PATCH") == hold):
            route.continue_()

    page.route("**/api/v1/uploads/*/", note)
    return sent


def test_a_server_that_stalls_is_noticed_and_the_upload_goes_on(page: Any, archive: Path) -> None:
    cast = make_cast()
    sign_in(page, "owner")
    page.clock.install()
    fill(page, cast, archive)
    sent = watch_uploads(page, hold=2)
    limit_speed(page, SLOW)
    submit(page)
    wait_until(page, lambda: sent.count("PATCH") == 2)
    page.wait_for_timeout(1000)
    assert page.get_by_text("Nothing has got through").count() == 0
    page.clock.fast_forward(31_000)
    page.get_by_text("Nothing has got through for 30 seconds. What has arrived is safe").first.wait_for()
    assert "HEAD" not in sent
    limit_speed(page, -1)
    assert_arrived(page, archive)
    assert "HEAD" in sent


def test_a_laptop_that_slept_for_hours_goes_on(page: Any, archive: Path) -> None:
    cast = make_cast()
    sign_in(page, "owner")
    page.clock.install()
    fill(page, cast, archive)
    sent = watch_uploads(page)
    limit_speed(page, SLOW)
    submit(page)
    wait_for_bytes(page)
    arrived = Upload.objects.get().offset
    page.context.set_offline(True)
    page.clock.pause_at(page.evaluate("Date.now()") + 1000)  # the lid is closed: no timer runs
    page.wait_for_timeout(1500)
    before = len(sent)
    page.clock.fast_forward("03:00:00")
    page.get_by_text("What has arrived is safe; the upload goes on by itself.").first.wait_for()
    assert page.get_by_role("button", name="Pause").is_visible()
    assert not Submission.objects.exists()
    page.context.set_offline(False)
    page.clock.resume()
    limit_speed(page, -1)
    assert_arrived(page, archive)
    assert "HEAD" in sent[before:]  # it asked where to go on, and did not begin again
    assert "POST" not in sent[before:]
    assert 0 < arrived < archive.stat().st_size


def test_an_error_stands_where_the_bar_was(browser: Any, live_server: Any, archive: Path) -> None:
    cast = make_cast()
    context = browser.new_context(base_url=live_server.url, viewport={"width": 390, "height": 844})
    page = context.new_page()
    sign_in(page, "owner")
    fill(page, cast, archive)
    refusal = '{"code": "permission_denied", "detail": "The door is closed."}'
    page.route(
        "**/api/v1/uploads/",
        lambda route: route.fulfill(status=403, content_type="application/problem+json", body=refusal),
        times=1,
    )
    limit_speed(page, SLOW)
    submit(page)
    error = page.get_by_role("alert").filter(has_text="The door is closed.")
    error.wait_for()
    assert error.evaluate("element => element === document.activeElement")
    assert error.evaluate(
        "element => { const { top, bottom } = element.getBoundingClientRect(); return top >= 0 && bottom <= innerHeight; }"
    )
    assert error.evaluate("element => Boolean(element.closest('[data-upload-progress]'))")
    assert page.locator("progress").is_hidden()
    limit_speed(page, -1)
    error.get_by_role("button", name="Try again").click()
    assert_arrived(page, archive)
    context.close()


@pytest.mark.parametrize("keeps_files", [True, False])
def test_a_reload_keeps_the_texts_and_what_has_arrived(page: Any, archive: Path, keeps_files: bool) -> None:
    cast = make_cast()
    if not keeps_files:
        page.context.add_init_script("Object.defineProperty(window, 'indexedDB', { value: undefined });")
    sign_in(page, "owner")
    fill(page, cast, archive)
    limit_speed(page, SLOW)
    asked: list[str] = []
    page.on("dialog", lambda dialog: (asked.append(dialog.type), dialog.accept()))
    submit(page)
    wait_for_bytes(page)
    page.reload()
    assert asked == ["beforeunload"]
    assert page.get_by_label("Method").input_value() == "SegFormer-B2"
    assert page.get_by_label("Description").input_value() == "Dice loss"
    if not keeps_files:
        page.get_by_text("Choose the same file again to go on.").first.wait_for()
        page.get_by_label("Archive", exact=True).set_input_files(archive)
    limit_speed(page, -1)
    assert_arrived(page, archive)


def test_pause_resume_and_stop(page: Any, archive: Path) -> None:
    cast = make_cast()
    sign_in(page, "owner")
    fill(page, cast, archive)
    limit_speed(page, SLOW)
    submit(page)
    wait_for_bytes(page)
    page.get_by_role("button", name="Pause").click()
    page.wait_for_timeout(500)
    arrived = Upload.objects.get().offset
    page.wait_for_timeout(2000)
    assert Upload.objects.get().offset == arrived
    page.get_by_role("button", name="Resume").click()
    page.get_by_role("button", name="Pause").wait_for()
    page.get_by_role("button", name="Stop the upload").click()
    page.get_by_text("You stopped the upload. Nothing was counted.").wait_for()
    assert page.get_by_role("button", name="Submit", exact=True).is_enabled()
    page.wait_for_timeout(500)
    assert not Upload.objects.exists()
    page.get_by_role("button", name="Try again").click()
    limit_speed(page, -1)
    assert_arrived(page, archive)


def renew_session(page: Any, between: Any = lambda: None) -> None:
    """Sign out and in again in another tab."""
    other = page.context.new_page()
    other.goto("/")
    other.get_by_role("button", name="Sign out").click()
    other.get_by_role("link", name="Sign in").wait_for()
    between()
    sign_in(other, "owner")
    other.close()


def test_a_stale_tab_submits(page: Any, archive: Path) -> None:
    cast = make_cast()
    sign_in(page, "owner")
    fill(page, cast, archive)
    renew_session(page)
    submit(page)
    assert_arrived(page, archive)


def test_who_loses_the_session_in_mid_upload_signs_in_elsewhere(page: Any, archive: Path) -> None:
    cast = make_cast()
    sign_in(page, "owner")
    fill(page, cast, archive)
    limit_speed(page, SLOW)
    submit(page)
    wait_for_bytes(page)
    signed_out = page.get_by_text("You are signed out. Sign in again in another tab").first
    renew_session(page, signed_out.wait_for)
    limit_speed(page, -1)
    assert_arrived(page, archive)


def test_other_forms_of_a_stale_tab_work_too(page: Any) -> None:
    cast = make_cast(allows_withdrawal=True)
    made = make_submission(cast.team, cast.phase)
    sign_in(page, "owner")
    page.goto(f"/submissions/{made.pk}/")
    page.get_by_text("Withdraw this submission").click()
    renew_session(page)
    page.get_by_role("button", name="Withdraw it").click()
    page.get_by_text("Withdrawn by the team").wait_for()


def test_who_signs_in_after_pressing_a_button_comes_to_its_page(page: Any) -> None:
    cast = make_cast(allows_withdrawal=True)
    made = make_submission(cast.team, cast.phase)
    sign_in(page, "owner")
    page.goto(f"/submissions/{made.pk}/")
    page.get_by_text("Withdraw this submission").click()
    page.context.clear_cookies(name="sessionid")
    page.get_by_role("button", name="Withdraw it").click()
    page.get_by_label("Username or email").fill("owner")
    page.get_by_label("Password").fill("a-long-enough-password")
    page.get_by_role("main").get_by_role("button", name="Sign in", exact=True).click()
    page.wait_for_url(f"**/submissions/{made.pk}/")


@pytest.mark.parametrize("grace", [15, 0])
def test_an_upload_over_the_deadline(page: Any, archive: Path, grace: int) -> None:
    closes_at = timezone.now() + timedelta(hours=1)
    cast = make_cast(closes_at=closes_at, grace_minutes=grace)
    sign_in(page, "owner")
    fill(page, cast, archive)
    shown = page.get_by_role("main").inner_text()
    assert "Start the upload before" in shown
    assert ("it may finish until" in shown) is bool(grace)
    limit_speed(page, SLOW)
    submit(page)
    wait_for_bytes(page)
    now = timezone.now()
    Phase.objects.update(closes_at=now)
    if grace:
        limit_speed(page, -1)
        submission = assert_arrived(page, archive)
        assert submission.received_at < now < submission.completed_at
    else:
        error = page.get_by_role("alert").filter(has_text="ended on")
        error.wait_for()
        assert error.evaluate("element => element === document.activeElement")
        assert error.evaluate(
            "element => { const { top, bottom } = element.getBoundingClientRect(); return top >= 0 && bottom <= innerHeight; }"
        )
        assert page.get_by_label("Method").input_value() == "SegFormer-B2"
        assert not Submission.objects.exists()


def test_an_upload_that_will_be_late_is_announced(page: Any, archive: Path) -> None:
    cast = make_cast(closes_at=timezone.now() + timedelta(seconds=40), grace_minutes=0)
    sign_in(page, "owner")
    fill(page, cast, archive)
    limit_speed(page, 30_000)
    submit(page)
    page.get_by_text("At this speed the upload needs").first.wait_for()


def test_the_same_archive_is_announced_before_it_takes_a_place(page: Any, archive: Path) -> None:
    cast = make_cast(quota_total=2)
    sign_in(page, "owner")
    fill(page, cast, archive)
    submit(page)
    first = assert_arrived(page, archive)
    fill(page, cast, archive)
    submit(page)
    page.get_by_text(f"This archive has the same bytes as submission {first.pk} (waiting)").first.wait_for()
    assert Submission.objects.count() == 1
    page.get_by_label("Submit the same archive again").check()
    submit(page)
    page.wait_for_url(f"**/submissions/{first.pk + 1}/")
    assert Submission.objects.count() == 2
