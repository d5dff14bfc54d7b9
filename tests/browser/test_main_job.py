"""The main job in a real browser with a real worker: from sign-up to the place on the board."""

from pathlib import Path
from threading import Event
from typing import Any

import pytest

from evaluation.archive.problems import Problem
from leaderboard.actions import submissions
from leaderboard.actions.accounts import create_token
from leaderboard.actions.teams import invite
from leaderboard.models import PublishedEntry, Submission
from tests.leaderboard.factories import (
    PASSWORD,
    Cast,
    make_archive,
    make_cast,
    make_competition,
    make_masks,
    make_phase,
    make_submission,
    make_team,
)

pytestmark = [
    pytest.mark.browser,
    pytest.mark.both_databases,
    pytest.mark.django_db(transaction=True),
]


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    path = tmp_path / "masks.zip"
    path.write_bytes(make_archive())
    return path


def sign_in(page: Any, username: str) -> None:
    page.goto("/accounts/login/")
    page.get_by_label("Username or email").fill(username)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("main").get_by_role("button", name="Sign in", exact=True).click()
    page.get_by_role("button", name="Sign out").wait_for()


def fill_submission(page: Any, cast: Cast, archive: Path, method: str = "SegFormer-B2") -> None:
    page.goto(f"/c/{cast.competition.slug}/submit/")
    page.get_by_label("Archive", exact=True).set_input_files(archive)
    page.get_by_label("Method").fill(method)
    page.get_by_label("Description").fill("Dice loss")


def submit(page: Any) -> None:
    page.get_by_role("main").get_by_role("button", name="Submit", exact=True).click()


@pytest.mark.worker
def test_from_sign_up_to_the_board(
    page: Any, browser: Any, live_server: Any, worker: Any, archive: Path
) -> None:
    competition = make_competition(name="Landslides 2022")
    phase = make_phase(competition, quota_on_board=10)
    make_submission(make_team(competition, "Earlier"), phase, (80, 20, 20))
    visitor = browser.new_context(base_url=live_server.url).new_page()
    visitor.goto(f"/c/{competition.slug}/board/{phase.slug}/")
    visitor.get_by_role("row", name="Earlier").wait_for()

    page.goto("/")
    page.get_by_role("link", name="Take part").click()
    page.get_by_label("Email").fill("new@example.org")
    page.get_by_label("Username").fill("newcomer")
    page.get_by_label("Password", exact=True).fill("Steep-slopes-7")
    page.get_by_label("Password (again)").fill("Steep-slopes-7")
    page.get_by_role("button", name="Sign up").click()

    page.get_by_role("link", name="Create or join a team").click()
    page.get_by_label("Team name").fill("Newcomers")
    page.get_by_role("button", name="Create the team").click()
    page.get_by_role("heading", name="Newcomers").wait_for()

    page.get_by_role("link", name="Submit", exact=True).click()
    assert "Left: 10 of 10 places on the board." in page.get_by_role("main").inner_text()
    page.get_by_label("Archive", exact=True).set_input_files(archive)
    page.get_by_label("Method").fill("SegFormer-B2")
    submit(page)

    page.wait_for_url("**/submissions/*/")
    page.get_by_text("scored", exact=True).wait_for(timeout=30_000)
    result = page.get_by_role("region", name="Result").inner_text()
    assert "100.00" in result
    assert "Attempt spent" in result

    page.get_by_role("link", name="View the leaderboard").click()
    rows = page.locator("#board tbody tr").all_inner_texts()
    assert [row.split()[:2] for row in rows] == [["1", "Newcomers"], ["2", "Earlier"]]
    assert "Your team Newcomers is ranked 1 of 2." in page.get_by_role("main").inner_text()
    # who had the board open sees the new row without doing anything
    visitor.get_by_role("row", name="Newcomers").wait_for(timeout=30_000)
    visitor.context.close()


@pytest.mark.worker
def test_a_folder_in_the_archive_is_named_with_the_fix(page: Any, worker: Any, tmp_path: Path) -> None:
    import zipfile

    cast = make_cast()
    folder = tmp_path / "folder.zip"
    with zipfile.ZipFile(folder, "w") as target, zipfile.ZipFile(_written(tmp_path)) as source:
        for name in source.namelist():
            target.writestr(f"predictions/{name}", source.read(name))
    sign_in(page, "owner")
    fill_submission(page, cast, folder)
    submit(page)
    page.get_by_text("invalid", exact=True).wait_for(timeout=30_000)
    result = page.get_by_role("region", name="Result").inner_text()
    assert "folder_in_archive" in result
    assert "zip ../" in result
    assert "It does not count towards your quota" in result


def _written(folder: Path) -> Path:
    path = folder / "good.zip"
    path.write_bytes(make_archive(make_masks()))
    return path


def test_a_refusal_keeps_the_text_and_the_chosen_file(page: Any, archive: Path) -> None:
    cast = make_cast(quota_total=1)
    sign_in(page, "owner")
    fill_submission(page, cast, archive)
    make_submission(cast.team, cast.phase)  # a teammate was faster
    submit(page)
    page.get_by_text("Your team has used its only submission of Validation.").wait_for()
    assert page.get_by_label("Method").input_value() == "SegFormer-B2"
    assert page.get_by_label("Archive", exact=True).evaluate("field => field.files.length") == 1
    assert Submission.objects.count() == 1
    assert page.get_by_role("button", name="Submit", exact=True).is_enabled()


def test_a_wrong_size_is_refused_before_anything_is_sent(page: Any, tmp_path: Path, settings: Any) -> None:
    cast = make_cast()
    settings.MAX_UPLOAD_BYTES = 1000
    empty, large = tmp_path / "empty.zip", tmp_path / "large.zip"
    empty.write_bytes(b"")
    large.write_bytes(b"x" * 5000)
    sign_in(page, "owner")
    sent: list[str] = []
    page.on("request", lambda request: sent.append(request.method))
    fill_submission(page, cast, large)
    page.get_by_text("large.zip is 5 kB, but the limit is 1 kB.").wait_for()
    submit(page)
    page.get_by_label("Archive", exact=True).set_input_files(empty)
    page.get_by_text("empty.zip is empty.").wait_for()
    submit(page)
    page.get_by_label("Archive", exact=True).set_input_files([])
    submit(page)
    page.get_by_text("Please choose the ZIP archive of your masks.").wait_for()
    assert "POST" not in sent


def test_a_broken_connection_loses_nothing(page: Any, archive: Path) -> None:
    cast = make_cast()
    sign_in(page, "owner")
    fill_submission(page, cast, archive)
    page.route("**/api/v1/uploads/", lambda route: route.abort())
    submit(page)
    page.get_by_text("The connection is lost.").first.wait_for()
    page.unroute("**/api/v1/uploads/")
    page.wait_for_url("**/submissions/*/")
    assert Submission.objects.get().description == "Dice loss"


def test_submitting_works_without_javascript(browser: Any, live_server: Any, archive: Path) -> None:
    cast = make_cast()
    context = browser.new_context(base_url=live_server.url, java_script_enabled=False)
    page = context.new_page()
    sign_in(page, "teammate")
    fill_submission(page, cast, archive, method="")
    submit(page)
    text = page.get_by_role("main").inner_text()
    assert "Please name your method" in text
    assert "Please choose the file again" in text
    assert page.get_by_label("Description").input_value() == "Dice loss"
    fill_submission(page, cast, archive)
    submit(page)
    page.wait_for_url("**/submissions/*/")
    assert page.get_by_role("heading", name="SegFormer-B2").is_visible()
    context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_page_scrolls_sideways_on_a_phone(browser: Any, live_server: Any, scheme: str) -> None:
    cast = make_cast(allows_withdrawal=True)
    cast.competition.data_note = "Scores here are on synthetic data."
    cast.competition.save()
    cast.team.name = "Erdrutschkartierungsarbeitsgemeinschaftmittelgebirgsforschung"[:60]
    cast.team.save()
    invite(cast.owner, cast.team, "somebody@a-university-with-a-long-name.example.org")
    made = make_submission(
        cast.team, cast.phase, method="Segmentierungsnetzwerkensemblemitpseudobezeichnungen"
    )
    long_name = "ValidData_image_1_predictions_of_the_final_version.h5"
    problems = [Problem("dataset_missing", f"mask_{number}.h5", "No dataset.") for number in range(1, 246)]
    problems.append(Problem("unexpected_file", long_name, "Rename it."))
    invalid = make_submission(cast.team, cast.phase, state="invalid", problems=tuple(problems))
    make_team(cast.competition, "Organisers", owner=cast.organiser, is_organisers=True)
    PublishedEntry.objects.create(phase=cast.phase, name="Kingdrone", f1="80.41", source="Outcome paper")
    create_token(cast.owner, "a cluster with a long name")
    home = f"/c/{cast.competition.slug}/"
    addresses = [
        "/",
        f"{home}board/validation/",
        "/guide/",
        "/status/",
        "/account/",
        "/accounts/email/",
        "/nothing/",
    ]
    addresses += [f"{home}{part}/" for part in ("statistics", "submit", "submissions", "team")]
    addresses += [f"/submissions/{made.pk}/", f"/submissions/{invalid.pk}/"]
    context = browser.new_context(
        base_url=live_server.url, viewport={"width": 360, "height": 740}, color_scheme=scheme
    )
    page = context.new_page()
    sign_in(page, "owner")
    for address in addresses:
        page.goto(address)
        wide = page.evaluate(
            """() => [...document.querySelectorAll('main *, header *')].filter(
                each => each.getBoundingClientRect().right > innerWidth + 1 && !each.closest('.tabs, pre, .prose table, .scroll, .chart')
                    && !each.closest('.visually-hidden, thead')
            ).map(each => each.outerHTML.slice(0, 80))"""
        )
        assert wide == [], address
        assert page.evaluate("document.documentElement.scrollWidth") <= 360, address
    context.close()


def test_a_long_number_does_not_run_into_the_method_on_a_phone(page: Any) -> None:
    cast = make_cast()
    made = make_submission(cast.team, cast.phase)
    Submission.objects.filter(pk=made.pk).update(method="U-Net")
    sign_in(page, "owner")
    page.set_viewport_size({"width": 360, "height": 740})
    page.goto(f"/c/{cast.competition.slug}/submissions/")
    right, left = page.locator(".submissions tbody tr").evaluate(
        """row => {
            const number = row.querySelector(".rank"), range = document.createRange();
            number.textContent = "12345";
            range.selectNodeContents(number);
            return [range.getBoundingClientRect().right, row.querySelector(".who a").getBoundingClientRect().left];
        }"""
    )
    assert right + 4 <= left


def test_every_field_has_a_label_and_the_keyboard_reaches_the_content(page: Any) -> None:
    cast = make_cast()
    sign_in(page, "owner")
    for address in (f"/c/{cast.competition.slug}/submit/", "/account/", f"/c/{cast.competition.slug}/team/"):
        page.goto(address)
        unlabelled = page.evaluate(
            """() => [...document.querySelectorAll('input:not([type=hidden]), textarea, select')]
                .filter(each => !each.labels.length).map(each => each.outerHTML)"""
        )
        assert unlabelled == []
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.textContent") == "Skip to content"
        page.keyboard.press("Enter")
        assert page.evaluate("document.activeElement.id") == "main"


def test_what_has_arrived_cannot_be_stopped(page: Any, archive: Path, monkeypatch: Any) -> None:
    cast = make_cast()
    stored = Event()
    store = submissions.keep_file
    monkeypatch.setattr(submissions, "keep_file", lambda *args: stored.wait(10) and store(*args))
    sign_in(page, "owner")
    fill_submission(page, cast, archive)
    submit(page)
    page.get_by_text("All sent. The server is storing it.").first.wait_for()
    assert page.get_by_role("button", name="Stop the upload").is_hidden()
    stored.set()
    page.wait_for_url("**/submissions/*/")


def test_a_lost_answer_makes_no_second_submission(page: Any, archive: Path) -> None:
    """The line breaks after the server has stored the archive: the page asks again and finds its submission."""
    cast, lost = make_cast(), []

    def lose_once(route: Any) -> None:
        if route.request.method != "POST" or lost:
            route.continue_()
            return
        lost.append(route.fetch().status)
        route.abort("connectionreset")

    sign_in(page, "owner")
    page.route("**/submit/", lose_once)
    page.route("**/api/v1/submissions/", lose_once)
    fill_submission(page, cast, archive)
    submit(page)
    page.wait_for_url("**/submissions/*/")
    assert lost
    assert Submission.objects.count() == 1


def test_the_keyboard_keeps_its_place_while_a_list_renews_itself(page: Any) -> None:
    cast = make_cast()
    make_submission(cast.team, cast.phase, state="queued")
    second = make_submission(cast.team, cast.phase)
    sign_in(page, "owner")
    page.goto(f"/c/{cast.competition.slug}/submissions/")
    page.locator(f"#submission-{second.pk}").focus()
    with page.expect_response(lambda answer: "/submissions/" in answer.url):
        pass
    page.wait_for_timeout(200)
    assert page.evaluate("document.activeElement.id") == f"submission-{second.pk}"
