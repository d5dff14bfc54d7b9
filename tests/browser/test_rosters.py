"""Rosters in a real browser: asked, taken in, merged, described, eligible; after the end awarded, with a certificate."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from leaderboard.actions import awards, rosters, teams
from leaderboard.models import Attempt, Competition, MethodDescription, Phase, Prize
from tests.browser.test_main_job import sign_in
from tests.leaderboard.factories import Cast, make_cast, make_submission

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def season(transactional_db: None) -> Cast:
    cast = make_cast(quota_total=10)
    soon = timezone.now() + timedelta(days=2)
    Competition.objects.update(mergers_until=soon, descriptions_due_at=soon, roster_locks_at=soon)
    Prize.objects.create(competition=cast.competition, title="1st place", phase=cast.phase, rank=1)
    Prize.objects.create(
        competition=cast.competition, title="Special prize", note="For originality.", position=1
    )
    make_submission(cast.team, cast.phase, (80, 20, 20))
    make_submission(cast.other_team, cast.phase, (70, 20, 20))
    return cast


@pytest.fixture
def team_pages(browser: Any, live_server: Any) -> Any:
    """A signed-in page for each person, of one width."""
    contexts = []

    def open_as(username: str, address: str, width: int = 1280) -> Any:
        context = browser.new_context(base_url=live_server.url, viewport={"width": width, "height": 900})
        context.set_default_timeout(15_000)
        contexts.append(context)
        page = context.new_page()
        sign_in(page, username)
        page.goto(address)
        return page

    yield open_as
    for context in contexts:
        context.close()


def test_from_the_request_to_the_certificate(season: Cast, team_pages: Any, tmp_path: Path) -> None:
    home = f"/c/{season.competition.slug}/"
    stranger = team_pages("stranger", f"{home}team/")
    stranger.get_by_label("Team", exact=True).fill("Alpine")
    stranger.get_by_label("Message").fill("I know slopes")
    stranger.get_by_role("button", name="Ask to join").click()
    stranger.get_by_text("You asked to join Alpine. Its owners have not decided yet.").wait_for()

    owner = team_pages("owner", f"{home}team/")
    owner.get_by_text("stranger: I know slopes").wait_for()
    owner.get_by_role("button", name="Accept").click()
    owner.get_by_text("stranger is now in Alpine.").wait_for()
    owner.get_by_role("heading", name="Merge with another team").click()
    owner.get_by_label("Which team should become part of Alpine?").fill("Rivals")
    owner.get_by_role("button", name="Propose").click()
    owner.get_by_text("You proposed that Rivals becomes part of Alpine.").wait_for()

    rival = team_pages("rival", f"{home}team/")
    rival.get_by_role("button", name="Become part of Alpine").click()
    rival.get_by_text("You are now one team: Alpine.").wait_for()
    assert rival.get_by_role("table").first.get_by_role("row").count() == 5, "four members under one head"
    assert Attempt.objects.usage(season.team, season.phase, timezone.now()).total == 2

    rival.get_by_text("Not eligible for awards.").wait_for()
    text, method = tmp_path / "method.txt", tmp_path / "method.pdf"
    text.write_text("no PDF")
    method.write_bytes(b"%PDF-1.7 our method")
    rival.get_by_label("PDF").set_input_files(text)
    rival.get_by_role("button", name="Upload").click()
    rival.get_by_text("This is not a PDF.").wait_for()
    rival.get_by_label("PDF").set_input_files(method)
    rival.get_by_role("button", name="Upload").click()
    rival.get_by_text("Eligible for awards.", exact=True).wait_for()
    rival.get_by_text("naming owner, rival, stranger, teammate").first.wait_for()
    with rival.expect_download() as saved:
        rival.get_by_role("link", name="Download").click()
    assert Path(saved.value.path()).read_bytes() == b"%PDF-1.7 our method"

    over = timezone.now() - timedelta(hours=1)
    Phase.objects.update(closes_at=over)
    Competition.objects.update(roster_locks_at=over, mergers_until=over)
    organiser = team_pages("organiser", f"{home}winners/")
    organiser.get_by_text("rank 1 in Validation, among the eligible teams").wait_for()
    organiser.get_by_role("button", name="Give the awards by rank").click()
    organiser.get_by_text("Given: 1st place: Alpine.").wait_for()
    organiser.locator("#award-team").fill("Alpine")
    organiser.get_by_label("Award", exact=True).fill("Special prize")
    organiser.get_by_label("Citation").fill("Two methods that became one.")
    organiser.get_by_role("button", name="Give", exact=True).click()
    organiser.get_by_text("Given: Special prize: Alpine.").wait_for()

    rival.goto(home)
    rival.get_by_role("link", name="Winners").click()
    rival.get_by_role("link", name="Certificate of Alpine: Special prize").click()
    paper = rival.get_by_role("article").inner_text()
    for words in (
        "Special prize",
        "Alpine",
        "owner, rival, stranger, teammate",
        "Two methods that became one.",
    ):
        assert words in paper
    rival.evaluate("window.print = () => { document.title = 'printing' }")
    rival.get_by_role("button", name="Print, or save as PDF").click()
    assert rival.title() == "printing"


def test_an_organiser_rules_a_description_out_in_the_admin(season: Cast, team_pages: Any) -> None:
    MethodDescription.objects.create(
        team=season.team, pdf=b"%PDF-1.7", members=["owner"], uploaded_at=timezone.now()
    )
    page = team_pages("organiser", "/admin/leaderboard/methoddescription/")
    page.get_by_role("link", name="Alpine").click()
    page.get_by_text("teammate", exact=True).wait_for()
    page.get_by_role("link", name="Rule out").click()
    page.get_by_label("Reason").fill("It names one of two members.")
    page.get_by_role("button", name="Rule out").click()
    page.get_by_text("The description of Alpine is ineligible.").wait_for()
    team = team_pages("teammate", f"/c/{season.competition.slug}/team/")
    team.get_by_text("The organisers have ruled the method description out: It names one of two").wait_for()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_page_of_the_rosters_scrolls_sideways_on_a_phone(
    season: Cast, team_pages: Any, scheme: str
) -> None:
    rosters.ask_to_join(
        season.stranger, season.team, "I know slopes, and a-word-that-has-no-place-to-break-at-all"
    )
    teams.invite(season.owner, season.team, "somebody-with-a-long-name@an-institute.example.org")
    rosters.propose_merger(season.rival, season.other_team, season.team)
    Competition.objects.update(descriptions_due_at=None)
    awards.give_award(
        season.organiser, Competition.objects.get(), season.team, "1st place", "For its slopes."
    )
    home = f"/c/{season.competition.slug}/"
    for name, addresses in {
        "owner": [f"{home}team/", f"{home}winners/", f"{home}winners/certificate/1st place/"],
        "stranger": [f"{home}team/"],
        "organiser": [f"{home}team/", f"{home}winners/"],
    }.items():
        page = team_pages(name, addresses[0], width=360)
        page.emulate_media(color_scheme=scheme)
        for address in addresses:
            page.goto(address)
            assert page.evaluate("document.documentElement.scrollWidth") <= 360, address
            unlabelled = "() => [...document.querySelectorAll('main input:not([type=hidden]), main select')]"
            unlabelled += ".filter(each => !each.labels.length).map(each => each.outerHTML)"
            assert page.evaluate(unlabelled) == [], address
