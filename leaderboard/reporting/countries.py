"""Countries and regions: their shapes on a map of the world, and their names.

The shapes are those of Natural Earth (world.json, world.LICENSE.txt); what is too small for them is a dot.
"""

import json
from functools import cache
from pathlib import Path

from leaderboard.models.countries import NAMES


@cache
def shapes() -> dict[str, str]:
    """The outline of each country or region as an SVG path; keys that begin with ~ are land without a code."""
    shapes: dict[str, str] = json.loads(Path(__file__).with_name("world.json").read_text())
    return shapes


def name_of(code: str) -> str:
    """The name of the country or region; the code itself if unknown."""
    return NAMES.get(code, code)
