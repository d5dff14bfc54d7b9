"""A competition's boards and texts as static pages, and the boards as CSV and JSON: what the public may see."""

import json
from datetime import datetime

from django.contrib.auth.models import AnonymousUser
from django.template.loader import render_to_string

from leaderboard.models import Competition
from leaderboard.platform.markdown import render
from leaderboard.reporting.board_files import COLUMNS, HERE, described
from leaderboard.reporting.boards import board_of
from leaderboard.reporting.spreadsheets import write_csv

from .package import Package


def add_site(package: Package, competition: Competition, now: datetime) -> None:
    """site/index.html, site/boards/PHASE.html, .csv and .json, site/pages/PAGE.html. Nothing in them needs a server."""
    phases = list(
        competition.phases.select_related("competition", "labels").order_by("position", "opens_at", "pk")
    )
    pages = list(competition.pages.order_by("position", "slug"))
    shared = {"competition": competition, "phases": phases, "pages": pages}
    package.add("site/index.html", render_to_string("export/index.html", {**shared, "to": ""}))
    for page in pages:
        text = render_to_string(
            "export/text.html", {**shared, "page": page, "body": render(page.body), "to": "../"}
        )
        package.add(f"site/pages/{page.slug}.html", text)
    for phase in phases:
        board = board_of(phase, AnonymousUser(), now)
        columns = [name for name in COLUMNS if name not in HERE]
        content = described(board)
        content["entries"] = [{name: entry[name] for name in columns} for entry in content["entries"]]
        scored = sum(row.entries for row in (*(board.rows or ()), *board.references))
        package.add(
            f"site/boards/{phase.slug}.html",
            render_to_string(
                "export/board.html",
                {**shared, "phase": phase, "board": board, "scored": scored, "to": "../"},
            ),
        )
        package.add(
            f"site/boards/{phase.slug}.csv",
            write_csv(columns, [list(entry.values()) for entry in content["entries"]]),
        )
        content = {"scored_submissions": scored, **content}
        package.add(f"site/boards/{phase.slug}.json", json.dumps(content, indent=1, ensure_ascii=False))
