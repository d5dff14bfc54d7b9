"""Play a competition's whole calendar before it goes live."""

import json
import sys
from pathlib import Path
from typing import Any

from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError

from leaderboard.actions import competition_files
from leaderboard.actions.competition_checks import CompetitionFileInvalid
from rehearsal import scratch
from rehearsal.play import rehearse


class Command(BaseCommand):
    help = (
        "Play the whole calendar of a competition file with made-up teams and labels and a simulated clock, on a "
        "scratch database, and report broken rules and leaks of hidden numbers. Exit code 0: all rules held."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: Any) -> None:
        presets = " or ".join(competition_files.presets())
        parser.add_argument("file", metavar="FILE", help=f"a TOML file, or the name of a preset: {presets}")
        parser.add_argument("--json", action="store_true", help="print all findings as JSON")
        parser.add_argument(
            "--quick", action="store_true", help="search for hidden numbers less often, as one viewer"
        )

    def handle(self, *, file: str, **options: bool) -> None:
        if scratch.is_inside():
            self.play(Path(file), options["json"], thorough=not options["quick"])
        else:
            sys.exit(scratch.run(file, *(f"--{name}" for name in ("json", "quick") if options[name])))

    def play(self, file: Path, as_json: bool, *, thorough: bool) -> None:
        call_command("migrate", verbosity=0, interactive=False)
        try:
            document = competition_files.read_file(file)
            competition_files.plan(document)
            findings = rehearse(document, thorough=thorough)
        except CompetitionFileInvalid as error:
            raise CommandError("\n".join(["This file cannot be rehearsed:", *error.problems])) from error
        self.stdout.write(json.dumps(findings.as_dict(), indent=1) if as_json else findings.as_text())
        if not findings.all_held:
            sys.exit(1)
