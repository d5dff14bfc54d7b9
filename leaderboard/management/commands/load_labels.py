"""Load a phase's hidden labels from a folder or ZIP of masks, with their sites and images."""

from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import transaction

from evaluation.task import TASK, MaskSpec
from evaluation.trust.site_files import SiteFileError, read_site_file
from leaderboard.actions import judging
from leaderboard.actions.organiser_files import FileInvalid, images_of, labels_of
from leaderboard.actions.refusals import Refusal
from leaderboard.management.rows import find_phase
from leaderboard.models import LabelSet, Phase


class Command(BaseCommand):
    help = (
        "Load masks as a phase's next label set. It is activated at once only where there is no submission yet; "
        "otherwise every submission is scored on it and it waits for its dry run. Without PATH, only the sites or images of the current labels are loaded. PHASE is "
        "competition/phase (their slugs) or the phase's number."
    )

    def add_arguments(self, parser: Any) -> None:
        parser.add_argument("phase", metavar="PHASE", help="e.g. landslide4sense-2022/validation")
        parser.add_argument(
            "path",
            metavar="PATH",
            nargs="?",
            help=f"a folder of {TASK.mask_name(1)} … {TASK.mask_name('N')}, or a ZIP of them",
        )
        parser.add_argument(
            "--sites",
            type=Path,
            metavar="CSV",
            help="columns patch and site; hidden like the labels, kept for corrected labels, used by the report",
        )
        parser.add_argument(
            "--images",
            type=Path,
            metavar="FOLDER",
            help=f"{TASK.image_name(1)} … {TASK.image_name('N')} ({TASK.image_dataset}, {len(TASK.bands)} bands): shown in the report's gallery and behind each team's own masks",
        )
        parser.add_argument("--note", default="", help="what has changed, for the other organisers")

    def handle(
        self,
        *,
        phase: str,
        path: str | None,
        sites: Path | None,
        images: Path | None,
        note: str,
        **_: Any,
    ) -> None:
        row = find_phase(phase)
        if not (path or sites or images):
            raise CommandError("Give PATH, --sites or --images.")
        masks, spec = read_labels(path) if path else (None, spec_in_force(row))
        names = sites_in(sites, spec) if sites else None
        pictures = read_image_folder(images, spec) if images else None
        try:
            with transaction.atomic():
                if masks is not None:
                    label_set = judging.load_labels(None, row, masks, spec, note, sites=names)
                    is_current = Phase.objects.filter(labels=label_set).exists()
                    self.say(f"{row}: {described(label_set, 'current' if is_current else 'loaded')}")
                    if not is_current:
                        self.stdout.write(
                            "All submissions are being scored on it. Its page in the admin shows the dry run and puts "
                            f"it in force: {settings.SITE_URL}/admin/leaderboard/labelset/{label_set.pk}/change/"
                        )
                elif names is not None and row.labels is not None:
                    judging.name_sites(None, row.labels, names, note or "by command")
                if names is not None:
                    self.say(f"{row}: {len(set(names))} sites.")
                if pictures is not None:
                    judging.keep_images(None, row, pictures)
                    self.say(f"{row}: {spec.patches} images.")
        except Refusal as refusal:
            raise CommandError(refusal.message) from refusal

    def say(self, sentence: str) -> None:
        self.stdout.write(self.style.SUCCESS(sentence))


def described(label_set: LabelSet, state: str) -> str:
    return (
        f"version {label_set.version} is {state}, {label_set.patches} patches of {label_set.height} x "
        f"{label_set.width}, {label_set.positive_pixels:,} positive pixels, SHA-256 {label_set.sha256}."
    )


def spec_in_force(phase: Phase) -> MaskSpec:
    if phase.labels is None:
        raise CommandError(f"{phase} has no labels yet. Give their PATH too.")
    return MaskSpec(phase.labels.patches, phase.labels.height, phase.labels.width)


def read_labels(path: str) -> tuple[Any, MaskSpec]:
    try:
        return labels_of(path)
    except FileInvalid as invalid:
        lines = [f"  {problem}" for problem in invalid.problems]
        raise CommandError("\n".join([f"The labels in {path} cannot be used:", *lines])) from invalid
    except OSError as error:
        raise CommandError(
            f"{path} cannot be read ({error.strerror}). Give a folder or a ZIP of masks."
        ) from error


def sites_in(path: Path, spec: MaskSpec) -> tuple[str, ...]:
    try:
        with path.open("rb") as file:
            return read_site_file(file, spec.patches)
    except SiteFileError as error:
        raise CommandError(f"The sites in {path} cannot be used:\n{error}") from error
    except OSError as error:
        raise CommandError(f"{path} cannot be read ({error}). Give a CSV file in UTF-8.") from error


def read_image_folder(path: Path, spec: MaskSpec) -> dict[str, list[bytes]]:
    try:
        return images_of(path, spec)
    except (FileInvalid, OSError) as error:
        raise CommandError(str(error)) from error
