"""Guide, status, error pages, and what every page sends."""

import re
import subprocess
import sys
from datetime import timedelta
from html import unescape
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from django.test import Client, RequestFactory
from django.urls import reverse
from django.utils import timezone

from evaluation.archive import mask_zip
from evaluation.task import MaskSpec
from leaderboard.models import Competition, Evaluation, Worker
from leaderboard.pages import competitions
from tests.leaderboard.factories import Cast, make_competition, make_phase, make_submission, take

TEMPLATES = Path(__file__).parents[2] / "templates"


def said(answer: Any) -> str:
    return " ".join(answer.content.decode().replace("&#x27;", "'").split())


def test_the_guide_names_this_server_and_its_phases(cast: Cast, client: Client, settings: Any) -> None:
    settings.SITE_URL = "https://leaderboard.example.org"
    page = said(client.get(reverse("pages:guide")))
    assert "https://leaderboard.example.org/api/v1/submissions/" in page
    assert f"-F phase={cast.phase.pk} " in page
    assert "l4s check masks.zip --patches 3 --size 16x16" in page


def test_the_guide_is_there_before_any_competition(db: None, client: Client) -> None:
    assert "--patches 245" in said(client.get(reverse("pages:guide")))


@pytest.mark.parametrize("where", ["guide", "data"])
def test_the_quick_start_writes_an_archive_that_can_be_scored(
    cast: Cast, client: Client, tmp_path: Path, where: str
) -> None:
    cast.competition.pages.create(slug="data", title="Data", body="Images.")
    addresses = {"guide": reverse("pages:guide"), "data": f"/c/{cast.competition.slug}/data/"}
    page = client.get(addresses[where]).content.decode()
    script = unescape(re.findall(r"<code data-copy>(import io.*?)</code>", page, re.DOTALL)[0])
    (tmp_path / "images").mkdir()
    for number in (1, 2, 3):
        with h5py.File(tmp_path / "images" / f"image_{number}.h5", "w") as file:
            file["img"] = np.random.default_rng(number).random((16, 16, 14))
    subprocess.run([sys.executable, "-c", script], cwd=tmp_path, check=True, timeout=60)
    packed = mask_zip.read((tmp_path / "masks.zip").read_bytes(), MaskSpec(3, 16, 16))
    assert packed.any()


def test_the_status_page_counts_what_waits(cast: Cast, client: Client) -> None:
    Worker.objects.sign("host:1", timezone.now())
    assert "The queue is empty" in said(client.get(reverse("pages:status")))
    old = timezone.now() - timedelta(minutes=30)
    make_submission(cast.team, cast.phase, state=Evaluation.State.QUEUED, received_at=old)
    take(make_submission(cast.other_team, cast.phase, state=Evaluation.State.QUEUED))
    answer = client.get(reverse("pages:status"))
    assert (answer.context["waiting"], answer.context["scoring"], answer.context["overdue"]) == (1, 1, 0)
    assert "about 30 min" in said(answer)
    assert "waiting longer than usual" in said(answer)
    fragment = said(client.get(reverse("pages:status"), headers={"HX-Request": "true"}))
    assert fragment.startswith('<section id="status"')


def test_a_silent_worker_is_said(cast: Cast, client: Client) -> None:
    Worker.objects.sign("host:1", timezone.now())
    held = take(make_submission(cast.team, cast.phase, state=Evaluation.State.QUEUED))
    Evaluation.objects.filter(pk=held.evaluation.pk).update(lease_until=timezone.now() - timedelta(minutes=5))
    assert "A worker has stopped responding" in said(client.get(reverse("pages:status")))


def test_an_unknown_address_is_404_in_our_look(db: None, client: Client) -> None:
    answer = client.get("/nothing/")
    assert answer.status_code == 404
    assert "Page not found" in said(answer)
    assert "leaderboard/site.css" in said(answer)


def test_an_old_form_is_explained(cast: Cast) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(cast.owner)
    answer = client.post(reverse("pages:account"), {"affiliation": "X"})
    assert answer.status_code == 403
    assert "This form has expired" in said(answer)


def test_an_internal_error_shows_an_incident_and_not_the_cause(
    cast: Cast, client: Client, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: Any) -> None:
        raise RuntimeError("the secret cause")

    monkeypatch.setattr(competitions, "competition_home", fail)
    client.raise_request_exception = False
    answer = client.get("/")
    assert answer.status_code == 500
    page = said(answer)
    assert "secret cause" not in page
    incident = re.search(r"<code>(\w{12})</code>", page)
    assert incident
    assert incident[1] in caplog.text


def test_the_error_page_needs_no_database(rf: RequestFactory, django_assert_num_queries: Any) -> None:
    from leaderboard.pages.errors import internal_error

    assert internal_error(rf.get("/")).status_code == 500


def test_no_page_holds_inline_script_or_style() -> None:
    """The content policy would block them."""
    for path in TEMPLATES.rglob("*.html"):
        if {"admin", "export", "mail"} & set(path.relative_to(TEMPLATES).parts):
            continue  # the theme of the admin has a policy of its own; exported pages are read from a disk, mails in a mail program
        text = path.read_text()
        assert not re.search(r"\sstyle=|\son\w+=|<style|<script(?![^>]*\ssrc=)", text), path


def test_pages_send_the_content_policy_and_stay_private(cast: Cast, client: Client) -> None:
    answer = client.get("/")
    assert "default-src 'self'" in answer["Content-Security-Policy"]
    assert "unsafe-inline" not in answer["Content-Security-Policy"]
    client.force_login(cast.owner)
    for name in ("submit", "submissions", "team"):
        assert (
            "private" in client.get(reverse(f"pages:{name}", args=[cast.competition.slug]))["Cache-Control"]
        )


def test_every_page_of_a_competition_is_named_in_its_title(cast: Cast, client: Client) -> None:
    client.force_login(cast.owner)
    for name in ("competition", "submit", "submissions", "team"):
        page = said(client.get(reverse(f"pages:{name}", args=[cast.competition.slug])))
        assert re.search(rf"<title>[^<]*{Competition.objects.get().name}[^<]*</title>", page), name
        assert page.count("<h1") == 1, name


def contrast(one: str, other: str) -> float:
    """Contrast ratio of two colours #rrggbb as WCAG 2 defines it."""

    def luminance(colour: str) -> float:
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_has_the_contrast_of_wcag_aa(scheme: str) -> None:
    css = (TEMPLATES.parent / "leaderboard/static/leaderboard/site.css").read_text()
    light, dark = (
        {
            name: value if len(value) == 7 else "#" + "".join(2 * c for c in value[1:])
            for name, value in colours
        }
        for colours in (
            re.findall(r"--([\w-]+): (#[0-9a-f]{3,6});", block)
            for block in re.findall(r":root \{(.*?)\}", css, flags=re.DOTALL)
        )
    )
    colours = light if scheme == "light" else light | dark
    grounds = ("paper", "surface", "own-tint", "good-tint", "bad-tint", "warn-tint")
    pairs = [(text, ground) for text in ("ink", "muted", "accent") for ground in grounds]
    pairs += [(text, ground) for text in ("ochre", "good", "bad", "warn") for ground in ("paper", "surface")]
    pairs += [("on-accent", "accent"), ("on-band", "band"), ("on-band-muted", "band"), ("bad", "bad-tint")]
    assert {
        pair: contrast(colours[pair[0]], colours[pair[1]])
        for pair in pairs
        if contrast(colours[pair[0]], colours[pair[1]]) < 4.5
    } == {}


def test_the_home_page_lists_several_competitions_the_open_ones_first(cast: Cast, client: Client) -> None:
    now = timezone.now()
    over = make_competition("over", name="Avalanches 2021", data_note="Scores on synthetic data.")
    make_phase(over, "final", opens_at=now - timedelta(days=90), closes_at=now - timedelta(days=60))
    coming = make_competition("coming", name="Floods 2027", summary="Where the water stood.")
    make_phase(coming, "first", opens_at=now + timedelta(days=10, hours=1))
    make_competition("hidden", name="Unseen", is_published=False)
    page = said(client.get("/"))
    assert page.index("Landslides 2022") < page.index("Floods 2027") < page.index("Avalanches 2021")
    assert "First opens in" in page
    assert ">1 week, 3 days</time>" in page
    assert page.index("Coming up") < page.index("Ended") < page.index("Avalanches 2021")
    assert "Unseen" not in page
    assert "Take part" in page
    client.force_login(cast.owner)
    assert "Take part" not in said(client.get("/"))  # in the team of the only one that is open
