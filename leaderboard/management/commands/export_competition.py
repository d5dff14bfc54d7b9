"""Write a competition with everything in it to one file."""

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from leaderboard.export.write import ArchiveMissing, export_competition
from leaderboard.management.rows import find_competition


class Command(BaseCommand):
    help = (
        "Write a ZIP with a complete competition: rules, phases, teams, submissions with their archives, scores, "
        "boards as static pages, audit log, checksums. docs/export.md describes it. It contains personal data."
    )

    def add_arguments(self, parser: Any) -> None:
        parser.add_argument("slug", metavar="SLUG", help="the competition's slug")
        parser.add_argument("file", metavar="FILE", type=Path, help="the file to write; it must not exist")
        parser.add_argument(
            "--with-labels", action="store_true", help="include the hidden masks; keep the file secret"
        )

    def handle(self, *, slug: str, file: Path, with_labels: bool, **_: Any) -> None:
        competition = find_competition(slug)
        try:
            written = export_competition(competition, file, with_labels=with_labels, tell=self.stderr.write)
        except FileExistsError as error:
            raise CommandError(f"{file} already exists. Name a new file.") from error
        except OSError as error:
            raise CommandError(f"{file} cannot be written ({error.strerror}).") from error
        except ArchiveMissing as error:
            raise CommandError(str(error)) from error
        file.chmod(0o600)
        self.stdout.write(
            self.style.SUCCESS(f"{file}: {written.files} files, contents SHA-256 {written.contents_sha256}.")
        )
        if not with_labels:
            self.stdout.write("Hidden masks are not included; --with-labels adds them.")
