"""CSV as in RFC 4180, safe to open in spreadsheet programs: no cell is run as a formula."""

import csv
import io
from collections.abc import Iterable
from typing import Any

FORMULA_BEGINNINGS = (
    "=",
    "+",
    "-",
    "@",
    "＝",
    "＋",
    "－",
    "＠",
    "\t",
    "\r",
)  # full-width ones are folded by some programs


def safe_cell(value: Any) -> str:
    """The value as text; anything that a spreadsheet would run as a formula gets an apostrophe in front."""
    if isinstance(value, float):
        return str(value)  # negative numbers are not formulas
    text = "" if value is None else str(value)
    return f"'{text}" if text.startswith(FORMULA_BEGINNINGS) else text


def write_csv(header: Iterable[Any], rows: Iterable[Iterable[Any]]) -> str:
    """A table as CSV: one header line, CRLF line ends, quotes where needed."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow([safe_cell(name) for name in header])
    writer.writerows([safe_cell(value) for value in row] for row in rows)
    return text.getvalue()
