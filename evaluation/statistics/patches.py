"""Single patches: where everybody fails, and what the best team on each patch would reach."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from evaluation.statistics.table import CountTable, Ints


@dataclass(frozen=True)
class HardPatch:
    """f1: pooled over the compared teams; label_pixels: its size; missed_by: share of those teams with TP = 0."""

    patch: str
    f1: float
    label_pixels: int
    missed_by: float


def hardest_patches(table: CountTable, top: int = 10, limit: int = 20) -> list[HardPatch]:
    """Patches with label pixels on which the best `top` teams together score lowest; larger patches first among equals.

    Patches without label pixels score 0 as soon as anyone predicts there: see `false_alarm_share` for those.
    """
    best = table.take(np.argsort(-table.f1(), kind="stable")[:top])
    size = best.denominator.sum(0)
    f1 = np.divide(best.numerator.sum(0), size, out=np.zeros(len(size)), where=size > 0)
    missed = (best.tp == 0).mean(0)
    order = np.lexsort((-best.positives, f1))
    chosen = [i for i in order if best.positives[i] > 0][:limit]
    return [
        HardPatch(table.patches[i], float(f1[i]), int(best.positives[i]), float(missed[i])) for i in chosen
    ]


def false_alarm_share(table: CountTable) -> list[float] | None:
    """Share of the patches without label pixels on which each team predicts any, (T,); None without such."""
    empty = table.positives == 0
    return (table.fp[:, empty] > 0).mean(1).tolist() if empty.any() else None


def best_team_per_patch(table: CountTable) -> tuple[float, Ints]:
    """The highest pooled F1 that choosing one of the teams for each patch can reach, and the choice, int64 (n,).

    Maximises a ratio of sums by Dinkelbach's steps in whole numbers: with F = a / b take on each patch the team
    with the largest A b - a B, until F no longer grows. Equal teams: the first.
    """
    top, bottom = table.numerator, table.denominator
    row = int(table.f1().argmax())
    each = np.arange(len(table.patches))
    choice = np.full(len(each), row)
    a, b = int(top[row].sum()), int(bottom[row].sum())
    while True:
        better = (top * b - a * bottom).argmax(0)
        new_a, new_b = int(top[better, each].sum()), int(bottom[better, each].sum())
        if new_b == 0 or new_a * b <= a * new_b:
            return a / b, choice
        a, b, choice = new_a, new_b, better
