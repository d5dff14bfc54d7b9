"""Tables for a terminal."""

from __future__ import annotations

from collections.abc import Sequence


def table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> list[str]:
    """Columns as wide as needed, text left, numbers right."""
    if not rows:
        return []
    cells = [list(header), *([str(cell) for cell in row] for row in rows)]
    width = [max(len(row[c]) for row in cells) for c in range(len(header))]
    left = [any(cell[:1].isalpha() for cell in (row[c] for row in cells[1:])) for c in range(len(header))]
    return [
        "  ".join(
            cell.ljust(w) if is_left else cell.rjust(w)
            for cell, w, is_left in zip(row, width, left, strict=True)
        ).rstrip()
        for row in cells
    ]
