"""The dates of a competition file: absolute, as days from its start, or shifted as a whole."""

import re
from datetime import datetime, timedelta
from typing import Any

DATES = (
    "roster_locks_at", "roster_reopens_at", "mergers_until", "descriptions_due_at",
    "approval_needed_from", "opens_at", "closes_at", "freezes_at",
)  # fmt: skip
DAY = re.compile(r"day (\d{1,4})(?: ([01]\d|2[0-3]):([0-5]\d))?")


def dated(document: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """The document with every "day N" or "day N HH:MM" as the date it means, and what is wrong with them."""
    start, problems = document.get("starts_at"), []

    def date_of(where: str, text: str) -> Any:
        written = DAY.fullmatch(text)
        if written is None:
            problems.append(
                f'{where}: {text!r} is not a date. Write 2022-06-15T00:00:00Z, or "day 70" after starts_at.'
            )
        elif not isinstance(start, datetime) or start.tzinfo is None:
            problems.append(
                f"{where}: {text!r} counts from starts_at, which begins the file: 2027-01-11T00:00:00Z."
            )
        else:
            days, hours, minutes = (int(part or 0) for part in written.groups())
            return start + timedelta(days=days, hours=hours, minutes=minutes)
        return None

    def table(where: str, rows: dict[str, Any]) -> dict[str, Any]:
        return {
            key: date_of(f"{where}: {key}", value) if key in DATES and isinstance(value, str) else value
            for key, value in rows.items()
        }

    head = table("competition", document.get("competition", {}))
    phases = [table(f"phases[{n}]", rows) for n, rows in enumerate(document.get("phases", []), start=1)]
    return {**document, "competition": head, "phases": phases}, problems


def moved(document: dict[str, Any], by: timedelta) -> dict[str, Any]:
    """The same document with every date moved."""

    def move(value: Any) -> Any:
        if isinstance(value, datetime):
            return value + by
        if isinstance(value, dict):
            return {key: move(inner) for key, inner in value.items()}
        return [move(inner) for inner in value] if isinstance(value, list) else value

    return move(document)


def starting(document: dict[str, Any], when: datetime) -> dict[str, Any]:
    """The same document with its whole calendar moved so that it begins then: its start, or its first opening."""
    openings = [phase.get("opens_at") for phase in document.get("phases", [])]
    begins = [date for date in (document.get("starts_at"), *openings) if isinstance(date, datetime)]
    aware = [date for date in begins if date.tzinfo is not None]
    return moved(document, when - aware[0]) if aware else document
