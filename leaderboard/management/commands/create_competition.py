"""Create or change a competition from its file."""

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from leaderboard.actions import competition_files
from leaderboard.actions.competition_files import CompetitionFileInvalid


class Command(BaseCommand):
    help = "Create or change a competition from a TOML file or a preset, after showing what would change."

    def add_arguments(self, parser: Any) -> None:
        parser.add_argument(
            "file", type=Path, metavar="FILE", help="a TOML file, or the name of a preset (l4s-2022)"
        )
        parser.add_argument("--organiser", action="append", default=[], metavar="USERNAME")
        parser.add_argument("--yes", action="store_true", help="do not ask")
        parser.add_argument("--dry-run", action="store_true", help="only show what would change")

    def handle(self, *, file: Path, organiser: list[str], yes: bool, dry_run: bool, **_: Any) -> None:
        try:
            document = competition_files.read_file(file)
            document["organisers"] = [*document.get("organisers", []), *organiser]
            planned = competition_files.plan(document)
        except CompetitionFileInvalid as error:
            raise CommandError("\n".join(["Nothing was changed:", *error.problems])) from error
        for line in planned.lines or ["Nothing would change."]:
            self.stdout.write(line)
        if dry_run or not planned.lines:
            return
        if not yes and input("Change it? [y/N] ").strip().lower() not in ("y", "yes"):
            raise CommandError("Nothing was changed.")
        competition = competition_files.apply(planned)
        self.stdout.write(self.style.SUCCESS(f"{competition} is in place."))
