"""CSV as RFC 4180 has it, safe to open in a spreadsheet program: no cell is taken for a formula."""

import csv
import io
from collections.abc import Iterable
from typing import Any

FORMULA_BEGINNINGS = ("=", "+", "-", "@", "\t", "\r")


def safe_cell(value: Any) -> str:
    """The value as text; one that a spreadsheet program would run as a formula gets an apostrophe in front."""
    if isinstance(value, float):
        return str(value)  # a negative number is no formula
    text = "" if value is None else str(value)
    return f"'{text}" if text.startswith(FORMULA_BEGINNINGS) else text


def write_csv(header: Iterable[Any], rows: Iterable[Iterable[Any]]) -> str:
    """A table as CSV: one header line, CRLF at the end of each line, quotes where they are needed."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow([safe_cell(name) for name in header])
    writer.writerows([safe_cell(value) for value in row] for row in rows)
    return text.getvalue()
