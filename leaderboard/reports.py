"""A phase's report: the snapshot of the database that ``evaluation.report`` is given, and the task that builds it.

Building takes seconds of a processor, so it never happens in a request. The row is the queue: a bell may be lost, the
beat rings again; and it stands back while fresh submissions wait.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

import numpy as np
import structlog
from celery import shared_task
from django.db.models import F
from django.utils import timezone

from evaluation import labels, report
from evaluation.counts import Counts
from evaluation.metrics import f1_exact
from evaluation.spec import MaskSpec
from evaluation.statistics.history import Scored
from evaluation.statistics.table import CountTable
from leaderboard.models import Evaluation, Phase, PhaseReport, Prediction, Standing, Submission
from leaderboard.models.reports import TRIES
from leaderboard.models.visibility import View

log = structlog.get_logger(__name__)

SECRET_SECTIONS = ("copies", "probing")
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


def fill(row: PhaseReport, sites: Sequence[str] | None = None) -> str:
    """Build a claimed report and store it; returns the row's state. ``sites``: see ``build``."""
    try:
        phase = Phase.objects.select_related("competition", "labels").get(pk=row.phase_id)
        content = build(phase, sites=sites)
    except NothingToReport as nothing:
        row.error = str(nothing)
    except Exception as error:
        log.exception("a report could not be built", report=row.pk)
        row.started_at = None
        row.error = f"{type(error).__name__}; see the workers' log" if row.tries >= TRIES else ""
    else:
        row.label_set, row.content, row.snapshot = phase.labels, content, content["data"]["sha256"]
        row.built_at = timezone.now()
    row.save(update_fields=["label_set", "content", "snapshot", "built_at", "started_at", "error"])
    return row.state


def build(phase: Phase, replicates: int = 10_000, sites: Sequence[str] | None = None) -> dict[str, Any]:
    """The report of a phase as it stands now. Raises NothingToReport where no team is ranked.

    ``sites`` names the site of each patch, in their order: then intervals and tests are by site.
    """
    if phase.labels is None:
        raise NothingToReport(f"{phase.name} has no labels yet.")
    standings = list(
        Standing.objects.board(phase, Standing.Kind.EXACT).select_related("submission__evaluation")
    )
    if not standings:
        raise NothingToReport(f"No team is ranked in {phase.name} yet.")
    made = list(_made(phase))
    before = _earlier(phase)
    content = report.build(
        _table([(standing.team.name, standing.submission) for standing in standings], sites),
        f"{phase.competition.slug}/{phase.slug}",
        received={standing.team.name: standing.achieved_at for standing in standings},
        submissions=_submissions(made),
        baseline=_baseline(phase),
        earlier=_with_baseline(before, {standing.team.name for standing in standings}) if before else None,
        log=_log(phase),
        masks=_masks(phase, standings),
        replicates=replicates,
    )
    return {**content, "provenance": _provenance(phase, standings, before)}


def shown(content: dict[str, Any], view: View, earlier_has_closed: bool) -> dict[str, Any]:
    """What ``view`` lets through of a report: organisers read all of it; others no metric that the phase hides."""
    if view.shows("counts"):
        return content
    hidden = {field for metric, fields in HIDDEN_WITH.items() if not view.shows(metric) for field in fields}
    hidden |= {"tp", "fp", "fn"}
    public = {name: section for name, section in content.items() if name not in SECRET_SECTIONS}
    public["board"] = [{key: row[key] for key in row if key not in hidden} for row in content["board"]]
    if not earlier_has_closed:
        public["shake_up"] = None
    return public


def _made(phase: Phase) -> Iterable[Submission]:
    """Everything that teams had scored on the labels in force, withdrawn or not, in the order of receipt."""
    assert phase.labels is not None
    return (
        Submission.objects.filter(phase=phase, reference=False, team__is_organisers=False)
        .evaluated_on(phase.labels)
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


def _log(phase: Phase) -> list[Scored]:
    seen = Submission.objects.seen_over_time(phase).order_by("received_at", "pk")
    rows = seen.values_list("team__name", "received_at", "evaluation__tp", "evaluation__fp", "evaluation__fn")
    return [Scored(team, at, f1_exact(tp or 0, fp or 0, fn or 0)) for team, at, tp, fp, fn in rows]


def _baseline(phase: Phase) -> CountTable | None:
    """The organisers' baseline: of the reference entries that stand the first that calls itself one, or the first."""
    assert phase.labels is not None
    entries = list(
        Submission.objects.filter(phase=phase, reference=True)
        .scored_on(phase.labels)
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


def _masks(phase: Phase, standings: Sequence[Standing]) -> report.Masks | None:
    """The masks of all teams of the board, or None where those of one are not kept."""
    label_set = phase.labels
    assert label_set is not None
    spec = MaskSpec(label_set.patches, label_set.height, label_set.width)
    kept = dict(
        Prediction.objects.filter(
            submission__in=[standing.submission_id for standing in standings]
        ).values_list("submission", "masks")
    )
    if len(kept) < len(standings):
        return None
    return report.Masks(
        {
            standing.team.name: labels.decompress(bytes(kept[standing.submission_id]), spec)
            for standing in standings
        },
        labels.decompress(bytes(label_set.masks), spec),
        spec,
    )


def _provenance(phase: Phase, standings: Sequence[Standing], earlier: Phase | None) -> dict[str, Any]:
    label_set = phase.labels
    assert label_set is not None
    versions = {
        standing.submission.evaluation.scorer for standing in standings if standing.submission.evaluation
    }
    return {
        "competition": phase.competition.name,
        "phase": phase.name,
        "data_note": phase.competition.data_note,
        "labels_version": label_set.version,
        "labels_commitment": label_set.commitment,
        "scorers": sorted(versions),
        "taken_at": _iso(timezone.now()),
        "opens_at": _iso(phase.opens_at),
        "closes_at": phase.closes_at and _iso(phase.closes_at),
        "earlier": earlier and {"slug": earlier.slug, "name": earlier.name},
    }


def _iso(moment: datetime) -> str:
    return moment.isoformat(timespec="seconds")
