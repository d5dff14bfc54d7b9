"""A competition's boards and texts as static pages, and the boards as CSV and JSON: what the public may see."""

import json
from datetime import datetime
from typing import Any

from django.contrib.auth.models import AnonymousUser
from django.template.loader import render_to_string

from leaderboard.models import Competition
from leaderboard.pages.markdown import render
from leaderboard.reporting.boards import Board, Row, board_of
from leaderboard.reporting.spreadsheets import write_csv

from .package import Package

COLUMNS = ("rank", "kind", "team", "method", "f1", "precision", "recall", "entries", "received_at", "source")


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
        entries = entries_of(board)
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
            write_csv(COLUMNS, [[entry[c] for c in COLUMNS] for entry in entries]),
        )
        about = {"competition": competition.slug, "phase": phase.slug, "data_note": competition.data_note}
        content = {**about, "hidden": board.rows is None, "scored_submissions": scored, "entries": entries}
        package.add(f"site/boards/{phase.slug}.json", json.dumps(content, indent=1, ensure_ascii=False))


def entries_of(board: Board) -> list[dict[str, Any]]:
    """Every line of a board; metrics are fractions of 1, None where they are hidden."""
    ranked = [entry_of(row, "team") for row in board.rows or []]
    references = [entry_of(row, "reference") for row in board.references]
    published = [
        {
            **dict.fromkeys(COLUMNS),
            "kind": "published",
            "team": entry.name,
            "method": entry.method,
            **{
                name: value and float(value / 100)
                for name, value in (
                    ("f1", entry.f1),
                    ("precision", entry.precision),
                    ("recall", entry.recall),
                )
            },
            "source": entry.source,
        }
        for entry in board.published
    ]
    return ranked + references + published


def entry_of(row: Row, kind: str) -> dict[str, Any]:
    scores = row.scores
    return {
        "rank": row.rank,
        "kind": kind,
        "team": row.team,
        "method": row.submission.method,
        "f1": scores.f1 and scores.f1.value,
        "precision": scores.precision and scores.precision.value,
        "recall": scores.recall and scores.recall.value,
        "entries": row.entries,
        "received_at": row.achieved_at.isoformat(),
        "source": None,
    }
