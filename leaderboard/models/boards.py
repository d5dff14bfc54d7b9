"""Boards: one row per team's standing, and the entries shown for comparison."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from operator import itemgetter
from typing import Any

from django.db import models
from django.db.models.functions import RowNumber

from evaluation.scoring.ladder import Ladder, climb_all
from evaluation.scoring.metrics import KEY_SCALE, f1_exact

from .competitions import LabelSet, Phase
from .locks import lock_rows
from .submissions import Evaluation, Submission, counting_order
from .teams import Team


def with_ranks(
    standings: Iterable["Standing"], place: int = 1, rank: int = 1
) -> Iterator[tuple[int, "Standing"]]:
    """The standings of a board, or of a window of it, with ranks: equal F1 shares a rank, then ranks skip.

    ``place`` and ``rank`` belong to the first standing; they differ if it shares its rank with earlier ones.
    """
    key = None
    for here, standing in enumerate(standings, start=place):
        if key is not None and standing.rank_key != key:
            rank = here
        key = standing.rank_key
        yield rank, standing


class StandingQuerySet(models.QuerySet["Standing"]):
    def board(self, phase: Phase, kind: str) -> "StandingQuerySet":
        """The phase's standings under its current labels, best first; within a tie, earlier first."""
        return self.under(phase.labels, kind)

    def under(self, label_set: LabelSet | None, kind: str) -> "StandingQuerySet":
        """The standings under one version of the labels; those of superseded versions no longer change."""
        return (
            self.filter(label_set=label_set, kind=kind)
            .select_related("team", "submission")
            .order_by("-rank_key", "achieved_at", "team_id")
        )

    def with_latest(self, phase: Phase, until: datetime | None) -> "StandingQuerySet":
        """Each row with ``latest_at``, when the team's latest submission that stands was received, before ``until``."""
        assert phase.labels is not None
        theirs = Submission.objects.filter(phase=phase, team=models.OuterRef("team"), reference=False)
        latest = theirs.scored_on(phase.labels).received_before(until).order_by("-received_at")
        return self.annotate(latest_at=models.Subquery(latest.values("received_at")[:1]))

    def on_boards(self, phases: Iterable[Phase]) -> set[tuple[int, str]]:
        """(label set, kind) of the boards of these phases, under their current labels, that have at least one row."""
        label_sets = LabelSet.objects.filter(pk__in=[phase.labels_id for phase in phases if phase.labels_id])
        kinds = {
            kind.value: models.Exists(self.filter(label_set=models.OuterRef("pk"), kind=kind))
            for kind in Standing.Kind
        }
        found = label_sets.order_by().annotate(**kinds).values("pk", *kinds)
        return {(row["pk"], kind) for row in found for kind in kinds if row[kind]}

    def rank_of(self, standing: "Standing") -> int:
        """1 + the number of teams with a strictly better F1: equal F1 shares a rank."""
        same_board = self.filter(label_set=standing.label_set_id, kind=standing.kind)
        return 1 + same_board.filter(rank_key__gt=standing.rank_key).count()

    def refresh(self, phase: Phase, team: Team) -> None:
        """Update a team's rows under the current labels, and increase the board's version.

        Call inside a transaction. The phase is locked first, so later reads include every earlier change.
        """
        self.refresh_locked(lock_rows(Phase.objects.with_labels().filter(pk=phase.pk))[0], team)
        # Only a new score overtakes: not what follows from a withdrawal, a decision or other labels.
        self.filter(phase=phase, team=team).update(noticed_key=models.F("rank_key"))

    def refresh_locked(self, phase: Phase, team: Team) -> None:
        """The same for a phase that is locked already, as it is since then."""
        if phase.labels is None:
            return
        self._put(phase, team, Standing.Kind.EXACT, _exact_result(phase, team))
        if phase.shows_a_board_of_its_own:
            self._put(phase, team, Standing.Kind.SHOWN, _shown_result(phase, team))
        Phase.objects.bump_board(phase.pk)

    def rebuild(self, phase: Phase) -> None:
        """Rebuild all rows under the current labels from the submissions; rows of other versions stay.

        A few statements for each kind of row, whatever the number of teams. Call inside a transaction.
        """
        [phase] = lock_rows(Phase.objects.with_labels().filter(pk=phase.pk))
        if phase.labels is None:
            return
        kinds = [(Standing.Kind.EXACT, exact_results(phase))]
        if phase.shows_a_board_of_its_own:
            kinds.append((Standing.Kind.SHOWN, shown_results(phase)))
        rows = self.filter(phase=phase, label_set=phase.labels)
        rows.exclude(kind__in=[kind for kind, _ in kinds]).delete()
        for kind, results in kinds:
            rows.filter(kind=kind).exclude(team__in=list(results)).delete()
            place: dict[str, Any] = {"phase": phase, "label_set": phase.labels, "kind": kind}
            made = (Standing(**place, team_id=team, **vars(result)) for team, result in results.items())
            self._upsert(list(made))
        Phase.objects.bump_board(phase.pk)

    def _upsert(self, rows: list["Standing"]) -> None:
        """One statement for a batch, whether there are rows or not."""
        Standing.objects.bulk_create(
            rows,
            batch_size=500,
            update_conflicts=True,
            unique_fields=["phase", "label_set", "team", "kind"],
            update_fields=["submission", "rank_key", "achieved_at", "entries"],
        )

    def _put(self, phase: Phase, team: Team, kind: str, result: "Result | None") -> None:
        place: dict[str, Any] = {"phase": phase, "label_set": phase.labels, "team": team, "kind": kind}
        if result is None:
            self.filter(**place).delete()
        else:
            self._upsert([Standing(**place, **vars(result))])


@dataclass
class Result:
    """What a standing shows: the submission that counts, its key, and the number of scored submissions."""

    submission_id: int
    rank_key: int
    achieved_at: datetime
    entries: int


def _scored(phase: Phase, team: Team, before: datetime | None) -> Any:
    assert phase.labels is not None
    mine = Submission.objects.filter(phase=phase, team=team, reference=False)
    return mine.scored_on(phase.labels).received_before(before)


def _exact_result(phase: Phase, team: Team, before: datetime | None = None) -> Result | None:
    """The same as ``exact_results`` for one team, by the indexes: what each score asks for."""
    if not team.is_ranked:
        return None
    counted = Submission.objects.counted(phase, team, before)
    entries = _scored(phase, team, before).order_by().values("team").annotate(number=models.Count("pk"))
    best = counted.annotate(entries=models.Subquery(entries.values("number")))
    found: Any = best.values_list("pk", "evaluation__rank_key", "received_at", "entries").first()
    return Result(*found) if found else None


def exact_results(
    phase: Phase, label_set: LabelSet | None = None, before: datetime | None = None
) -> dict[int, Result]:
    """Each team's result by its primary key, in one query.

    ``label_set``: as if these labels were in force, each submission counting by its newest score on them.
    """
    scores = Evaluation.objects.filter(
        state=Evaluation.State.SCORED,
        submission__phase=phase,
        submission__reference=False,
        submission__withdrawn_at=None,
        submission__disqualified_at=None,
        submission__team__is_organisers=False,
        submission__team__merged_into=None,
        submission__team__hidden_at=None,
    )
    if label_set is None or label_set.pk == phase.labels_id:
        current = Submission.objects.filter(phase=phase).values("evaluation")
        scores = scores.filter(label_set=phase.labels_id, pk__in=current)
    else:
        scores = scores.filter(pk__in=newest_scores(phase, label_set))
    if before is not None:
        scores = scores.filter(submission__received_at__lt=before)
    team = [models.F("submission__team")]
    order = counting_order(phase, "rank_key", "submission__")
    ranked = scores.annotate(
        place=models.Window(RowNumber(), partition_by=team, order_by=order),
        entries=models.Window(models.Count("pk"), partition_by=team),
    )
    columns = ("submission__team", "submission", "rank_key", "submission__received_at", "entries")
    return {key: Result(*found) for key, *found in ranked.filter(place=1).order_by().values_list(*columns)}


def results_on(phase: Phase, label_set: LabelSet | None) -> dict[int, Result]:
    """Each team's result as if these labels were in force, by its primary key; of those in force, as the standings keep them."""
    if label_set is not None and label_set.pk != phase.labels_id:
        return exact_results(phase, label_set)
    rows = Standing.objects.filter(label_set=phase.labels_id, kind=Standing.Kind.EXACT).order_by()
    columns = ("team", "submission", "rank_key", "achieved_at", "entries")
    return {team: Result(*found) for team, *found in rows.values_list(*columns)}


def newest_scores(phase: Phase, label_set: LabelSet) -> Any:
    """The primary key of each submission's newest score on a label set."""
    on_it = Evaluation.objects.filter(
        label_set=label_set, state=Evaluation.State.SCORED, submission__phase=phase
    )
    return on_it.order_by().values("submission").annotate(newest=models.Max("pk")).values("newest")


def _shown_result(phase: Phase, team: Team) -> Result | None:
    """What the public may see before the end: nothing newer than the freeze, nothing finer than the Ladder."""
    if phase.ladder is None:
        return _exact_result(phase, team, before=phase.freezes_at)
    if not team.is_ranked:
        return None
    return _climbed(phase.ladder, list(_climbing(phase).filter(team=team).values_list(*_RUNG)))


def shown_results(phase: Phase) -> dict[int, Result]:
    """The same for every team, by its primary key, in one query."""
    if phase.ladder is None:
        return exact_results(phase, before=phase.freezes_at)
    ranked = (
        _climbing(phase)
        .filter(team__is_organisers=False, team__merged_into=None, team__hidden_at=None)
        .order_by("team", *_ORDER)
    )
    found = {
        team: _climbed(phase.ladder, [row[1:] for row in rows])
        for team, rows in groupby(ranked.values_list("team", *_RUNG).iterator(), key=itemgetter(0))
    }
    return {team: result for team, result in found.items() if result is not None}


_ORDER = ("received_at", "pk")
_RUNG = ("pk", "received_at", "evaluation__tp", "evaluation__fp", "evaluation__fn")


def _climbing(phase: Phase) -> models.QuerySet[Submission]:
    """What climbs the Ladder: all scored submissions, withdrawn or not, so that no step is ever undone."""
    assert phase.labels is not None
    made = Submission.objects.filter(phase=phase, reference=False, disqualified_at=None)
    return made.evaluated_on(phase.labels).received_before(phase.freezes_at).order_by(*_ORDER)


def _climbed(ladder: Ladder, made: list[tuple[Any, ...]]) -> Result | None:
    """A team's result by the Ladder, of its submissions as ``_RUNG``, in order."""
    rungs = climb_all(ladder, [f1_exact(tp or 0, fp or 0, fn or 0) for _, _, tp, fp, fn in made])
    climbs = [place for place, rung in enumerate(rungs) if rung.improved]
    if not climbs:
        return None
    best = rungs[-1].best
    assert best is not None, "it has climbed"
    leader, achieved_at, *_ = made[climbs[-1]]
    return Result(leader, int(best * KEY_SCALE), achieved_at, len(rungs))


class Standing(models.Model):
    """A team's result in a phase under one label set: one row, so that a board reads only the rows it shows.

    ``exact`` is the ranking itself; ``shown`` is what the public sees before the end if the phase freezes its
    board or releases scores by the Ladder.
    """

    class Kind(models.TextChoices):
        EXACT = "exact", "exact"
        SHOWN = "shown", "as shown before the end"

    phase = models.ForeignKey(Phase, models.CASCADE, related_name="standings")
    label_set = models.ForeignKey(LabelSet, models.CASCADE, related_name="standings")
    team = models.ForeignKey(Team, models.CASCADE, related_name="standings")
    kind = models.CharField(max_length=5, choices=Kind, default=Kind.EXACT)
    submission = models.ForeignKey(Submission, models.CASCADE, related_name="+")
    rank_key = models.PositiveBigIntegerField()
    achieved_at = models.DateTimeField(help_text="When the submission that counts was received.")
    entries = models.PositiveIntegerField()
    earlier_rank = models.PositiveIntegerField(
        null=True,
        editable=False,
        help_text="At the end of the day before that of PhaseFigures.ranks_of (UTC).",
    )
    noticed_key = models.PositiveBigIntegerField(
        null=True, editable=False, help_text="The rank key up to which overtaken teams have been told."
    )

    objects = StandingQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["phase", "label_set", "team", "kind"], name="one_standing_of_a_team"
            )
        ]
        indexes = [
            models.Index(
                fields=["label_set", "kind", "-rank_key", "achieved_at", "team"],
                name="standings_of_a_board",
            )
        ]

    def __str__(self) -> str:
        return f"{self.team} in {self.phase}"


class PublishedEntry(models.Model):
    """A published result: shown for comparison, never ranked, marked as not scored here."""

    phase = models.ForeignKey(Phase, models.CASCADE, related_name="published_entries")
    name = models.CharField(max_length=80)
    method = models.CharField(max_length=200, blank=True)
    award = models.CharField(max_length=40, blank=True, help_text="For example 1st, or special prize.")
    precision = models.DecimalField("precision in %", max_digits=5, decimal_places=2, null=True, blank=True)
    recall = models.DecimalField("recall in %", max_digits=5, decimal_places=2, null=True, blank=True)
    f1 = models.DecimalField("F1 in %", max_digits=5, decimal_places=2)
    source = models.CharField(max_length=200, help_text="Where it was published, such as a table in a paper.")

    class Meta:
        verbose_name_plural = "published entries"
        ordering = ["phase", "-f1"]

    def __str__(self) -> str:
        return f"{self.name}: F1 {self.f1} % (published)"
