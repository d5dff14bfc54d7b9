"""The column of our own results in a document, filled in from the tables that runs wrote, so that no number is copied by hand.

A cell begins with an invisible mark, `<!-- unet -->` for a method or `<!-- seek/bands -->` for a study, and says
"not run yet" until a table.json (of `compare`, or of `study`) has it. A line `<!-- seek/bands: table -->` is followed by the study's
whole table.
"""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from baseline.experiments import study
from baseline.experiments.results import SPLITS
from baseline.experiments.tables import mean_and_spread

TABLE = re.compile(r"<!-- ([a-z0-9/-]+): table -->\n(?:.+\n)*")
CELL = re.compile(r"<!-- ([a-z0-9/-]+) -->[^|]*\|")


def filled(document: str, tables: Sequence[Path]) -> tuple[str, list[str]]:
    """The document with the available cells and tables filled in, and the marks that were filled. Later tables win."""
    found: dict[str, str] = {}
    studies: dict[str, str] = {}
    for path in tables:
        content = _table(path)
        if "study" in content:
            name = f"{content['method']}/{content['study']}"
            found[name], studies[name] = _study(content), study.table(content)
        else:
            found |= {
                name: _method(content | {"runs": rows}) for name, rows in _by(content["runs"], "method")
            }
    seen = [mark for mark in CELL.findall(document) + TABLE.findall(document) if mark in found]
    text = CELL.sub(
        lambda cell: f"<!-- {cell[1]} -->{found[cell[1]]} |" if cell[1] in found else cell[0], document
    )
    text = TABLE.sub(
        lambda block: (
            f"<!-- {block[1]}: table -->\n{studies[block[1]]}\n" if block[1] in studies else block[0]
        ),
        text,
    )
    return text, seen


def _table(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text())
    except ValueError:
        content = None
    if not isinstance(content, dict) or not isinstance(content.get("runs"), list):
        raise ValueError(f"{path} is not a table.json of `compare` or `study`: name one that they wrote.")
    return content


def _method(content: dict[str, Any]) -> str:
    return f"{_scores(content['runs'])} ({study.made(content)})"


def _study(content: dict[str, Any]) -> str:
    """The row of the team's final choice, never one chosen by these scores; the study's table has all of them."""
    own = study.find(content["method"], content["study"]).own
    rows = [row for row in content["runs"] if row["variant"] == own]
    return f"{own}: {_scores(rows) or 'not run yet'} ({study.made(content)})"


def _by(rows: Sequence[dict[str, Any]], key: str) -> list[tuple[str, list[dict[str, Any]]]]:
    return [(name, [row for row in rows if row[key] == name]) for name in dict.fromkeys(r[key] for r in rows)]


def _scores(rows: Sequence[dict[str, Any]]) -> str:
    values = {split: [100 * row["f1"] for row in rows if row["split"] == split] for split in SPLITS}
    return ", ".join(f"{split} {mean_and_spread(v, 1)}" for split, v in values.items() if v)
