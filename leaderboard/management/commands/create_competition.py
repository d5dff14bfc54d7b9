"""Create or change a competition from its file."""

from argparse import ArgumentTypeError
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from leaderboard.actions import calendars, competition_files
from leaderboard.actions.competition_checks import CompetitionFileInvalid


class Command(BaseCommand):
    help = "Create or change a competition from a TOML file or a preset. Shows the changes first."

    def add_arguments(self, parser: Any) -> None:
        presets = " or ".join(competition_files.presets())
        parser.add_argument(
            "file", type=Path, metavar="FILE", help=f"a TOML file, or the name of a preset: {presets}"
        )
        parser.add_argument(
            "--starts", type=date, metavar="DATE", help="shift the whole calendar to begin then (UTC)"
        )
        parser.add_argument("--organiser", action="append", default=[], metavar="USERNAME")
        parser.add_argument(
            "--publish",
            action="store_true",
            help="show it to everybody at once; otherwise a new one is a draft",
        )
        parser.add_argument("--yes", action="store_true", help="do not ask for confirmation")
        parser.add_argument("--dry-run", action="store_true", help="only show the changes")

    def handle(
        self,
        *,
        file: Path,
        starts: datetime | None,
        organiser: list[str],
        publish: bool,
        yes: bool,
        dry_run: bool,
        **_: Any,
    ) -> None:
        try:
            document = competition_files.read_file(file)
            if starts is not None:
                document = calendars.starting(document, starts)
            document["organisers"] = [*document.get("organisers", []), *organiser]
            if publish:
                document["competition"] = {**document.get("competition", {}), "is_published": True}
            planned = competition_files.plan(document)
        except CompetitionFileInvalid as error:
            raise CommandError("\n".join(["No changes were made:", *error.problems])) from error
        for line in planned.lines or ["Nothing to change."]:
            self.stdout.write(line)
        if dry_run or not planned.lines:
            return
        if not yes and input("Apply these changes? [y/N] ").strip().lower() not in ("y", "yes"):
            raise CommandError("No changes were made.")
        competition = competition_files.apply(planned)
        self.stdout.write(self.style.SUCCESS(f"{competition} is up to date."))
        if not competition.is_published:
            self.stdout.write(
                "It is a draft that only its organisers see. Publish it at the desk, or with --publish."
            )


def date(text: str) -> datetime:
    """A date and optional time, in UTC unless it has a time zone."""
    try:
        when = datetime.fromisoformat(text)
    except ValueError as error:
        raise ArgumentTypeError(f"{text!r} is not a date. Example: 2027-01-11") from error
    return when if when.tzinfo else when.replace(tzinfo=UTC)
