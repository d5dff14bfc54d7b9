"""A description of a competition following the BIAS guideline, filled in from the database."""

import json
from typing import Any

from django.core.management.base import BaseCommand

from leaderboard.management.rows import find_competition
from leaderboard.reporting import bias


class Command(BaseCommand):
    help = (
        "Print a description of a competition following the BIAS reporting guideline, as Markdown. Items that only the "
        "organisers know are left open."
    )

    def add_arguments(self, parser: Any) -> None:
        parser.add_argument("competition", metavar="COMPETITION", help="its slug, e.g. l4s-2022")
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *, competition: str, **options: Any) -> None:
        row = find_competition(competition)
        items = bias.form(row)
        if not options["json"]:
            self.stdout.write(bias.as_markdown(row, items))
            return
        listed = [{"part": i.part, "item": i.item, "answer": None if i.is_open else i.answer} for i in items]
        self.stdout.write(json.dumps({"competition": row.slug, "items": listed}, indent=1))
