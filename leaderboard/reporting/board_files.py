"""A board as data: its lines for CSV and JSON, its news as an Atom feed, a team's rank as a badge (SVG)."""

from html import escape
from typing import Any

from django.utils.feedgenerator import Atom1Feed

from leaderboard.models import Competition

from .boards import Board, Row
from .spreadsheets import write_csv

COLUMNS = (
    "rank", "kind", "team", "method", "f1", "precision", "recall", "entries", "received_at", "source", "team_id", "submission",
)  # fmt: skip
HERE = ("team_id", "submission")
"""Columns whose values are this server's alone: a file that outlives it leaves them out."""
NEWS = 30
BADGE_HEIGHT, LETTER, PADDING = 24, 6.4, 9  # of the badge, in pixels; a letter's width is an average


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
        "team_id": row.team_id,
        "submission": row.submission.pk,
    }


def csv_of(board: Board) -> str:
    """The board as CSV, one line for each entry."""
    return write_csv(COLUMNS, ([entry[name] for name in COLUMNS] for entry in entries_of(board)))


def described(board: Board) -> dict[str, Any]:
    """The board as one JSON object."""
    competition = board.phase.competition
    about = {"competition": competition.slug, "phase": board.phase.slug, "data_note": competition.data_note}
    return {**about, "hidden": board.rows is None, "entries": entries_of(board)}


def feed_of(board: Board, url: str, feed_url: str) -> str:
    """The rows of a board as Atom, one item for each."""
    competition: Competition = board.phase.competition
    feed = Atom1Feed(
        title=f"{competition}: new bests in {board.phase.name}",
        link=url,
        description="Each team's best result, newest first.",
        feed_url=feed_url,
        language="en",
    )
    for row in board.rows or []:
        feed.add_item(
            title=f"{row.team}: F1 {row.scores.f1}",
            link=url,
            description=escape(row.submission.method),  # readers take it for HTML
            unique_id=f"{url}#{row.submission.pk}",
            pubdate=row.achieved_at,
            updateddate=row.achieved_at,
        )
    return str(feed.writeString("utf-8"))


def badge(left: str, right: str) -> str:
    """Two texts side by side as SVG; it needs no font and no style sheet of ours."""
    widths = [round(len(text) * LETTER) for text in (left, right)]
    edge = widths[0] + 2 * PADDING
    whole = edge + widths[1] + 2 * PADDING
    said = escape(f"{left}: {right}")

    def text(content: str, x: int, length: int) -> str:
        return f'<text x="{x}" y="16" textLength="{length}">{escape(content)}</text>'

    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{whole}" height="{BADGE_HEIGHT}" role="img"'
        f' aria-label="{said}"><title>{said}</title>'
        f'<clipPath id="round"><rect width="{whole}" height="{BADGE_HEIGHT}" rx="5"/></clipPath>'
        f'<g clip-path="url(#round)"><rect width="{edge}" height="{BADGE_HEIGHT}" fill="#0e3b37"/>'
        f'<rect x="{edge}" width="{whole - edge}" height="{BADGE_HEIGHT}" fill="#9a4a14"/></g>'
        '<g fill="#fff" font-family="Verdana,DejaVu Sans,sans-serif" font-size="11">'
        f"{text(left, PADDING, widths[0])}{text(right, edge + PADDING, widths[1])}</g></svg>"
    )
