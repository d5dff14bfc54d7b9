"""Load a phase's hidden labels from a folder or ZIP of masks."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from evaluation import labels
from evaluation.problems import InvalidArchive
from leaderboard.actions.judging import load_labels
from leaderboard.actions.refusals import Refusal
from leaderboard.management.rows import find_phase


class Command(BaseCommand):
    help = (
        "Load masks as a phase's next label set and put it in force; every submission that still stands is evaluated "
        "anew on it. PHASE is competition/phase (their slugs) or the phase's number."
    )

    def add_arguments(self, parser: Any) -> None:
        parser.add_argument("phase", metavar="PHASE", help="e.g. landslide4sense-2022/validation")
        parser.add_argument(
            "path", metavar="PATH", help="a folder of mask_1.h5 … mask_N.h5, or a ZIP of them"
        )
        parser.add_argument(
            "--wait", action="store_true", help="do not put it in force yet: evaluate everything on it first"
        )
        parser.add_argument("--note", default="", help="what changed, for the other organisers")

    def handle(self, *, phase: str, path: str, note: str, wait: bool, **_: Any) -> None:
        row = find_phase(phase)
        try:
            masks, spec = labels.load(path)
            label_set = load_labels(None, row, masks, spec, note, switch=not wait)
        except InvalidArchive as invalid:
            lines = [
                f"  {problem.file}: {problem.message}".replace("  : ", "  ") for problem in invalid.problems
            ]
            raise CommandError("\n".join([f"The labels in {path} cannot be used:", *lines])) from invalid
        except OSError as error:
            raise CommandError(
                f"{path} cannot be read ({error.strerror}). Name a folder or a ZIP of masks."
            ) from error
        except Refusal as refusal:
            raise CommandError(refusal.message) from refusal
        self.stdout.write(
            self.style.SUCCESS(
                f"{row}: version {label_set.version} is {'loaded' if wait else 'in force'}, {spec.patches} patches of {spec.height} x "
                f"{spec.width}, {label_set.positive_pixels:,} positive pixels, SHA-256 {label_set.sha256}."
            )
        )
