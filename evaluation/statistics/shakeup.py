"""What changed from one phase to the next.

Two phases have different patches, so every score moves. What a team lost or gained beyond the common shift is
its change minus the change of a fixed baseline that was scored in both.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from evaluation.statistics.intervals import paired_errors
from evaluation.statistics.ranks import competition_ranks, kendall_tau
from evaluation.statistics.table import CountTable


@dataclass(frozen=True)
class Change:
    """A team's F1 (0..1) and rank before and after. `relative` is its change minus the baseline's, with the
    standard error of that: both phases' paired errors against the baseline, independent of each other."""

    team: str
    before: float
    after: float
    rank_before: int
    rank_after: int
    relative: float | None
    se: float | None


def shake_up(
    before: CountTable, after: CountTable, baseline: str | None = None
) -> tuple[list[Change], float]:
    """Changes of the teams that are in both tables, in the order of `after`, and Kendall's tau of their scores.

    The baseline, when named, must be in both tables; it does not compete and has no rank.
    """
    for name, table in (("earlier", before), ("later", after)):
        if baseline is not None and baseline not in table.teams:
            raise ValueError(f"the baseline {baseline!r} has no counts in the {name} phase")
    teams = [team for team in after.teams if team in before.teams and team != baseline]
    names = teams if baseline is None else [*teams, baseline]
    first = before.take([before.teams.index(name) for name in names])
    second = after.take([after.teams.index(name) for name in names])
    f1_first, f1_second = first.f1(), second.f1()
    competitors = slice(0, len(teams))
    ranks_first = competition_ranks(f1_first[competitors])
    ranks_second = competition_ranks(f1_second[competitors])
    if baseline is not None:
        relative = (f1_second - f1_second[-1]) - (f1_first - f1_first[-1])
        se = np.hypot(paired_errors(first)[-1], paired_errors(second)[-1])
    changes = [
        Change(
            team,
            float(f1_first[k]),
            float(f1_second[k]),
            int(ranks_first[k]),
            int(ranks_second[k]),
            None if baseline is None else float(relative[k]),
            None if baseline is None else float(se[k]),
        )
        for k, team in enumerate(teams)
    ]
    return changes, kendall_tau(f1_first[competitors], f1_second[competitors])
