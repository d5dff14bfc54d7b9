"""The report that an organiser publishes of a phase, as plain data: what a page, a CSV or a JSON file shows.

`build` needs the counts of each team's counted submission; every other input adds sections, and a section without
its input is None. Scores, intervals and differences are in percent (points), p values, shares and Jaccard indices in
0..1; teams are in the order of the board everywhere. The same input gives the same report.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt

from evaluation.report import detectors
from evaluation.report.agreement import Agreement, agreement, majority_vote, pixel_oracle
from evaluation.report.boundary import boundary_counts
from evaluation.report.objects import SIZES, object_counts
from evaluation.scoring.counts import Packed, count
from evaluation.scoring.metrics import f1, f1_exact, iou, mcc, percent, precision, recall
from evaluation.scoring.ranking import Entry, rank, shown_percents
from evaluation.statistics import history
from evaluation.statistics.bootstrap import rank_frequencies, resampled_f1, selection_brackets
from evaluation.statistics.intervals import Differences, differences, score_intervals
from evaluation.statistics.patches import best_team_per_patch, false_alarm_share, hardest_patches
from evaluation.statistics.permutation import permutation_p
from evaluation.statistics.ranks import RankRanges, rank_ranges
from evaluation.statistics.seeds import generator
from evaluation.statistics.shakeup import shake_up
from evaluation.statistics.sites import ranks_without_each_site, site_f1
from evaluation.statistics.table import CountTable
from evaluation.task import MaskSpec

LEVEL = 0.95
PODIUM = 3
TOLERANCES = (1, 2)  # pixels, of the boundary F1
FEW_SITES = 5
"""With fewer sites than this a site interval says little: patches are the unit, and the report says so."""

Section = dict[str, Any]


@dataclass(frozen=True, eq=False)
class Masks:
    """Packed masks of the board's teams, by team name, and the labels they were scored against."""

    by_team: Mapping[str, Packed]
    labels: Packed
    spec: MaskSpec


@dataclass(frozen=True, eq=False)
class Submissions:
    """All of a phase's scored submissions in the order of receipt, withdrawn ones included: the table's rows, each
    row's team, and each row's SHA-256 of the masks (empty: not compared)."""

    table: CountTable
    team_of: Sequence[str]
    sha256: Sequence[str] = ()


def build(
    table: CountTable,
    phase: str,
    *,
    received: Mapping[str, datetime] | None = None,
    submissions: Submissions | None = None,
    baseline: CountTable | None = None,
    earlier: CountTable | None = None,
    log: Sequence[history.Scored] = (),
    masks: Masks | None = None,
    replicates: int = 10_000,
) -> Section:
    """Everything the report shows, as JSON-serialisable data.

    table: one row for each ranked team. phase: its id, part of the seed. received: when each team's counted
    submission came, for the order inside a tie. baseline: one row, the organiser's baseline on the same patches.
    earlier: the previous phase's counts; changes are relative to the baseline if it has a row of its name there.
    """
    table, places = _in_board_order(table, received or {})
    if masks and (without := [team for team in table.teams if team not in masks.by_team]):
        raise ValueError(f"no masks are given for {', '.join(without)}: give those of every team, or none")
    snapshot = table.digest()

    def rng(purpose: str) -> np.random.Generator:
        return generator(phase, snapshot, purpose)

    units = sampling_units(table)
    by_sites = units is not table
    pairs = differences(units, LEVEL)
    ranges = rank_ranges(table.f1(), pairs.p, 1 - LEVEL)
    alike = agreement([masks.by_team[team] for team in table.teams], masks.labels) if masks else None
    return {
        "phase": phase,
        "data": _data(table, snapshot),
        "method": {
            "level": LEVEL,
            "unit": "site" if by_sites else "patch",
            "few_sites": table.site is not None and not by_sites,
            "replicates": replicates,
            "seed": "SHA-256 of the phase's id, the data's SHA-256 and the section's name, one on each line",
        },
        "board": _board(table, places, units, ranges, submissions, masks),
        "pairs": _pairs(table, pairs, ranges),
        "podium": _podium(units, pairs, rng("podium"), replicates),
        "blob": _blob(table, rng("blob"), replicates),
        "sites": _sites(table),
        "hardest": [asdict(patch) | {"f1": _points(patch.f1)} for patch in hardest_patches(table)],
        "patch_oracle": _patch_oracle(table),
        "selection": submissions and _selection(submissions, table.teams, rng("selection"), replicates),
        "shake_up": earlier and _shake_up(earlier, table, baseline),
        "history": _history(log) if log else None,
        "copies": _copies(table, submissions, alike),
        "probing": submissions and _probing(submissions, baseline),
        "masks": _from_masks(table.teams, masks, alike) if masks and alike else None,
    }


def sampling_units(table: CountTable) -> CountTable:
    """The table by which intervals are computed: summed by site if there are enough sites, otherwise itself."""
    many = table.site is not None and len(set(table.site)) >= FEW_SITES
    return table.by_site() if many else table


def _in_board_order(
    table: CountTable, received: Mapping[str, datetime]
) -> tuple[CountTable, list[tuple[int, Fraction]]]:
    """The table in the order of the board, and the rank and exact F1 of each row."""
    unknown = datetime.max.replace(tzinfo=UTC)
    totals = zip(table.teams, *(part.sum(1).tolist() for part in (table.tp, table.fp, table.fn)), strict=True)
    board = rank(Entry(team, f1_exact(*counts), received.get(team, unknown)) for team, *counts in totals)
    places = [(row.rank, row.entry.f1) for row in board if row.rank is not None and row.entry.f1 is not None]
    return table.take([table.teams.index(row.entry.team) for row in board]), places


def _data(table: CountTable, snapshot: str) -> Section:
    return {
        "sha256": snapshot,
        "teams": len(table.teams),
        "patches": len(table.patches),
        "sites": len(set(table.site)) if table.site else None,
        "label_pixels": int(table.positives.sum()),
        "patches_without_label": int((table.positives == 0).sum()),
    }


def _board(
    table: CountTable,
    places: Sequence[tuple[int, Fraction]],
    units: CountTable,
    ranges: RankRanges,
    submissions: Submissions | None,
    masks: Masks | None,
) -> list[Section]:
    texts = shown_percents([score for _, score in places])
    intervals = score_intervals(units, LEVEL)
    alarms = false_alarm_share(table)
    scored = list(submissions.team_of) if submissions else []
    rows = []
    for k, team in enumerate(table.teams):
        tp, fp, fn = (int(part[k].sum()) for part in (table.tp, table.fp, table.fn))
        rows.append(
            {
                "rank": places[k][0],
                "team": team,
                "f1": _points(places[k][1]),
                "f1_text": texts[k],
                "se": _points(intervals.se[k]),
                "low": _points(max(intervals.low[k], 0)),
                "high": _points(min(intervals.high[k], 1)),
                "rank_low": int(ranges.low[k]),
                "rank_high": int(ranges.high[k]),
                "leader": bool(ranges.leaders[k]),
                "submissions": scored.count(team) if submissions else None,
                "precision": _points(precision(tp, fp)),
                "precision_text": percent(tp, tp + fp) if tp + fp else None,
                "recall": _points(recall(tp, fn)),
                "recall_text": percent(tp, tp + fn),
                "iou": _points(iou(tp, fp, fn)),
                "mcc": _points(mcc(tp, fp, fn, masks.spec.pixels * masks.spec.patches)) if masks else None,
                "false_alarms": alarms[k] if alarms else None,
                "tp": tp,
                "fp": fp,
                "fn": fn,
            }
        )
    return rows


def _pairs(table: CountTable, pairs: Differences, ranges: RankRanges) -> Section:
    return {
        "teams": list(table.teams),
        "difference": _matrix(pairs.delta, _points),
        "half_width": _matrix(pairs.half_width, _points),
        "p": _matrix(pairs.p, float),
        "p_holm": _matrix(ranges.p_holm, float),
        "better": ranges.better.tolist(),
    }


def _podium(
    units: CountTable, pairs: Differences, rng: np.random.Generator, permutations: int
) -> list[Section]:
    first = list(range(min(PODIUM, len(units.teams))))
    p = permutation_p(units.take(first), rng, permutations)
    return [
        {
            "first": units.teams[k],
            "second": units.teams[other],
            "difference": _points(pairs.delta[k, other]),
            "low": _points(pairs.delta[k, other] - pairs.half_width[k, other]),
            "high": _points(pairs.delta[k, other] + pairs.half_width[k, other]),
            "p_permutation": float(p[k, other]),
            "p_delta": float(pairs.p[k, other]),
        }
        for k in first
        for other in first[k + 1 :]
    ]


def _blob(table: CountTable, rng: np.random.Generator, replicates: int) -> Section:
    """How often each team (row) has each rank (column, from 1) when patches are redrawn."""
    frequency = rank_frequencies(resampled_f1(table, rng, replicates))
    below = frequency.cumsum(1)
    tail = (1 - LEVEL) / 2
    return {
        "teams": list(table.teams),
        "frequency": _matrix(frequency, float),
        "low": (1 + (below < tail).sum(1)).tolist(),
        "high": (1 + (below < 1 - tail).sum(1)).tolist(),
    }


def _sites(table: CountTable) -> Section | None:
    if table.site is None:
        return None
    sites = table.by_site()
    return {
        "names": list(sites.patches),
        "patches": [table.site.count(name) for name in sites.patches],
        "label_pixels": sites.positives.tolist(),
        "teams": list(table.teams),
        "f1": _matrix(site_f1(table), _points),
        "ranks_without": ranks_without_each_site(table).tolist() if _can_leave_one_out(sites) else None,
    }


def _can_leave_one_out(sites: CountTable) -> bool:
    return bool((sites.positives < sites.positives.sum()).all())


def _patch_oracle(table: CountTable) -> Section:
    podium = table.take(range(min(PODIUM, len(table.teams))))
    best, choice = best_team_per_patch(podium)
    return {
        "teams": list(podium.teams),
        "f1": _points(best),
        "best_single": _points(podium.f1().max()),
        "patches_of": np.bincount(choice, minlength=len(podium.teams)).tolist(),
    }


def _selection(
    submissions: Submissions, teams: Sequence[str], rng: np.random.Generator, replicates: int
) -> list[Section]:
    brackets = selection_brackets(submissions.table, submissions.team_of, rng, replicates)
    return [
        {
            "team": team,
            "submissions": brackets[team].submissions,
            "reported": _points(brackets[team].reported),
            "optimistic": _points(brackets[team].optimistic),
            "pessimistic": _points(brackets[team].pessimistic),
        }
        for team in teams
        if team in brackets and brackets[team].submissions > 1
    ]


def _shake_up(earlier: CountTable, table: CountTable, baseline: CountTable | None) -> Section:
    if baseline is not None and baseline.teams[0] not in earlier.teams:
        baseline = None
    later = table if baseline is None else table.joined(baseline)
    name = None if baseline is None else baseline.teams[0]
    changes, tau = shake_up(earlier, later, name)
    return {
        "baseline": name,
        "tau": None if math.isnan(tau) else tau,
        "teams": [
            asdict(change)
            | {key: _points(getattr(change, key)) for key in ("before", "after", "relative", "se")}
            for change in changes
        ],
    }


def _history(log: Sequence[history.Scored]) -> Section:
    def steps(entries: Sequence[history.Scored]) -> list[Section]:
        return [
            {"at": entry.at.astimezone(UTC).isoformat(), "team": entry.team, "f1": _points(entry.f1)}
            for entry in entries
        ]

    return {
        "best": steps(history.best_so_far(log)),
        "by_team": {team: steps(entries) for team, entries in history.best_so_far_by_team(log).items()},
        "per_day": [[day.isoformat(), number] for day, number in history.per_day(e.at for e in log)],
        "per_hour": history.per_hour(e.at for e in log),
    }


def _copies(table: CountTable, submissions: Submissions | None, alike: Agreement | None) -> Section:
    found: Section = {
        "same_masks": None,
        "by_counts": [asdict(review) for review in detectors.copies_by_counts(table)],
        "by_errors": None,
    }
    if submissions and submissions.sha256:
        pairs = zip(submissions.team_of, submissions.sha256, strict=True)
        handed_in = ((team, digest, number) for number, (team, digest) in enumerate(pairs))
        groups = {tuple(sorted(teams)) for teams in detectors.same_masks(handed_in)}
        found["same_masks"] = [list(group) for group in sorted(groups)]
    if alike:
        reviews = detectors.copies_by_errors(table.teams, alike.errors)
        found["by_errors"] = [asdict(review) for review in reviews]
    return found


def _probing(submissions: Submissions, baseline: CountTable | None) -> list[Section]:
    score = None if baseline is None else float(baseline.f1()[0])
    return [asdict(review) for review in detectors.probing(submissions.table, submissions.team_of, score)]


def _from_masks(teams: Sequence[str], masks: Masks, alike: Agreement) -> Section:
    ordered = [masks.by_team[team] for team in teams]

    def scored(prediction: Packed) -> float | None:
        return _points(f1(*count(prediction, masks.labels).total))

    by_tolerance = {
        tolerance: boundary_counts(ordered, masks.labels, masks.spec, tolerance) for tolerance in TOLERANCES
    }
    votes = [size for size in (3, 5) if size <= len(teams)]
    return {
        "teams": list(teams),
        "jaccard": _matrix(alike.masks, float),
        "error_jaccard": _matrix(alike.errors, float),
        "votes": [{"top": top, "f1": scored(majority_vote(ordered[:top]))} for top in votes],
        "pixel_oracle": {
            "top": min(PODIUM, len(teams)),
            "f1": scored(pixel_oracle(ordered[:PODIUM], masks.labels)),
        },
        "boundary_f1": [
            {f"within_{tolerance}": _points(counts[k].f1) for tolerance, counts in by_tolerance.items()}
            for k in range(len(teams))
        ],
        "object_sizes": list(SIZES),
        "objects": [asdict(counts) for counts in object_counts(ordered, masks.labels, masks.spec)],
    }


def _points(share: float | Fraction | None) -> float | None:
    """A score or difference in percentage points, unrounded; None for none and for nan."""
    return None if share is None or math.isnan(share) else 100 * float(share)


def _matrix(
    values: npt.NDArray[np.float64], cell: Callable[[float], float | None]
) -> list[list[float | None]]:
    return [[cell(float(value)) for value in row] for row in values]
