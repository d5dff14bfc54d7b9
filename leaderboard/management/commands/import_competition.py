"""Bring a competition back from an export."""

import tempfile
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from leaderboard.export.package import ExportInvalid
from leaderboard.export.read import CompetitionExists, Imported, import_competition
from leaderboard.export.write import export_competition
from leaderboard.management.planner import tell_planner


class Command(BaseCommand):
    help = (
        "Bring a competition back from the file that export_competition wrote, on this or another server. People are "
        "found by their e-mail address; who has no account here gets an inactive one without a password."
    )

    def add_arguments(self, parser: Any) -> None:
        parser.add_argument("file", metavar="FILE", type=Path)
        parser.add_argument("--slug", default="", help="a new slug, where the old one is taken")
        parser.add_argument(
            "--verify",
            action="store_true",
            help="export it again and compare: proves that it came back identical",
        )

    def handle(self, *, file: Path, slug: str, verify: bool, **_: Any) -> None:
        try:
            imported = import_competition(file, slug=slug, tell=self.stderr.write)
        except (ExportInvalid, CompetitionExists) as error:
            raise CommandError(f"Nothing was imported. {error}") from error
        except OSError as error:
            raise CommandError(f"{file} cannot be read ({error.strerror or error}).") from error
        tell_planner()
        self.stdout.write(
            self.style.SUCCESS(
                f"{imported.competition} is here as {imported.competition.slug}: {len(imported.found)} people have an "
                f"account already, {len(imported.made)} inactive accounts were made."
            )
        )
        if unverified := imported.unverified():
            names = ", ".join(str(user) for user in unverified[:20])
            more = f" and {len(unverified) - 20} more" if len(unverified) > 20 else ""
            self.stdout.write(
                self.style.WARNING(
                    f"Of {len(unverified)} accounts found here nobody has verified the address, so anyone could have signed up "
                    f"with it: {names}{more}. Check that they are who the export means."
                )
            )
        if imported.without_masks:
            self.stdout.write(
                self.style.WARNING(
                    f"{imported.without_masks} label sets came without their masks, so nothing new can be scored on them. "
                    "Load the masks with load_labels: the same masks are put back in their place."
                )
            )
        if verify:
            self.verify(imported)

    def verify(self, imported: Imported) -> None:
        with tempfile.TemporaryDirectory() as folder:
            again = export_competition(
                imported.competition, Path(folder) / "again.zip", with_labels=not imported.without_masks
            )
        if again.contents_sha256 != imported.contents_sha256:
            raise CommandError(
                f"It is here, but exported again its contents are {again.contents_sha256}, not "
                f"{imported.contents_sha256}. That is so after --slug, where account names were taken, or between different "
                "versions of this program; else compare the two files' SHA256SUMS."
            )
        self.stdout.write(self.style.SUCCESS(f"Exported again it is identical: {again.contents_sha256}."))
