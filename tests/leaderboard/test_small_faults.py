"""Small things on every page: messages, tabs, dates, sign-up that comes back, what a phone and a keyboard need."""

import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from allauth.account.models import EmailAddress
from django.core import mail
from django.core.exceptions import ValidationError
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from evaluation.task import TASK
from leaderboard.models import Page, User
from tests.leaderboard.factories import PASSWORD, Cast, make_submission, make_team

TEMPLATES = Path(__file__).parents[2] / "templates"


def said(answer: Any) -> str:
    return " ".join(answer.content.decode().split())


def marked(page: str) -> list[tuple[str, str]]:
    """The tabs marked as current: how, and their names."""
    tabs = page[page.index('<nav class="tabs"') : page.index("</nav>", page.index('<nav class="tabs"'))]
    return re.findall(r'aria-current="(\w+)"> ?([\w ]+?) ?</a>', tabs)


def test_messages_are_a_list_within_a_status(cast: Cast, client: Client) -> None:
    client.force_login(cast.owner)
    page = said(client.post(reverse("pages:account"), {"affiliation": "Institute"}, follow=True))
    assert '<div role="status"> <ul class="messages"> <li class="note success">' in page
    for path in TEMPLATES.rglob("*.html"):
        assert not re.search(r"<[uo]l[^>]*role=", path.read_text()), path


def test_every_page_of_a_competition_marks_one_tab(cast: Cast, client: Client) -> None:
    submission = make_submission(cast.team, cast.phase)
    client.force_login(cast.owner)
    slug, phase = cast.competition.slug, cast.phase.slug
    for name, args, tab in (
        ("competition", [slug], ("page", "Overview")),
        ("board", [slug, phase], ("page", "Leaderboard")),
        ("labels", [slug, phase], ("true", "Leaderboard")),
        ("old-board", [slug, phase, 1], ("true", "Leaderboard")),
        ("team-page", [slug, cast.team.pk], ("true", "Leaderboard")),
        ("submissions", [slug], ("page", "My submissions")),
        ("submission", [submission.pk], ("true", "My submissions")),
        ("submit", [slug], ("page", "Submit")),
        ("team", [slug], ("page", "Team")),
        ("description", [slug], ("true", "Team")),
    ):
        answer = client.get(reverse(f"pages:{name}", args=args))
        if answer.status_code == 200:
            assert marked(said(answer)) == [tab], name
        else:
            assert name == "description"


def test_a_country_is_chosen_from_a_list_and_checked(cast: Cast, client: Client) -> None:
    client.force_login(cast.owner)
    page = said(client.get(reverse("pages:account")))
    assert '<option value="NP">Nepal</option>' in page
    with pytest.raises(ValidationError, match="zz is not the code of a country"):
        User(username="x", password="x", country="zz").full_clean()


def test_dates_have_one_style(cast: Cast, client: Client) -> None:
    make_submission(cast.team, cast.phase)
    client.force_login(cast.owner)
    for name in ("submissions", "team", "labels", "trust", "statistics"):
        args = [cast.competition.slug, *([cast.phase.slug] if name == "labels" else [])]
        page = said(client.get(reverse(f"pages:{name}", args=args)))
        visible = re.sub(r"<[^>]+>", " ", page)
        assert not re.search(r"\b20\d\d-\d\d-\d\d\b", visible), name


def test_sign_up_comes_back_to_the_competition_and_the_code_can_be_sent_again(
    cast: Cast, client: Client, settings: Any
) -> None:
    settings.ACCOUNT_RATE_LIMITS = False
    settings.ACCOUNT_EMAIL_VERIFICATION = "mandatory"
    settings.ACCOUNT_EMAIL_VERIFICATION_BY_CODE_ENABLED = True
    came_from = reverse("pages:competition", args=[cast.competition.slug])
    answer = client.post(
        f"{reverse('account_signup')}?next={came_from}",
        {
            "email": "new@example.org",
            "username": "newcomer",
            "password1": PASSWORD,
            "password2": PASSWORD,
            "next": came_from,
        },
        follow=True,
    )
    page = said(answer)
    assert 'form="resend"' in page
    sent = len(mail.outbox)
    client.post(reverse("account_email_verification_sent"), {"action": "resend"})
    assert len(mail.outbox) == sent + 1
    code = re.search(r"^\s*([A-Z0-9-]{6,9})\s*$", str(mail.outbox[-1].body), re.M)
    assert code
    confirmed = client.post(reverse("account_email_verification_sent"), {"code": code[1]})
    assert confirmed["Location"] == came_from


def test_what_scrolls_can_be_reached_by_keyboard() -> None:
    """A <pre>, or an element of the class scroll, has a tabindex."""
    for path in TEMPLATES.rglob("*.html"):
        if {"admin", "export"} & set(path.relative_to(TEMPLATES).parts):
            continue
        for element in re.findall(r"<pre[^>]*>|<[^>]*class=\"[^\"]*\bscroll\b[^>]*>", path.read_text()):
            assert 'tabindex="0"' in element, (path, element)


def test_a_team_page_is_folded_except_where_something_waits(cast: Cast, client: Client) -> None:
    client.force_login(cast.owner)
    page = said(client.get(reverse("pages:team", args=[cast.competition.slug])))
    assert page.index(">Members<") < page.index(">Invite<") < page.index(">Name and affiliation<")
    assert page.count('<details class="fold">') == 3
    refused = client.post(reverse("pages:edit-team", args=[cast.competition.slug]), {"name": ""})
    assert '<details class="fold" open> <summary><h2 id="edit">' in said(refused)


def test_the_data_page_draws_a_patch_and_names_its_bands(cast: Cast, client: Client) -> None:
    Page.objects.create(competition=cast.competition, slug="data", title="Data", body="## Files", position=1)
    page = said(client.get(reverse("pages:text", args=[cast.competition.slug, "data"])))
    for place, band in enumerate(("true colour", *TASK.bands, "mask")):
        assert re.search(
            rf'<svg viewBox="{place * TASK.width} 0 128 128"[^>]*>.*?</svg> {band} </li>', page
        ), band


def test_text_is_sent_compressed_and_files_are_not(cast: Cast, client: Client) -> None:
    submission = make_submission(cast.team, cast.phase)
    client.force_login(cast.owner)
    gzip_accepted = {"Accept-Encoding": "gzip"}
    board = reverse("pages:board", args=[cast.competition.slug, cast.phase.slug])
    answer = client.get(board, headers=gzip_accepted)
    assert answer["Content-Encoding"] == "gzip"
    assert len(answer.content) < len(client.get(board).content) / 2
    assert client.get("/static/leaderboard/site.css", headers=gzip_accepted)["Content-Encoding"] == "gzip"
    for path in (reverse("pages:archive", args=[submission.pk]), "/static/leaderboard/strip.webp"):
        plain = client.get(path, headers=gzip_accepted)
        assert plain.status_code == 200
        assert "Content-Encoding" not in plain
        assert plain["Content-Length"]


def test_a_compressed_board_is_still_known_by_its_etag(cast: Cast, client: Client) -> None:
    for tp in range(60, 90):
        make_submission(make_team(cast.competition), cast.phase, (tp, 10, 10))
    asked = {"Accept-Encoding": "gzip", "HX-Request": "true"}
    board = reverse("pages:board", args=[cast.competition.slug, cast.phase.slug])
    first = client.get(board, headers=asked)
    assert first["Content-Encoding"] == "gzip"
    assert client.get(board, headers={**asked, "If-None-Match": first["ETag"]}).status_code == 304
    api = f"/api/v1/phases/{cast.phase.pk}/leaderboard/"
    first = client.get(api, headers=asked)
    assert client.get(api, headers={**asked, "If-None-Match": first["ETag"]}).status_code == 304


def test_a_full_board_quota_leads_to_what_can_be_withdrawn(cast: Cast, client: Client) -> None:
    cast.phase.quota_on_board = 1
    cast.phase.allows_withdrawal = True
    cast.phase.save()
    make_submission(cast.team, cast.phase)
    client.force_login(cast.owner)
    page = said(client.get(reverse("pages:submit", args=[cast.competition.slug])))
    mine = reverse("pages:submissions", args=[cast.competition.slug])
    assert f'Withdraw one to make room. <a href="{mine}">Choose one of your submissions</a>' in page


def test_the_name_of_a_phase_to_submit_to_is_its_name_alone(cast: Cast, client: Client) -> None:
    cast.phase.closes_at = timezone.now() + timedelta(days=1)
    cast.phase.save()
    client.force_login(cast.owner)
    page = client.get(reverse("pages:submit", args=[cast.competition.slug])).content.decode()
    labels = re.findall(r'<label class="phase-name"[^>]*>(.*?)</label>', page, re.DOTALL)
    assert labels == ["Validation"]
    assert page.count('class="countdown"') == 1


def test_news_do_not_look_like_warnings(cast: Cast, client: Client) -> None:
    EmailAddress.objects.create(user=cast.owner, email=cast.owner.email)
    client.force_login(cast.owner)
    again = {"action_send": "", "email": cast.owner.email}
    answer = client.post(reverse("account_email"), again, follow=True)
    assert '<li class="note info">' in said(answer)
    css = (Path(__file__).parents[2] / "leaderboard/static/leaderboard/site.css").read_text()
    looks = {kind: re.findall(rf"\.note\.{kind} {{(.*?)}}", css) for kind in ("info", "success", "error")}
    plain = re.findall(r"^\.note {(.*?)}", css, re.MULTILINE)
    assert "--warn" in plain[0]
    assert all(found and "--warn" not in found[0] for found in looks.values()), looks
