"""A competition is set up in the browser: draft, checklist, file in and out, pages with pictures and formulae, data, rehearsal."""

import io
import random
import tomllib
import zipfile
from datetime import timedelta
from pathlib import Path
from time import process_time
from typing import Any

import h5py
import numpy as np
import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from django.utils.html import escape

from evaluation.task import TASK
from leaderboard.actions import competition_bundles, competition_files, participation, publishing, rehearsals
from leaderboard.actions.competition_checks import CompetitionFileInvalid
from leaderboard.actions.competition_download import document_of, toml_of
from leaderboard.actions.competition_files import apply, plan
from leaderboard.actions.data_files import keep_data_file
from leaderboard.actions.refusals import Conflict, InvalidInput, NotAllowed
from leaderboard.models import (
    AuditEntry,
    Competition,
    DataFile,
    Page,
    Phase,
    Picture,
    Prize,
    PublishedEntry,
    QuickLook,
    Rehearsal,
)
from leaderboard.platform.markdown import render
from rehearsal import scratch
from rehearsal import tasks as rehearsal_tasks
from tests.leaderboard.factories import Cast, make_archive, make_user

pytestmark = pytest.mark.django_db

PNG = b"\x89PNG\r\n\x1a\n" + b"0" * 40


@pytest.fixture
def admin(client: Client) -> Client:
    client.force_login(make_user("root", is_staff=True, is_superuser=True))
    return client


@pytest.fixture
def organiser(client: Client, cast: Cast) -> Client:
    client.force_login(cast.organiser)
    return client


def address(name: str, *args: Any) -> str:
    return reverse(f"admin:leaderboard_{name}", args=args)


def test_a_new_competition_is_a_draft_and_says_what_is_missing(admin: Client) -> None:
    opens = timezone.now() + timedelta(days=3)
    form = {
        "way": "simple", "slug": "floods", "name": "Floods", "phase": "Test",
        "opens_at_0": f"{opens:%Y-%m-%d}", "opens_at_1": "00:00:00",
    }  # fmt: skip
    page = admin.post(address("competition_new"), form, follow=True).content.decode()
    competition = Competition.objects.get(slug="floods")
    assert not competition.is_published
    assert "is a draft" in page
    assert "Needed: An organiser with a mail address" in page
    assert "Missing: Labels of Test" in page
    for role in (Client(), _signed_in(make_user())):
        assert role.get("/c/floods/").status_code == 404
        assert role.get("/api/v1/competitions/floods/").status_code == 404
    with pytest.raises(Conflict, match="Not yet"):
        publishing.publish(None, competition)
    competition.organisers.add(make_user("ada"))
    assert admin.post(address("competition_publish", competition.pk), {"confirmed": "yes"}).status_code == 302
    assert Client().get("/c/floods/").status_code == 200
    assert AuditEntry.objects.get(act="competition published").public


def _signed_in(user: Any) -> Client:
    client = Client()
    client.force_login(user)
    return client


def test_a_published_one_becomes_a_draft_again_with_a_reason(cast: Cast, organiser: Client) -> None:
    url = address("competition_make_draft", cast.competition.pk)
    assert organiser.post(url, {"confirmed": "yes", "reason": ""}).status_code == 200
    assert organiser.post(url, {"confirmed": "yes", "reason": "Wrong dates."}).status_code == 302
    assert Client().get(f"/c/{cast.competition.slug}/").status_code == 404
    entry = AuditEntry.objects.get(act="competition made a draft")
    assert (entry.reason, entry.public) == ("Wrong dates.", True)


def test_only_organisers_publish_and_only_administrators_create(cast: Cast, organiser: Client) -> None:
    with pytest.raises(NotAllowed):
        publishing.publish(cast.owner, cast.competition)
    assert organiser.get(address("competition_new")).status_code == 403
    with pytest.raises(NotAllowed):
        apply(plan(competition_bundles.preset("l4s-2022", "mine", "Mine", None)), cast.organiser)


@pytest.mark.parametrize("preset", competition_files.presets())
def test_a_preset_downloaded_and_applied_changes_nothing(admin: Client, preset: str) -> None:
    form = {
        "way": "preset",
        "preset": preset,
        "slug": "again",
        "name": "Again",
        "starts_0": "",
        "starts_1": "",
    }
    assert admin.post(address("competition_new"), form).status_code == 302
    competition = Competition.objects.get(slug="again")
    text = admin.get(address("competition_download_file", competition.pk)).content.decode()
    assert plan(competition_bundles.read_text(text)).lines == []
    again = tomllib.loads(text)
    again["competition"]["slug"] = "copy"
    copy = apply(plan(again))
    assert document_of(copy) == {**document_of(competition), "competition": again["competition"]}


@pytest.mark.parametrize("seed", range(8))
def test_any_competition_downloaded_and_applied_changes_nothing(cast: Cast, seed: int) -> None:
    """Whatever the columns hold: line ends of browsers, quotes, backslashes, dates, decimals, empty and odd texts."""
    draw = random.Random(seed)
    texts = [
        "",
        "a\r\nb\r\n",
        'quotes " and \'\'\' and """',
        "back\\slash \\n",
        "\n\nstarts late",
        "ü–☃",
        "  spaces  ",
        "#c",
    ]
    now = timezone.now().replace(microsecond=draw.randrange(10**6))
    competition = cast.competition
    Competition.objects.filter(pk=competition.pk).update(
        summary=draw.choice(texts)[:300], max_team_size=draw.choice([None, 5]), takes_questions=draw.random() < 0.5,
        roster_locks_at=draw.choice([None, now]), approval_needed_from=draw.choice([None, now]),
    )  # fmt: skip
    competition.refresh_from_db()
    for position in range(3):
        Page.objects.create(
            competition=competition,
            slug=f"page-{position}",
            title="T",
            body=draw.choice(texts[1:]),
            position=position,
        )
    Phase.objects.filter(pk=cast.phase.pk).update(
        ladder_step=draw.choice([None, "0.0050"]), ladder_start="0.5", labels_public_since=draw.choice([None, now.date()]),
        quota_per_day=draw.choice([None, 0, 3]), hidden_until_close=draw.random() < 0.5, summary=draw.choice(texts),
        visible_metrics=draw.choice(["all", "f1"]), closes_at=draw.choice([None, now]),
    )  # fmt: skip
    phase = Phase.objects.get(pk=cast.phase.pk)
    PublishedEntry.objects.create(phase=phase, name="Paper", f1="80.00", source=draw.choice(["T", "ü"]))
    Prize.objects.create(competition=competition, title="First", phase=phase, rank=1)
    Prize.objects.create(competition=competition, title="Special", note=draw.choice(texts)[:100])
    DataFile.objects.create(
        competition=competition, name="a.zip", url="https://example.org/a.zip", phase=phase
    )
    DataFile.objects.create(
        competition=competition, name="b.zip", file="data/b.zip", sha256="0" * 64, position=1
    )
    if draw.random() < 0.5:
        participation.publish_terms(
            cast.organiser, competition, draw.choice([text for text in texts if text.strip()])
        )
    assert plan(competition_bundles.read_text(toml_of(competition))).lines == []


def test_an_older_file_shows_every_field_that_it_would_undo(cast: Cast, organiser: Client) -> None:
    older = toml_of(cast.competition)
    Phase.objects.filter(pk=cast.phase.pk).update(quota_per_day=7, name="Renamed")
    Competition.objects.filter(pk=cast.competition.pk).update(summary="New summary")
    Page.objects.create(competition=cast.competition, slug="rules", title="Rules", body="New.")
    url = address("competition_apply_file", cast.competition.pk)
    page = organiser.post(url, {"text": older})
    shown = page.context["lines"]
    assert any("quota_per_day: 7 → None" in line and "name: Renamed → Validation" in line for line in shown)
    assert any("summary: New summary → " in line for line in shown)
    assert "page rules: removed" in shown
    assert Phase.objects.get(pk=cast.phase.pk).quota_per_day == 7, "nothing is applied by looking"
    confirmed = {"text": older, "confirmed": "\r\n".join(shown)}
    assert "reason" in organiser.post(url, confirmed).context["form"].errors
    Phase.objects.filter(pk=cast.phase.pk).update(quota_per_day=8)
    again = organiser.post(url, {**confirmed, "reason": "Back."})
    assert any("quota_per_day: 8 → None" in line for line in again.context["lines"]), (
        "shown again: it is another change"
    )
    done = {"text": older, "confirmed": "\r\n".join(again.context["lines"]), "reason": "Back."}
    assert organiser.post(url, done).status_code == 302
    assert Phase.objects.get(pk=cast.phase.pk).quota_per_day is None
    entry = AuditEntry.objects.get(act="competition file applied")
    assert (entry.reason, entry.actor, entry.public) == ("Back.", cast.organiser, True)
    assert (
        "another competition"
        in organiser.post(url, {"text": older.replace("landslides", "other")}).content.decode()
    )
    assert "not valid TOML" in organiser.post(url, {"text": "["}).content.decode()
    dots = ".".join("a" * 130_000) + " = 1"  # 16 GB for tomllib
    assert "Line 1 has more than 1,000 dots" in organiser.post(url, {"text": dots}).content.decode()


def test_applying_without_the_key_leaves_it_published(cast: Cast) -> None:
    assert "is_published" not in toml_of(cast.competition)
    text = toml_of(cast.competition).replace("Landslides 2022", "Renamed")
    assert apply(plan(competition_bundles.read_text(text)), cast.organiser, "why").is_published


BUNDLE = """
[competition]
slug = "bundled"
name = "Bundled"
[[pages]]
slug = "overview"
title = "Overview"
body = "Text"
[[phases]]
slug = "one"
name = "One"
opens_at = 2030-01-01T00:00:00Z
labels = { path = "PATH" }
"""


def bundle(path: str = "labels.zip", **more: bytes) -> SimpleUploadedFile:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as made:
        made.writestr("competition.toml", BUNDLE.replace("PATH", path))
        made.writestr("labels.zip", make_archive())
        for name, text in more.items():
            made.writestr(name.replace("__", "/").replace("_dot_", "."), text)
    return SimpleUploadedFile("bundle.zip", content.getvalue(), "application/zip")


def test_a_zip_with_labels_makes_a_draft_with_labels(admin: Client) -> None:
    answer = admin.post(address("competition_new"), {"way": "file", "file": bundle()})
    assert answer.status_code == 302, answer.context and answer.context["ways"]
    phase = Phase.objects.get(competition__slug="bundled")
    assert phase.labels is not None
    assert phase.labels.patches == 3
    assert not phase.competition.is_published
    again = admin.post(address("competition_new"), {"way": "file", "file": bundle()}).content.decode()
    assert "There is a competition at /c/bundled/ already" in again


def test_a_zip_for_a_competition_that_is_there_loads_its_labels_once_confirmed(admin: Client) -> None:
    """The list comes first; then the same ZIP, with a reason. Another list than the one shown is shown again."""
    admin.post(address("competition_new"), {"way": "file", "file": bundle()})
    competition = Competition.objects.get(slug="bundled")
    Phase.objects.filter(competition=competition).update(labels=None, name="Other")
    page = address("competition_apply_file", competition.pk)
    shown = admin.post(page, {"text": "", "file": bundle()})
    lines = shown.context["lines"]
    assert "phase one: new labels of 3 patches" in lines
    assert any("Other" in line and "One" in line for line in lines)
    assert "choose the same ZIP again" in " ".join(shown.content.decode().split())
    confirmed = {"text": "", "confirmed": "\n".join(lines)}
    assert "Please give a reason" in admin.post(page, {**confirmed, "file": bundle()}).content.decode()
    Phase.objects.filter(competition=competition).update(summary="Changed meanwhile.")
    again = admin.post(page, {**confirmed, "file": bundle(), "reason": "as planned"})
    assert again.status_code == 200
    assert again.context["lines"] != lines
    confirmed["confirmed"] = "\n".join(again.context["lines"])
    assert admin.post(page, {**confirmed, "file": bundle(), "reason": "as planned"}).status_code == 302
    phase = Phase.objects.get(competition=competition)
    assert phase.labels is not None
    assert (phase.name, phase.summary) == ("One", "")
    assert "outside the ZIP" in admin.post(page, {"text": "", "file": bundle("../../x.zip")}).content.decode()


def images(folder: str = "", count: int = 3) -> SimpleUploadedFile:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as made:
        for number in range(1, count + 1):
            one = io.BytesIO()
            with h5py.File(one, "w") as file:
                file[TASK.image_dataset] = np.random.default_rng(number).random((16, 16, len(TASK.bands)))
            made.writestr(f"{folder}{TASK.image_name(number)}", one.getvalue())
    return SimpleUploadedFile("images.zip", content.getvalue(), "application/zip")


@pytest.mark.parametrize("folder", ["", "TestData/img/"])
def test_images_of_a_phase_are_loaded_alone_at_the_desk(cast: Cast, organiser: Client, folder: str) -> None:
    page = address("phase_load_images", cast.phase.pk)
    assert "Pictures of the 3 images are kept" in organiser.get(page).content.decode()
    assert organiser.post(page, {"images": images(folder)}).status_code == 302
    kept = QuickLook.objects.filter(phase=cast.phase)
    assert kept.count() == 3 * len(TASK.composites)
    assert AuditEntry.objects.get().act == "images kept"
    one_less = organiser.post(page, {"images": images(folder, 2)}).content.decode()
    assert f"{TASK.image_name(3)} is missing" in one_less
    assert "bundle-" not in one_less  # no path of the server
    none = SimpleUploadedFile("x.zip", make_archive(), "application/zip")
    assert f"The ZIP has no {TASK.image_name(1)}" in organiser.post(page, {"images": none}).content.decode()
    broken = organiser.post(page, {"images": SimpleUploadedFile("x.zip", b"no ZIP")})
    assert broken.status_code == 200
    assert broken.context["form"].errors
    Phase.objects.filter(pk=cast.phase.pk).update(labels=None)
    assert "Load them first" in organiser.get(page, follow=True).content.decode()
    assert kept.count() == 3 * len(TASK.composites)


@pytest.mark.parametrize("path", ["/etc/hostname", "../../secret.zip", "sub/../../x.zip"])
def test_a_file_from_the_browser_names_nothing_outside(admin: Client, path: str) -> None:
    page = admin.post(address("competition_new"), {"way": "file", "file": bundle(path)}).content.decode()
    assert "outside the ZIP" in page
    text = SimpleUploadedFile("a.toml", BUNDLE.replace("PATH", path).encode())
    page = admin.post(address("competition_new"), {"way": "file", "file": text}).content.decode()
    assert "needs a ZIP" in page
    assert not Competition.objects.exists()


def test_a_hostile_zip_is_refused_in_sentences(admin: Client) -> None:
    def told(file: SimpleUploadedFile) -> str:
        return admin.post(address("competition_new"), {"way": "file", "file": file}).content.decode()

    for hostile in (
        bundle(**{"..__evil_dot_csv": b"x"}),
        SimpleUploadedFile("a.zip", b"PK\x03\x04 and nothing"),
    ):
        assert "The ZIP cannot be used" in told(hostile)
    assert "2 TOML files" in told(bundle(second_dot_toml=b""))
    assert not Competition.objects.exists()


def test_every_problem_of_a_file_is_shown_at_once_and_nothing_is_made(admin: Client) -> None:
    text = BUNDLE.replace('name = "Bundled"', 'nam = "Bundled"').replace(
        'slug = "overview"', 'slug = "board"'
    )
    file = SimpleUploadedFile("a.toml", text.encode())
    page = admin.post(address("competition_new"), {"way": "file", "file": file}).content.decode()
    assert "nam is not a key" in page
    assert not Competition.objects.exists()


def test_terms_of_a_file_become_a_version_only_when_they_differ(cast: Cast) -> None:
    text = 'terms = "Be fair."\n' + toml_of(cast.competition)
    planned = plan(competition_bundles.read_text(text))
    assert planned.lines == ["terms: version 1, which everybody must accept"]
    apply(planned, cast.organiser)
    assert plan(competition_bundles.read_text(text)).lines == []


# Pages


def test_the_editor_shows_a_preview_and_saves_nothing(cast: Cast, organiser: Client) -> None:
    data = {
        "competition": cast.competition.pk, "title": "Rules", "slug": "rules", "position": 1, "_preview": "1",
        "body": "**Bold** and $F_1 = \\frac{2PR}{P+R}$ <script>x</script>",
    }  # fmt: skip
    page = organiser.post(address("page_add"), data).content.decode()
    assert "<strong>Bold</strong>" in page
    assert "<mfrac>" in page
    assert "<script>x" not in page
    assert not Page.objects.exists()
    data.pop("_preview")
    assert organiser.post(address("page_add"), data).status_code == 302
    assert Page.objects.get().body.startswith("**Bold**")


@pytest.mark.parametrize(
    ("text", "has", "lacks"),
    [
        (r"$F_1 = \frac{2PR}{P+R}$", '<math display="inline">', "$"),
        ("$$\n\\sum_i x_i\n$$", '<math display="block">', "$"),
        ("It costs $5 and $6.", "$5 and $6", "<math"),
        (r"It costs \$5$.", "$5$", "<math"),
        ("`$x_1$`", "<code>$x_1$</code>", "<math"),
        (r"$\href{javascript:alert(1)}{x}$", "<mi>x</mi>", "javascript"),
        (r"$\style{color:red}{x}$", "<mi>x</mi>", "style"),
        (r"$\text{<script>alert(1)</script>}$", "", "<script"),
        (r"$\text{<img src=x onerror=alert(1)>}$", "<code>", "<img"),
        ("$" + "{" * 1500 + "$", "<code>", "<math"),
        ("$a_b$ and _c_ and $d_e$", "<em>c</em>", "$"),
    ],
)
def test_formulae_become_mathml_without_style_or_script(text: str, has: str, lacks: str) -> None:
    html = str(render(text))
    assert has in html
    assert lacks not in html
    assert "style=" not in html


@pytest.mark.parametrize(
    "text",
    [
        "[" * 20_000,
        "[a](" * 5000,
        "![" * 1000 + "a" * 90_000,
        "<a " * 6000,
        "*[a]: b\n" * 2000,
        "a\n: b\n" * 3300,
    ],
    ids=["brackets", "links", "pictures", "tags", "abbreviations", "definitions"],
)
def test_text_that_takes_the_parser_minutes_is_shown_as_it_is_written(text: str) -> None:
    began = process_time()
    html = str(render(text))
    assert html == f'<pre tabindex="0">{escape(text)}</pre>'
    assert process_time() - began < 3


def test_a_picture_is_served_under_its_own_type_to_who_may_see_the_competition(
    cast: Cast, organiser: Client
) -> None:
    data = {
        "competition": cast.competition.pk,
        "name": "area.png",
        "upload": SimpleUploadedFile("x.png", PNG),
    }
    assert organiser.post(address("picture_add"), data).status_code == 302
    url = reverse("pages:picture", args=[cast.competition.slug, "area.png"])
    answer = Client().get(url)
    assert (answer.status_code, answer["Content-Type"], answer.content) == (200, "image/png", PNG)
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert Client().get(url, headers={"If-None-Match": answer["ETag"]}).status_code == 304
    assert url in organiser.get(address("picture_changelist")).content.decode()
    Competition.objects.filter(pk=cast.competition.pk).update(logo="area.png", is_published=False)
    assert Client().get(url).status_code == 404
    home = organiser.get(reverse("pages:competition", args=[cast.competition.slug])).content.decode()
    assert f'src="{url}"' in home
    picture = Picture.objects.get()
    assert organiser.post(address("picture_delete", picture.pk), {"post": "yes"}).status_code == 302
    assert Competition.objects.get(pk=cast.competition.pk).logo == ""


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("a.svg", b"<svg onload=alert(1)>", "no PNG, JPEG"),
        ("a.png", b"<html>", "no PNG, JPEG"),
        ("a.webp", b"RIFF0000WAVE", "no PNG, JPEG"),
        ("../a.png", PNG, "letters, digits"),
        ("a.png", PNG + b"0" * 2**21, "are taken"),
    ],
)
def test_what_is_no_picture_is_refused(
    cast: Cast, organiser: Client, name: str, content: bytes, told: str
) -> None:
    data = {"competition": cast.competition.pk, "name": name, "upload": SimpleUploadedFile("x", content)}
    assert told in organiser.post(address("picture_add"), data).content.decode()
    assert not Picture.objects.exists()


# Data


def test_a_data_file_is_uploaded_replaced_and_linked_at_the_desk(cast: Cast, organiser: Client) -> None:
    data = {
        "competition": cast.competition.pk,
        "name": "",
        "note": "Training",
        "url": "",
        "position": 0,
        "phase": "",
    }
    first = {**data, "upload": SimpleUploadedFile("train.zip", b"one")}
    assert organiser.post(address("datafile_add"), first).status_code == 302
    row = DataFile.objects.get()
    assert (row.name, row.size, row.file.read()) == ("train.zip", 3, b"one")
    Page.objects.create(competition=cast.competition, slug="data", title="Data", body="Here:")
    assert "train.zip" in Client().get(f"/c/{cast.competition.slug}/data/").content.decode()
    change = address("datafile_change", row.pk)
    new = {**data, "name": "train.zip", "upload": SimpleUploadedFile("other.zip", b"other")}
    assert organiser.post(change, new).status_code == 302
    row.refresh_from_db()
    assert (row.size, row.file.read()) == (5, b"other")
    both = {
        **data,
        "name": "both.zip",
        "url": "https://example.org/",
        "upload": SimpleUploadedFile("a", b"x"),
    }
    for wrong in (both, {**data, "name": "none.zip"}, {**first, "name": "../a"}, first):
        assert organiser.post(address("datafile_add"), wrong).status_code == 200
    link = {**data, "name": "link.zip", "url": "https://example.org/link.zip"}
    assert organiser.post(address("datafile_add"), link).status_code == 302
    assert AuditEntry.objects.filter(act__startswith="data file", public=True).count() == 3


# Rehearsal


def test_a_rehearsal_is_asked_for_at_the_desk_and_its_report_is_there(
    cast: Cast, organiser: Client, monkeypatch: Any
) -> None:
    played: list[str] = []

    def capture(file: str, *, seconds: float) -> tuple[int, str]:
        played.append(Path(file).read_text())
        return 0, f"held  a rule [{file}]\n\n56 rules held, 0 did not; 0 leaks."

    monkeypatch.setattr(scratch, "capture", capture)
    url = address("competition_rehearse", cast.competition.pk)
    assert organiser.post(url, {"confirmed": "yes"}).status_code == 302
    with pytest.raises(Conflict, match="has not ended yet"):
        rehearsals.request_rehearsal(cast.organiser, cast.competition)
    assert rehearsal_tasks.work() == "all rules held"
    assert rehearsal_tasks.work() == "nothing waits"
    assert tomllib.loads(played[0])["competition"]["slug"] == cast.competition.slug
    run = Rehearsal.objects.get()
    page = organiser.get(address("rehearsal_change", run.pk)).content.decode()
    assert "56 rules held" in page
    assert "/tmp" not in run.report


@pytest.mark.parametrize(
    ("code", "said", "state"),
    [
        (1, "3 rules held, 1 did not; 0 leaks.", "rules broken"),
        (1, "CommandError: …", "not played"),
        (-1, "too long", "not played"),
    ],
)
def test_a_rehearsal_says_how_it_ended(
    cast: Cast, monkeypatch: Any, code: int, said: str, state: str
) -> None:
    monkeypatch.setattr(scratch, "capture", lambda file, seconds: (code, said))
    rehearsals.request_rehearsal(cast.organiser, cast.competition)
    assert rehearsal_tasks.work() == state


def test_only_organisers_rehearse(cast: Cast) -> None:
    with pytest.raises(NotAllowed):
        rehearsals.request_rehearsal(cast.owner, cast.competition)


def test_the_action_refuses_what_is_wrong_without_the_form(cast: Cast) -> None:
    with pytest.raises(InvalidInput, match="one of them"):
        keep_data_file(cast.organiser, DataFile(competition=cast.competition, name="a.zip"), None)
    text = toml_of(cast.competition) + '\n[[data]]\nname = "x.zip"\nsha256 = "00"\n'
    with pytest.raises(CompetitionFileInvalid, match="no file with this SHA-256"):
        plan(competition_bundles.read_text(text))
