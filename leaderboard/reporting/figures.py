"""The charts and derived rows of a report, from its data only; sections without data have no chart."""

from collections.abc import Iterable
from datetime import datetime
from itertools import combinations, pairwise
from typing import Any

from django.utils.safestring import SafeString, mark_safe

from leaderboard.reporting import charts

CURVES = 5
CLOSEST = 15
NORMAL_95 = 1.96
SITES_ABREAST = 8
KINDS = ("image", "vote", "share")

Content = dict[str, Any]


def figures(content: Content) -> dict[str, SafeString]:
    """The SVG of each chart by name. ``leaderboard.reporting.charts`` escapes all text."""
    drawn = {
        "intervals": charts.dot_and_whisker(
            "F1 of each team with its 95 % interval",
            [
                charts.Interval(row["team"], row["f1"], row["low"], row["high"], row["leader"])
                for row in content["board"]
            ],
            "F1 in %",
        ),
        "blob": charts.blob_plot(
            "Ranks when the patches are resampled",
            content["blob"]["teams"],
            content["blob"]["frequency"],
            [(row["rank_low"], row["rank_high"]) for row in content["board"]],
        ),
        "holm": charts.heat_matrix(
            "Holm's test over all pairs: darker means smaller p",
            content["pairs"]["teams"],
            _certainty(content["pairs"]["p_holm"]),
            show=lambda certainty: f"{1 - certainty:.3f}",
        ),
    }
    if content["shake_up"] and content["shake_up"]["baseline"]:
        drawn["shake_up"] = _shake_up(content["shake_up"])
    if content["history"]:
        drawn |= _history(content["history"])
    if content["masks"]:
        for kind, title in (("jaccard", "masks"), ("error_jaccard", "errors")):
            drawn[kind] = charts.heat_matrix(
                f"Similarity of the teams' {title} (Jaccard index)",
                content["masks"]["teams"],
                content["masks"][kind],
            )
    return {name: mark_safe(svg) for name, svg in drawn.items()}  # noqa: S308


def gallery(content: Content, pictures: Iterable[tuple[int, str]]) -> list[Content]:
    """The hardest patches that have pictures, each with the kinds of its pictures."""
    kinds: dict[str, list[str]] = {}
    for patch, kind in sorted(pictures, key=lambda picture: KINDS.index(picture[1])):
        kinds.setdefault(str(patch), []).append(kind)
    return [row | {"kinds": kinds[row["patch"]]} for row in content["hardest"] or () if row["patch"] in kinds]


def closest_pairs(masks: Content) -> list[Content]:
    """The pairs of teams with the most similar errors, most similar first."""
    teams = masks["teams"]
    pairs = [
        {
            "first": teams[k],
            "second": teams[m],
            "masks": masks["jaccard"][k][m],
            "errors": masks["error_jaccard"][k][m],
        }
        for k, m in combinations(range(len(teams)), 2)
    ]
    return sorted(pairs, key=lambda pair: -pair["errors"])[:CLOSEST]


def object_rows(masks: Content) -> list[Content]:
    """For each team: boundary F1, the share of objects found in each size class, the share of its objects that are real."""
    return [
        {
            "team": team,
            "within_1": boundary["within_1"],
            "within_2": boundary["within_2"],
            "recall": [_share(*pair) for pair in zip(objects["found"], objects["labelled"], strict=True)],
            "precision": _share(sum(objects["right"]), sum(objects["predicted"])),
        }
        for team, boundary, objects in zip(
            masks["teams"], masks["boundary_f1"], masks["objects"], strict=True
        )
    ]


def site_tables(sites: Content) -> list[Content]:
    """Tables of a few sites each, so that they fit on paper: each team's F1 at each site and its rank without the site
    (None if undefined)."""
    ranks = sites["ranks_without"] or [[None] * len(sites["names"])] * len(sites["teams"])
    return [
        {
            "names": sites["names"][start : start + SITES_ABREAST],
            "rows": [
                {
                    "team": team,
                    "cells": list(zip(scores, without, strict=True))[start : start + SITES_ABREAST],
                }
                for team, scores, without in zip(sites["teams"], sites["f1"], ranks, strict=True)
            ],
        }
        for start in range(0, len(sites["names"]), SITES_ABREAST)
    ]


def size_classes(masks: Content) -> list[str]:
    """Labels of the object size classes: "1 to 9", ..., "400 and more" pixels."""
    starts = masks["object_sizes"]
    return [f"{a} to {b - 1}" for a, b in pairwise(starts)] + [f"{starts[-1]} and more"]


def _share(part: int, whole: int) -> float | None:
    return 100 * part / whole if whole else None


def _certainty(p: list[list[float]]) -> list[list[float | None]]:
    return [[None if k == m else 1 - value for m, value in enumerate(row)] for k, row in enumerate(p)]


def _shake_up(shake_up: Content) -> str:
    rows = []
    for team in shake_up["teams"]:
        half = NORMAL_95 * (team["se"] or 0)
        rows.append(
            charts.Interval(team["team"], team["relative"], team["relative"] - half, team["relative"] + half)
        )
    return charts.dot_and_whisker(
        f"Change of F1 since the earlier phase, minus that of {shake_up['baseline']}",
        rows,
        "points",
        reference=0,
    )


def _history(history: Content) -> dict[str, str]:
    leaders = sorted(history["by_team"], key=lambda team: -history["by_team"][team][-1]["f1"])[:CURVES]
    curves = {"best of all": history["best"]} | {team: history["by_team"][team] for team in leaders}
    return {
        "curves": charts.line_chart(
            "Best F1 so far",
            {
                name: [(datetime.fromisoformat(step["at"]), step["f1"]) for step in steps]
                for name, steps in curves.items()
            },
            "F1 in %",
            steps=True,
        ),
        "per_day": charts.bar_chart(
            "Scored submissions by day of receipt (UTC)",
            [(day, number) for day, number in history["per_day"]],
            "submissions",
        ),
    }
