"""Counts, masks and history of a phase as input for the statistics, for reports and reviews."""

from collections.abc import Iterable, Sequence
from datetime import datetime

import numpy as np

from evaluation.report import phase_report as report
from evaluation.scoring import labels
from evaluation.scoring.counts import Counts
from evaluation.scoring.metrics import f1_exact
from evaluation.statistics.history import Scored
from evaluation.statistics.table import CountTable
from evaluation.task import MaskSpec
from leaderboard.models import LabelSet, Phase, Prediction, Review, Standing, Submission
from leaderboard.models.boards import exact_results


def counted(phase: Phase, as_of: datetime | None = None) -> list[Submission]:
    """The submission that counts for each ranked team, in board order."""
    if as_of is None:
        standings = Standing.objects.board(phase, Standing.Kind.EXACT)
        return [
            standing.submission
            for standing in standings.select_related("submission__evaluation", "submission__team")
        ]
    best = [result.submission_id for result in exact_results(phase, before=as_of).values()]
    return sorted(
        Submission.objects.filter(pk__in=best).select_related("evaluation", "team"),
        key=lambda submission: (-_rank_key(submission), submission.received_at, submission.team_id),
    )


def _rank_key(submission: Submission) -> int:
    assert submission.evaluation is not None, "a counted submission is scored"
    return submission.evaluation.rank_key or 0


def made(phase: Phase, as_of: datetime | None = None) -> Iterable[Submission]:
    """All scored submissions of teams on the current labels, withdrawn or not, in order of receipt."""
    assert phase.labels is not None
    return (
        Submission.objects.filter(
            phase=phase, reference=False, team__is_organisers=False, team__hidden_at=None
        )
        .evaluated_on(phase.labels)
        .received_before(as_of)
        .select_related("team", "evaluation")
        .defer("description")
        .order_by("received_at", "pk")
    )


def count_table(rows: Sequence[tuple[str, Submission]], sites: Sequence[str] | None = None) -> CountTable:
    """Counts per patch, one row per submission under the given name; patches are named by their numbers."""
    counts = []
    for _, submission in rows:
        assert submission.evaluation is not None, "a submission of the board is scored"
        counts.append(Counts.from_bytes(bytes(submission.evaluation.patch_counts or b"")))
    names = tuple(str(number) for number in range(1, len(counts[0]) + 1))
    tp, fp, fn = (np.stack([getattr(row, kind) for row in counts]) for kind in ("tp", "fp", "fn"))
    return CountTable(
        tuple(name for name, _ in rows), names, tp, fp, fn, site=tuple(sites) if sites else None
    )


def handed_in(made: Sequence[Submission]) -> report.Submissions:
    """Counts, teams and SHA-256 of the masks of submissions, each named by its number."""
    digests = dict(
        Prediction.objects.filter(submission__in=[submission.pk for submission in made]).values_list(
            "submission", "sha256"
        )
    )
    return report.Submissions(
        count_table([(str(submission.pk), submission) for submission in made]),
        [submission.team.name for submission in made],
        [digests.get(submission.pk, "") for submission in made],
    )


def history(phase: Phase, as_of: datetime | None = None) -> list[Scored]:
    """Submissions that a history of the phase may show, in order of receipt."""
    seen = Submission.objects.seen_over_time(phase).received_before(as_of).order_by("received_at", "pk")
    rows = seen.values_list("team__name", "received_at", "evaluation__tp", "evaluation__fp", "evaluation__fn")
    return [Scored(team, at, f1_exact(tp or 0, fp or 0, fn or 0)) for team, at, tp, fp, fn in rows]


def baseline(phase: Phase, as_of: datetime | None = None) -> CountTable | None:
    """The organisers' baseline: the first valid reference entry that calls itself one, or simply the first."""
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
    return count_table([(f"{chosen[0].method} (reference)", chosen[0])]) if chosen else None


def earlier_phase(phase: Phase) -> Phase | None:
    """The previous phase of the competition, if it has labels."""
    return (
        phase.competition.phases.filter(opens_at__lt=phase.opens_at)
        .exclude(labels=None)
        .select_related("labels", "competition")
        .defer("labels__masks")
        .order_by("opens_at", "position")
        .last()
    )


def earlier_counts(earlier: Phase, teams: set[str]) -> CountTable | None:
    """Counts of the earlier phase's board and its baseline; None if no team took part in it."""
    standings = Standing.objects.board(earlier, Standing.Kind.EXACT).select_related("submission__evaluation")
    rows = [(standing.team.name, standing.submission) for standing in standings]
    if not teams.intersection(name for name, _ in rows):
        return None
    table, reference = count_table(rows), baseline(earlier)
    return table if reference is None else table.joined(reference)


def masks_of(label_set: LabelSet, board: Sequence[Submission]) -> report.Masks | None:
    """The masks of the board's teams, if stored; None without the masks of the labels."""
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


def pair_of_masks(review: Review) -> tuple[str, str, report.Masks] | None:
    """The current masks of the two teams of a review; None unless there are two and both are stored."""
    labels_in_force = Phase.objects.select_related("labels").get(pk=review.phase_id).labels
    if review.other is None or labels_in_force is None:
        return None
    standings = Standing.objects.under(labels_in_force, Standing.Kind.EXACT)
    board = [standing.submission for standing in standings.filter(team__in=[review.team, review.other])]
    masks = masks_of(labels_in_force, board)
    if masks is None or len(masks.by_team) < 2:
        return None
    return review.team.name, review.other.name, masks
