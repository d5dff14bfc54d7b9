"""Prepare the demo: a database, synthetic data with hidden labels, a competition with teams and scores."""

import json
import logging
import secrets
import zipfile
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from django.conf import settings
from django.core.files.base import ContentFile, File
from django.core.management import call_command
from django.core.management.base import BaseCommand
from django.utils import timezone

from baseline import synth
from evaluation.archive import mask_zip
from evaluation.scoring import labels
from evaluation.scoring.counts import unpack
from leaderboard.actions import calendars, competition_files, submissions, teams
from leaderboard.actions.accounts import create_token
from leaderboard.models import Competition, Phase, Scope, User
from leaderboard.scoring import tasks

VALIDATION_OPENED = datetime(2022, 4, 1, tzinfo=UTC)
OPEN_FOR = timedelta(days=40)
DATA_NOTE = "Demo on synthetic data (SynthL4S): these scores cannot be compared with results on the original data set."
# name, affiliation, country, then errors in its masks: pixels shifted, patches missed, patches invented
TEAMS = (
    ("Terrace", "Demo University", "DE", ((3, 0.30, 0.20), (2, 0.22, 0.12), (1, 0.15, 0.08))),
    ("Slope Watch", "Institute for Examples", "AT", ((3, 0.25, 0.25), (1, 0.20, 0.15))),
    ("Regolith", "", "JP", ((2, 0.35, 0.10),)),
    ("Scarp & Toe", "Sample Lab", "CN", ((4, 0.10, 0.30), (2, 0.12, 0.22))),
)
PUBLIC = {
    "TrainData": "Training images and masks.",
    "ValidData": "Images of the validation phase.",
    "TestData": "Images of the test phase.",
}
SAMPLES = {"sample-good.zip": (1, 0.10, 0.05), "sample-fair.zip": (2, 0.25, 0.15)}


class Command(BaseCommand):
    help = "Prepare the demo in DATA_DIR (an existing one is kept), and print its addresses."

    def add_arguments(self, parser: Any) -> None:
        parser.add_argument("--preset", default="demo", help="preset of the synthetic data (default: demo)")
        parser.add_argument(
            "--seed",
            type=int,
            help="seed of the synthetic data, for a reproducible demo; it reveals the labels (default: random, not stored)",
        )

    def handle(self, *, preset: str, seed: int | None, **_: Any) -> None:
        call_command("migrate", verbosity=0, interactive=False)
        notes = Path(settings.DATA_DIR) / "demo.json"
        if notes.exists():
            demo = json.loads(notes.read_text())
            if seed is not None:
                self.stdout.write(
                    f"The demo in {notes.parent} already exists and is kept: --seed only works for a new one."
                )
        else:
            demo = self.build(Path(settings.DATA_DIR), preset, seed)
        demo["url"] = settings.SITE_URL
        write_private(notes, json.dumps(demo, indent=2) + "\n")
        self.tell(demo, notes)

    def build(self, folder: Path, preset: str, seed: int | None) -> dict[str, Any]:
        """Create everything in the demo; returns the content of demo.json."""
        logging.disable(logging.INFO)
        self.stdout.write("Generating synthetic patches (once, about a minute) ...")
        hidden = make_data(folder, preset, seed)
        self.stdout.write("Setting up the competition, its teams and their first submissions ...")
        organiser, organiser_password = make_user(
            "organiser", "Demo Organiser", "AT", is_staff=True, is_superuser=True
        )
        competition = make_competition(folder, hidden, organiser)
        validation = competition.phases.get(slug="validation")
        truth = unpack(*labels.load(hidden / "ValidData" / "mask"))
        for number, (name, affiliation, country, qualities) in enumerate(TEAMS):
            member, _ = make_user(f"demo{number}", name, country)
            teams.create_team(member, competition, name, affiliation)
            for attempt, quality in enumerate(qualities, start=1):
                masks = imperfect(truth, *quality, seed=100 * number + attempt)
                submit(member, validation, masks, f"Example method, try {attempt}")
        user, password = make_user("team", "Demo Team", "FR")
        teams.create_team(user, competition, "Demo Team", "")
        while tasks.work() != "nothing waits":
            pass
        samples = folder / "samples"
        samples.mkdir(exist_ok=True)
        for number, (name, quality) in enumerate(SAMPLES.items()):
            mask_zip.write(samples / name, imperfect(truth, *quality, seed=number))
        _, token = create_token(user, "demo", [Scope.SUBMIT], competition=competition, announce=False)
        return {
            "url": settings.SITE_URL,
            "organiser": {"username": organiser.username, "password": organiser_password},
            "team": {"username": user.username, "password": password},
            "token": token,
            "phase": validation.pk,
            "archives": [str(samples / name) for name in SAMPLES],
            "images": str(folder / "public"),
        }

    def tell(self, demo: dict[str, Any], notes: Path) -> None:
        lines = [
            "",
            f"  The leaderboard          {demo['url']}/",
            f"  Log in as a team         {demo['team']['username']}  {demo['team']['password']}",
            f"  Log in as an organiser   {demo['organiser']['username']}  {demo['organiser']['password']}"
            f"   ({demo['url']}/admin/)",
            f"  API token (submit)       {demo['token']}",
            f"  An archive to upload     {demo['archives'][0]}",
            f"  Images to predict from   {demo['images']}",
            f"  All of this is in        {notes}",
            "",
        ]
        self.stdout.write("\n".join(lines))


def make_data(folder: Path, preset: str, seed: int | None) -> Path:
    """Public images and hidden masks; returns the private folder of the masks. The default seed is random and not stored."""
    hidden = folder / "hidden"
    if not (hidden / "complete").exists():
        hidden.mkdir(mode=0o700, parents=True, exist_ok=True)
        chosen = secrets.randbits(62) if seed is None else seed
        synth.generate(folder / "public", preset, chosen, mask_root=hidden)
        (hidden / "synthl4s.json").unlink(missing_ok=True)
        (hidden / "complete").touch()
    return hidden


def make_competition(folder: Path, hidden: Path, organiser: User) -> Competition:
    """The 2022 preset, shifted so that the validation phase is open; that phase gets images for reports."""
    document = competition_files.read_file(Path("l4s-2022"))
    today = timezone.now().replace(hour=0, minute=0, second=0, microsecond=0)
    document = calendars.moved(document, today - OPEN_FOR - VALIDATION_OPENED)
    document["competition"] |= {"data_note": DATA_NOTE, "is_published": True}
    document["organisers"] = [organiser.username]
    folders = {"validation": "ValidData", "test": "TestData", "future-development": "TestData"}
    for phase in document["phases"]:
        here = hidden / folders[phase["slug"]]
        phase["labels"] = {"path": str(here / "mask"), "sites": str(here / "sites.csv"), "note": "synthetic"}
        if phase["slug"] == "validation":
            phase["labels"]["images"] = str(folder / "public" / folders["validation"] / "img")
    with TemporaryDirectory(dir=folder) as packed:
        document["data"] = public_files(folder / "public", hidden, Path(packed))
        return competition_files.apply(competition_files.plan(document))


def public_files(public: Path, hidden: Path, packed: Path) -> list[dict[str, str]]:
    """A ZIP archive of each split's public files, as `[[data]]` tables; the test images come out with their phase."""
    tables = []
    for split, note in PUBLIC.items():
        path = packed / f"{split}.zip"
        with zipfile.ZipFile(path, "w") as archive:
            for root in (
                (public, hidden) if split == "TrainData" else (public,)
            ):  # training masks are not secret
                for file in sorted((root / split).rglob("*.h5")):
                    archive.write(file, file.relative_to(root))
        phase = {"phase": "test"} if split == "TestData" else {}
        tables.append({"name": path.name, "path": str(path), "note": note, **phase})
    return tables


def make_user(username: str, name: str, country: str, **rights: bool) -> tuple[User, str]:
    password = secrets.token_urlsafe(9)
    user = User(
        username=username, first_name=name, country=country, email=f"{username}@demo.invalid", **rights
    )
    user.set_password(password)
    user.save()
    return user, password


def imperfect(truth: np.ndarray, shift: int, missed: float, invented: float, *, seed: int) -> np.ndarray:
    """Masks like those of a mediocre model: shifted by some pixels, some patches missed, some invented.

    ``truth`` and result: (patches, height, width) of 0 and 1.
    """
    random = np.random.default_rng(seed)
    masks = np.roll(truth, (shift, -shift), axis=(1, 2))
    patches = len(masks)
    masks[random.random(patches) < missed] = 0
    others = np.roll(truth, 7, axis=0)
    fooled = random.random(patches) < invented
    masks[fooled] |= others[fooled]
    return masks


def submit(user: User, phase: Phase, masks: np.ndarray, method: str) -> None:
    content = BytesIO()
    mask_zip.write(content, masks)
    file: File = ContentFile(content.getvalue(), name="masks.zip")
    submissions.submit(
        user, phase, file, method=method, description="Generated by the demo from the labels, with errors."
    )


def write_private(path: Path, text: str) -> None:
    """Readable only by its owner, because it contains passwords."""
    path.touch(mode=0o600)
    path.chmod(0o600)
    path.write_text(text)
