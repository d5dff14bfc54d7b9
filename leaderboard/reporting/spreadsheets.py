"""CSV as in RFC 4180, safe to open in spreadsheet programs: no cell is run as a formula."""

import csv
import io
from collections.abc import Iterable
from typing import Any

from evaluation.cells import safe_cell


def write_csv(header: Iterable[Any], rows: Iterable[Iterable[Any]]) -> str:
    """A table as CSV: one header line, CRLF line ends, quotes where needed."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow([safe_cell(name) for name in header])
    writer.writerows([safe_cell(value) for value in row] for row in rows)
    return text.getvalue()
