"""A phase's report: the snapshot of the database that ``evaluation.report`` is given, and the task that builds it.

Building takes seconds of a processor, so it never happens in a request. The row is the queue: a bell may be lost, the
beat rings again; and it stands back while fresh submissions wait.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import structlog
from celery import shared_task
from django.db import transaction
from django.db.models import F
from django.utils import timezone

from evaluation import labels, report
from evaluation.counts import Counts
from evaluation.metrics import f1_exact
from evaluation.pictures import patch_pictures, read_png
from evaluation.spec import MaskSpec
from evaluation.statistics.history import Scored
from evaluation.statistics.table import CountTable
from leaderboard.models import (
    Evaluation,
    LabelSet,
    PatchPicture,
    Phase,
    PhaseReport,
    Prediction,
    QuickLook,
    Standing,
    Submission,
    Team,
)
from leaderboard.models.reports import TRIES
from leaderboard.models.visibility import View, gallery_is_public

log = structlog.get_logger(__name__)

Pictures = dict[int, dict[str, bytes]]
"""PNG files by the number of the patch and the kind of picture."""

IN_GALLERY = 12  # patches
TEAMS_IN_PICTURES = 10  # those by which `evaluation.statistics.patches` calls a patch hard
SECRET_SECTIONS = ("copies", "probing")
SECTIONS_AFTER_THE_END = ("sites", "hardest", "patch_oracle", "masks")
HIDDEN_WITH = {
    "precision": ("precision", "precision_text", "mcc", "tp", "fp"),
    "recall": ("recall", "recall_text", "mcc", "fn"),
}


class NothingToReport(Exception):
    """There is no board of which a report could tell."""


@shared_task(name="leaderboard.reports.work")
def work() -> str:
    """Build the report that has waited longest, unless fresh submissions wait."""
    fresh = Evaluation.objects.queued().filter(priority=Evaluation.Priority.FRESH)
    if fresh.exists():
        return "submissions first"
    now = timezone.now()
    row = PhaseReport.objects.waiting(now).first()
    if row is None:
        return "nothing waits"
    claimed = PhaseReport.objects.waiting(now).filter(pk=row.pk, tries=row.tries)
    if not claimed.update(started_at=now, tries=F("tries") + 1):
        return "lost"
    row.refresh_from_db()
    return fill(row)


def ring() -> None:
    """Tell a worker that a report is waited for. Never fails: the beat rings again."""
    try:
        work.apply_async(retry=False, ignore_result=True)
    except Exception as error:
        log.warning("the broker cannot be reached; the beat will ring", error=type(error).__name__)


def fill(row: PhaseReport) -> str:
    """Build a claimed report and store it; returns the row's state."""
    pictures: Pictures = {}
    try:
        phase = Phase.objects.select_related("competition", "labels").get(pk=row.phase_id)
        content, pictures = build_with_pictures(phase, as_of=row.as_of)
    except NothingToReport as nothing:
        row.error = str(nothing)
    except Exception as error:
        log.exception("a report could not be built", report=row.pk)
        row.started_at = None
        row.error = f"{type(error).__name__}; see the workers' log" if row.tries >= TRIES else ""
    else:
        row.label_set, row.content, row.snapshot = phase.labels, content, content["data"]["sha256"]
        row.built_at = timezone.now()
    with transaction.atomic():
        row.pictures.all().delete()
        PatchPicture.objects.bulk_create(
            PatchPicture(report=row, patch=patch, kind=kind, png=png)
            for patch, kinds in pictures.items()
            for kind, png in kinds.items()
        )
        row.save(update_fields=["label_set", "content", "snapshot", "built_at", "started_at", "error"])
    return row.state


def build(phase: Phase, replicates: int = 10_000, as_of: datetime | None = None) -> dict[str, Any]:
    """The report of a phase as it stands now. Raises NothingToReport where no team is ranked.

    ``as_of``: as if nothing had been received from then on; what was withdrawn or disqualified since stays so.
    """
    return build_with_pictures(phase, replicates, as_of)[0]


def build_with_pictures(
    phase: Phase, replicates: int = 10_000, as_of: datetime | None = None
) -> tuple[dict[str, Any], Pictures]:
    """``build``, and PNG files of the hardest patches by number and kind."""
    if phase.labels is None:
        raise NothingToReport(f"{phase.name} has no labels yet.")
    board = _board(phase, as_of)
    if not board:
        until = f" before {as_of:%d %B %Y, %H:%M} UTC" if as_of else " yet"
        raise NothingToReport(f"No team is ranked in {phase.name}{until}.")
    made = list(_made(phase, as_of))
    teams = {submission.team.name for submission in board}
    before = _earlier(phase)
    masks = _masks(phase.labels, board)
    content = report.build(
        _table([(submission.team.name, submission) for submission in board], phase.labels.sites),
        f"{phase.competition.slug}/{phase.slug}",
        received={submission.team.name: submission.received_at for submission in board},
        submissions=_submissions(made),
        baseline=_baseline(phase, as_of),
        earlier=_with_baseline(before, teams) if before else None,
        log=_log(phase, as_of),
        masks=masks if masks and len(masks.by_team) == len(board) else None,
        replicates=replicates,
    )
    pictures = _gallery(phase, masks, board, content)
    return {**content, "provenance": _provenance(phase, board, before, as_of)}, pictures


@dataclass(frozen=True)
class Audience:
    """Who reads a report: ``view`` of the phase; whether it has ended, or its labels are public anyway; the same of the
    phase before; whether pictures of patches are for them."""

    view: View
    phase_is_over: bool
    earlier_is_over: bool
    sees_gallery: bool


def audience_of(phase: Phase, earlier: Phase | None, view: View, now: datetime) -> Audience:
    return Audience(
        view,
        phase.has_closed(now) or phase.labels_are_public(now),
        earlier is not None and earlier.has_closed(now),
        view.shows("counts") or gallery_is_public(phase, now),
    )


def shown(content: dict[str, Any], audience: Audience) -> dict[str, Any]:
    """What an audience may read of a report: organisers all of it; others no metric that the phase hides, and while the
    phase runs nothing of single patches, sites and objects."""
    view = audience.view
    if view.shows("counts"):
        return content
    hidden = {field for metric, fields in HIDDEN_WITH.items() if not view.shows(metric) for field in fields}
    hidden |= {"tp", "fp", "fn"}
    public = {name: section for name, section in content.items() if name not in SECRET_SECTIONS}
    public["board"] = [{key: row[key] for key in row if key not in hidden} for row in content["board"]]
    if not audience.earlier_is_over:
        public["shake_up"] = None
    if not audience.phase_is_over:
        public |= dict.fromkeys(SECTIONS_AFTER_THE_END)
        public |= _coarse(public)
    return public


def _coarse(content: dict[str, Any]) -> dict[str, Any]:
    """Board and pairs of a running phase: intervals to one decimal, p to two, nothing of the patches without labels."""
    pairs = content["pairs"]
    return {
        "board": [_rounded(row, se=1, low=1, high=1) | {"false_alarms": None} for row in content["board"]],
        "podium": [_rounded(row, low=1, high=1, p_permutation=2, p_delta=2) for row in content["podium"]],
        "pairs": pairs
        | {
            key: [[round(value, digits) for value in row] for row in pairs[key]]
            for key, digits in (("half_width", 1), ("p", 2), ("p_holm", 2))
        },
    }


def _rounded(row: dict[str, Any], **digits: int) -> dict[str, Any]:
    return row | {key: round(row[key], number) for key, number in digits.items()}


def _board(phase: Phase, as_of: datetime | None) -> list[Submission]:
    """The submission that counts for each ranked team, in the order of the board."""
    if as_of is None:
        standings = Standing.objects.board(phase, Standing.Kind.EXACT)
        return [
            standing.submission
            for standing in standings.select_related("submission__evaluation", "submission__team")
        ]
    teams = Team.objects.filter(submissions__phase=phase, is_organisers=False, merged_into=None).distinct()
    counted = [
        Submission.objects.counted(phase, team, as_of).select_related("evaluation", "team").first()
        for team in teams
    ]
    return sorted(
        (submission for submission in counted if submission),
        key=lambda submission: (-_rank_key(submission), submission.received_at, submission.team_id),
    )


def _rank_key(submission: Submission) -> int:
    assert submission.evaluation is not None, "a counted submission is scored"
    return submission.evaluation.rank_key or 0


def _made(phase: Phase, as_of: datetime | None) -> Iterable[Submission]:
    """Everything that teams had scored on the labels in force, withdrawn or not, in the order of receipt."""
    assert phase.labels is not None
    return (
        Submission.objects.filter(phase=phase, reference=False, team__is_organisers=False)
        .evaluated_on(phase.labels)
        .received_before(as_of)
        .select_related("team", "evaluation")
        .defer("description")
        .order_by("received_at", "pk")
    )


def _table(rows: Sequence[tuple[str, Submission]], sites: Sequence[str] | None = None) -> CountTable:
    """Counts per patch, a row for each submission under the name given; patches are named by their numbers."""
    counts = []
    for _, submission in rows:
        assert submission.evaluation is not None, "a submission of the board is scored"
        counts.append(Counts.from_bytes(bytes(submission.evaluation.patch_counts or b"")))
    names = tuple(str(number) for number in range(1, len(counts[0]) + 1))
    tp, fp, fn = (np.stack([getattr(row, kind) for row in counts]) for kind in ("tp", "fp", "fn"))
    return CountTable(
        tuple(name for name, _ in rows), names, tp, fp, fn, site=tuple(sites) if sites else None
    )


def _submissions(made: Sequence[Submission]) -> report.Submissions:
    digests = dict(
        Prediction.objects.filter(submission__in=[submission.pk for submission in made]).values_list(
            "submission", "sha256"
        )
    )
    return report.Submissions(
        _table([(str(submission.pk), submission) for submission in made]),
        [submission.team.name for submission in made],
        [digests.get(submission.pk, "") for submission in made],
    )


def _log(phase: Phase, as_of: datetime | None) -> list[Scored]:
    seen = Submission.objects.seen_over_time(phase).received_before(as_of).order_by("received_at", "pk")
    rows = seen.values_list("team__name", "received_at", "evaluation__tp", "evaluation__fp", "evaluation__fn")
    return [Scored(team, at, f1_exact(tp or 0, fp or 0, fn or 0)) for team, at, tp, fp, fn in rows]


def _baseline(phase: Phase, as_of: datetime | None = None) -> CountTable | None:
    """The organisers' baseline: of the reference entries that stand the first that calls itself one, or the first."""
    assert phase.labels is not None
    entries = list(
        Submission.objects.filter(phase=phase, reference=True)
        .scored_on(phase.labels)
        .received_before(as_of)
        .select_related("evaluation")
        .order_by("received_at", "pk")
    )
    named = [entry for entry in entries if "baseline" in entry.method.casefold()]
    chosen = (named or entries)[:1]
    return _table([(f"{chosen[0].method} (reference)", chosen[0])]) if chosen else None


def _earlier(phase: Phase) -> Phase | None:
    """The phase of the competition that ran before this one, if it has labels."""
    return (
        phase.competition.phases.filter(opens_at__lt=phase.opens_at)
        .exclude(labels=None)
        .select_related("labels", "competition")
        .defer("labels__masks")
        .order_by("opens_at", "position")
        .last()
    )


def _with_baseline(earlier: Phase, teams: set[str]) -> CountTable | None:
    """Counts of the earlier phase's board and its baseline; None where none of the teams was there."""
    standings = Standing.objects.board(earlier, Standing.Kind.EXACT).select_related("submission__evaluation")
    rows = [(standing.team.name, standing.submission) for standing in standings]
    if not teams.intersection(name for name, _ in rows):
        return None
    table, baseline = _table(rows), _baseline(earlier)
    return table if baseline is None else table.joined(baseline)


def _masks(label_set: LabelSet, board: Sequence[Submission]) -> report.Masks | None:
    """The masks of the board's teams, of those whose masks are kept; None without the labels' own."""
    if not label_set.masks:
        return None
    spec = MaskSpec(label_set.patches, label_set.height, label_set.width)
    kept = dict(
        Prediction.objects.filter(submission__in=[submission.pk for submission in board]).values_list(
            "submission", "masks"
        )
    )
    return report.Masks(
        {
            submission.team.name: labels.decompress(bytes(kept[submission.pk]), spec)
            for submission in board
            if submission.pk in kept
        },
        labels.decompress(bytes(label_set.masks), spec),
        spec,
    )


def _gallery(
    phase: Phase, masks: report.Masks | None, board: Sequence[Submission], content: dict[str, Any]
) -> Pictures:
    """Pictures of the hardest patches; none unless the masks of all teams that they tell of are kept."""
    best = [submission.team.name for submission in board[:TEAMS_IN_PICTURES]]
    if masks is None or any(team not in masks.by_team for team in best):
        return {}
    patches = [int(row["patch"]) for row in content["hardest"][:IN_GALLERY]]
    images = dict(QuickLook.objects.filter(phase=phase, patch__in=patches).values_list("patch", "png"))
    return {
        patch: patch_pictures(
            patch - 1,
            [masks.by_team[team] for team in best],
            masks.labels,
            masks.spec,
            read_png(bytes(images[patch])) if patch in images else None,
        )
        for patch in patches
    }


def _provenance(
    phase: Phase, board: Sequence[Submission], earlier: Phase | None, as_of: datetime | None
) -> dict[str, Any]:
    label_set = phase.labels
    assert label_set is not None
    versions = {submission.evaluation.scorer for submission in board if submission.evaluation}
    return {
        "competition": phase.competition.name,
        "phase": phase.name,
        "data_note": phase.competition.data_note,
        "labels_version": label_set.version,
        "labels_commitment": label_set.commitment,
        "scorers": sorted(versions),
        "taken_at": _iso(timezone.now()),
        "as_of": as_of and _iso(as_of),
        "opens_at": _iso(phase.opens_at),
        "closes_at": phase.closes_at and _iso(phase.closes_at),
        "earlier": earlier and {"slug": earlier.slug, "name": earlier.name},
    }


def _iso(moment: datetime) -> str:
    return moment.isoformat(timespec="seconds")
