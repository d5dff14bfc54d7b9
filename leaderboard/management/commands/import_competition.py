"""Restore a competition from an export."""

import tempfile
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from leaderboard.export.package import ExportInvalid
from leaderboard.export.read import CompetitionExists, Imported, import_competition
from leaderboard.export.write import export_competition
from leaderboard.management.planner import tell_planner
from leaderboard.reporting import counting
from leaderboard.scoring.confined import CannotRead


class Command(BaseCommand):
    help = (
        "Restore a competition from a file written by export_competition, on this or another server. People are "
        "matched by email address; those without an account here get an inactive one without a password."
    )

    def add_arguments(self, parser: Any) -> None:
        parser.add_argument("file", metavar="FILE", type=Path)
        parser.add_argument("--slug", default="", help="a new slug, if the old one is taken")
        parser.add_argument(
            "--verify",
            action="store_true",
            help="export it again and compare, to prove that it is identical",
        )

    def handle(self, *, file: Path, slug: str, verify: bool, **_: Any) -> None:
        try:
            imported = import_competition(file, slug=slug, tell=self.stderr.write)
        except (ExportInvalid, CompetitionExists, CannotRead) as error:
            raise CommandError(f"Nothing was imported. {error}") from error
        except OSError as error:
            raise CommandError(f"{file} cannot be read ({error.strerror or error}).") from error
        tell_planner()
        self.stdout.write(
            self.style.SUCCESS(
                f"{imported.competition} was imported as {imported.competition.slug}: {len(imported.found)} people "
                f"already have an account, {len(imported.made)} inactive accounts were created."
            )
        )
        if unverified := imported.unverified():
            names = ", ".join(str(user) for user in unverified[:20])
            more = f" and {len(unverified) - 20} more" if len(unverified) > 20 else ""
            self.stdout.write(
                self.style.WARNING(
                    f"{len(unverified)} accounts matched an unverified email address, with which anybody could have signed up: "
                    f"{names}{more}. Check that they are the people in the export."
                )
            )
        if imported.without_masks:
            self.stdout.write(
                self.style.WARNING(
                    f"{imported.without_masks} label sets came without masks, so nothing new can be scored on them. "
                    "Load the masks with load_labels: identical masks are restored to their label set."
                )
            )
        if verify:
            self.verify(imported)
        counting.keep_up(timezone.now())

    def verify(self, imported: Imported) -> None:
        with tempfile.TemporaryDirectory() as folder:
            again = export_competition(
                imported.competition, Path(folder) / "again.zip", with_labels=not imported.without_masks
            )
        if again.contents_sha256 != imported.contents_sha256:
            raise CommandError(
                f"It was imported, but a new export has the contents {again.contents_sha256}, not "
                f"{imported.contents_sha256}. This is expected after --slug, if account names were taken, or between "
                "different versions of this program; otherwise compare the two files' SHA256SUMS."
            )
        self.stdout.write(self.style.SUCCESS(f"A new export is identical: {again.contents_sha256}."))
