"""An act: something done at a point in the calendar."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any


@dataclass(frozen=True)
class Act:
    """``order`` decides between acts at the same time: lower first."""

    moment: datetime
    do: Callable[[], Any]
    name: str
    order: int = 0


def at(moment: datetime, do: Callable[..., Any], *arguments: Any, order: int = 0, **named: Any) -> Act:
    """Schedule an act."""
    return Act(moment, lambda: do(*arguments, **named), do.__name__.replace("_", " "), order)
