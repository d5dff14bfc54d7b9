"""What a score means to its team: its place on the board, the gaps around it, its interval."""

from dataclasses import dataclass

from django.db.models import Count, Min, Q

from evaluation.report.phase_report import sampling_units
from evaluation.scoring.metrics import KEY_SCALE
from evaluation.statistics.intervals import score_intervals
from leaderboard.models import Phase, Standing, Submission
from leaderboard.models.visibility import View

from .snapshots import count_table


@dataclass(frozen=True)
class Place:
    """The team's place on the board that the viewer sees.

    ``before``: the team's rank without this submission; None if it had none or another submission counts.
    ``gap``: points of F1 to the next better rank; None for the first.
    """

    rank: int
    teams: int
    before: int | None
    gap: float | None

    @property
    def climbed(self) -> int:
        """Ranks gained by this submission; negative if the team fell (where the latest counts)."""
        return 0 if self.before is None else self.before - self.rank


@dataclass(frozen=True)
class Result:
    """``best``: this is the team's best of the phase. ``other``: its best other submission, ``distance`` points of F1
    away; None if there is no other."""

    best: bool
    other: int | None
    distance: float | None
    place: Place | None


def result_of(submission: Submission, view: View) -> Result | None:
    """The result of a scored submission in its context, as far as ``view`` shows it.

    None for whatever does not take part in the ranking: reference entries, withdrawn and disqualified submissions,
    scores on superseded labels.
    """
    evaluation, phase = submission.evaluation, submission.phase
    takes_part = submission.withdrawn_at is None and submission.disqualified_at is None
    if submission.reference or not takes_part or not view.shows("f1"):
        return None
    if evaluation is None or evaluation.rank_key is None or evaluation.label_set_id != phase.labels_id:
        return None
    assert phase.labels is not None
    own = Submission.objects.filter(phase=phase, team=submission.team, reference=False)
    others = own.scored_on(phase.labels).exclude(pk=submission.pk).order_by("-evaluation__rank_key", "pk")
    other, key = others.values_list("pk", "evaluation__rank_key").first() or (None, None)
    return Result(
        best=key is None or evaluation.rank_key >= key,
        other=other,
        distance=None if key is None else abs(points(evaluation.rank_key - key)),
        place=place_of(submission, phase, view),
    )


def place_of(submission: Submission, phase: Phase, view: View) -> Place | None:
    """The place of the submission's team; None if the viewer sees no board or the team is not on it."""
    if view.board is None:
        return None
    board = Standing.objects.filter(label_set=phase.labels_id, kind=view.board)
    standing = board.filter(team=submission.team_id).first()
    if standing is None:
        return None
    before = None
    if standing.submission_id == submission.pk:
        earlier = Submission.objects.received_before(submission.received_at).exclude(pk=submission.pk)
        counted = earlier.counted(phase, submission.team).values_list("evaluation__rank_key", flat=True)
        before = counted.first()
    better = Q(rank_key__gt=standing.rank_key)
    others = ~Q(team=submission.team_id)
    figures = board.aggregate(
        teams=Count("pk"),
        better=Count("pk", filter=better),
        next=Min("rank_key", filter=better),
        better_before=Count("pk", filter=others & Q(rank_key__gt=before or 0)),
    )
    return Place(
        rank=1 + figures["better"],
        teams=figures["teams"],
        before=None if before is None else 1 + figures["better_before"],
        gap=None if figures["next"] is None else points(figures["next"] - standing.rank_key),
    )


def points(key_difference: int) -> float:
    """A difference of two rank keys in points of F1 (percent)."""
    return 100 * key_difference / KEY_SCALE


def interval_of(submission: Submission) -> tuple[float, float] | None:
    """The 95 % interval of a submission's F1 in percent, by sites if they are known; None if it has none."""
    evaluation = submission.evaluation
    if evaluation is None or not evaluation.patch_counts:
        return None
    try:
        table = count_table([("", submission)], evaluation.label_set.sites)
        limits = score_intervals(sampling_units(table))
    except ValueError:  # labels without positive pixels, a single patch
        return None
    return max(0.0, 100 * float(limits.low[0])), min(100.0, 100 * float(limits.high[0]))
