"""What a viewer may see of a phase's scores. Pages, API, export and mails all ask here."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Case, F, FloatField, Q, QuerySet, Value, When
from django.db.models.functions import Cast, Coalesce, NullIf
from django.utils.functional import cached_property

from evaluation.scoring import metrics

from .boards import Standing
from .competitions import Competition, Phase
from .submissions import Evaluation, Submission

F1_ALONE = frozenset({"f1"})
ALL_METRICS = frozenset({"f1", "precision", "recall"})
EVERYTHING = ALL_METRICS | {"counts"}
NOTHING: frozenset[str] = frozenset()
METRICS_BEHIND = {
    "precision": {"precision"},
    "precision_text": {"precision"},
    "recall": {"recall"},
    "recall_text": {"recall"},
    "mcc": {"precision", "recall"},
    "tp": {"counts"},
    "fp": {"counts"},
    "fn": {"counts"},
}
"""The metrics that a field of a report's board is computed from; F1 and what follows from it is on every board."""


@dataclass(frozen=True)
class View:
    """``metrics``: the visible metrics of a submission; ``board``: the visible standings, None for no board yet."""

    metrics: frozenset[str]
    board: str | None

    def shows(self, metric: str) -> bool:
        return metric in self.metrics

    def shows_field(self, field: str) -> bool:
        """Whether a field of a report's board says no more than the visible metrics."""
        return METRICS_BEHIND.get(field, NOTHING) <= self.metrics


def view_of(phase: Phase, viewer: Any, now: datetime, *, organises: bool | None = None) -> View:
    """What this viewer (a user, possibly anonymous) may see of the phase's scores now.

    ``organises``: whether the viewer organises the competition, if already known.

    Organisers see everything; helpers and the jury see what everybody sees. Before the end, a phase may hide all scores, freeze its public board, or release
    scores only by the Ladder (then single submissions show no score). After the end, the exact board is shown, with
    the metrics that the phase allows.
    """
    if phase.competition.is_organised_by(viewer) if organises is None else organises:
        return View(EVERYTHING, Standing.Kind.EXACT)
    allowed = F1_ALONE if phase.visible_metrics == Phase.Metrics.F1 else ALL_METRICS
    if phase.uploads_have_ended(now):
        return View(allowed, Standing.Kind.EXACT)
    if phase.hidden_until_close:
        return View(NOTHING, None)
    if phase.ladder_step is not None:
        return View(NOTHING, Standing.Kind.SHOWN)
    return View(allowed, Standing.Kind.SHOWN if phase.freezes_at else Standing.Kind.EXACT)


def participants_view(phase: Phase, now: datetime) -> View:
    """What whoever does not organise sees: what may stand in mails and webhooks."""
    return view_of(phase, None, now, organises=False)


def snapshots_may_be_public(phase: Phase, view: View) -> bool:
    """Whether a phase without end may show its report now: if it does not hide, freeze or coarsen its board."""
    return phase.closes_at is None and view.board == Standing.Kind.EXACT and view.shows("f1")


def interval_decimals(phase: Phase, view: View, now: datetime) -> int | None:
    """To how many decimals (in percent) a viewer may see the interval of a score; None: not at all.

    The same as in a report: exact for organisers and after the end, coarse in a phase without end, otherwise hidden.
    """
    if view.shows("counts"):
        return 2
    if not view.shows("f1"):
        return None
    if phase.uploads_have_ended(now) or phase.labels_are_public(now):
        return 2
    return 1 if snapshots_may_be_public(phase, view) else None


def gallery_is_public(phase: Phase, now: datetime) -> bool:
    """Whether pictures with this phase's labels are public. Never while another phase hides the same labels."""
    if phase.gallery == Phase.Gallery.PUBLIC:
        return labels_may_show(phase, now)
    return phase.gallery == Phase.Gallery.AUTO and phase.labels_are_public(now)


def labels_may_show(phase: Phase, now: datetime) -> bool:
    """Whether the phase's labels may be shown where the organiser allows it: they are public, or the phase has ended
    and no other phase hides the same labels."""
    if phase.labels_are_public(now):
        return True
    return phase.uploads_have_ended(now) and not any(_hidden_by_others(phase, now))


def _hidden_by_others(phase: Phase, now: datetime) -> Iterator[Phase]:
    """Other phases whose labels are the same, which have not ended and whose labels are not public."""
    others = Phase.objects.filter(labels__sha256__in=phase.label_sets.values("sha256")).exclude(pk=phase.pk)
    return (other for other in others if not (other.uploads_have_ended(now) or other.labels_are_public(now)))


@dataclass(frozen=True)
class Feedback:
    """What a viewer may see of a submission that is theirs to see, beyond its scores: the histogram of the scores per
    patch, each patch's score, and its pixels against the label."""

    histogram: bool = False
    patches: bool = False
    errors: bool = False


def feedback_of(phase: Phase, view: View, now: datetime) -> Feedback:
    """The one rule for what a phase's ``feedback`` shows to a viewer with this view of it.

    Organisers see everything. Teams see nothing while the phase hides the scores themselves or releases them by the
    Ladder; error maps only once the labels may show; and scores per patch never while another phase hides the same
    labels and gives less feedback.
    """
    if view.shows("counts"):
        return Feedback(histogram=True, patches=True, errors=True)
    if not view.shows("f1") or phase.feedback == Phase.Feedback.NONE:
        return Feedback()
    if phase.feedback == Phase.Feedback.ERRORS:
        allowed = labels_may_show(phase, now)
        return Feedback(histogram=allowed, patches=allowed, errors=allowed)
    as_much = {phase.feedback, Phase.Feedback.PATCHES}
    if any(other.feedback not in as_much for other in _hidden_by_others(phase, now)):
        return Feedback()
    return Feedback(histogram=True, patches=phase.feedback == Phase.Feedback.PATCHES)


def images_may_show(phase: Phase, view: View, now: datetime) -> bool:
    """Whether a viewer may see the phase's images: they come out when it opens."""
    return phase.has_opened(now) or view.shows("counts")


@dataclass(frozen=True)
class Ratio:
    """A metric as a ratio of integers; ``value`` is a fraction of 1, ``percent`` has two decimals."""

    numerator: int
    denominator: int

    @property
    def value(self) -> float:
        return metrics.fraction(self.numerator, self.denominator) or 0.0

    @property
    def percent(self) -> str:
        return metrics.percent(self.numerator, self.denominator)

    def __str__(self) -> str:
        return self.percent


@dataclass(frozen=True)
class Scores:
    """The metrics of an evaluation that a viewer may see; hidden ones are None."""

    precision: Ratio | None = None
    recall: Ratio | None = None
    f1: Ratio | None = None
    counts: tuple[int, int, int] | None = None


def released_by_ladder(standing: Standing) -> Scores:
    """The only number of a standing that a Ladder releases."""
    return Scores(f1=Ratio(standing.rank_key, metrics.KEY_SCALE))


def visible_scores(evaluation: Evaluation | None, view: View) -> Scores:
    """The scores of an evaluation that ``view`` permits; none unless it is scored."""
    if evaluation is None or evaluation.tp is None or evaluation.fp is None or evaluation.fn is None:
        return Scores()
    tp, fp, fn = evaluation.tp, evaluation.fp, evaluation.fn
    return Scores(
        precision=Ratio(tp, tp + fp) if view.shows("precision") else None,
        recall=Ratio(tp, tp + fn) if view.shows("recall") else None,
        f1=Ratio(2 * tp, 2 * tp + fp + fn) if view.shows("f1") else None,
        counts=(tp, fp, fn) if view.shows("counts") else None,
    )


METRIC_KEY = "metric_key"


class Viewpoint:
    """A viewer at a time, for many phases and submissions: queries only once what the viewer organises."""

    def __init__(self, viewer: Any, now: datetime) -> None:
        self.viewer, self.now = viewer, now
        self._views: dict[int, View] = {}

    @cached_property
    def _organised(self) -> set[int]:
        return set(Competition.objects.organised_by(self.viewer).values_list("pk", flat=True))

    def view(self, phase: Phase) -> View:
        if phase.pk not in self._views:
            organises = phase.competition_id in self._organised
            self._views[phase.pk] = view_of(phase, self.viewer, self.now, organises=organises)
        return self._views[phase.pk]

    def scores(self, submission: Submission) -> Scores:
        """The submission's scores that the viewer may see; asks nothing of the database before there are any."""
        if submission.evaluation is None or submission.evaluation.tp is None:
            return Scores()
        return visible_scores(submission.evaluation, self.view(submission.phase))


def with_metric_key(
    rows: QuerySet[Submission], metric: str, phases: Iterable[Phase], viewpoint: Viewpoint
) -> QuerySet[Submission]:
    """Adds ``metric_key``, by which to order: the metric where it is visible, -1 elsewhere. An order by hidden scores would
    tell them. ``phases``: all of the rows."""
    tp, fp, fn = (Cast(F(f"evaluation__{name}"), FloatField()) for name in ("tp", "fp", "fn"))
    value = {
        "f1": 2 * tp / NullIf(2 * tp + fp + fn, 0.0),
        "precision": tp / NullIf(tp + fp, 0.0),
        "recall": tp / NullIf(tp + fn, 0.0),
    }[metric]
    shown = [phase.pk for phase in phases if viewpoint.view(phase).shows(metric)]
    visible = Case(When(Q(phase__in=shown), then=value), default=None, output_field=FloatField())
    return rows.annotate(**{METRIC_KEY: Coalesce(visible, Value(-1.0))})
