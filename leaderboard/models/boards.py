"""Boards: one row per team's standing, and the entries shown for comparison."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import models

from evaluation.scoring.ladder import Ladder, climb_all
from evaluation.scoring.metrics import KEY_SCALE, f1_exact

from .competitions import LabelSet, Phase
from .locks import lock_rows
from .submissions import Submission
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
        """Rebuild all rows under the current labels from the submissions; rows of other versions stay."""
        in_force = Phase.objects.filter(pk=phase.pk).values("labels")
        self.filter(phase=phase, label_set__in=in_force).delete()
        for team in Team.objects.filter(submissions__phase=phase).distinct():
            self.refresh(phase, team)

    def _put(self, phase: Phase, team: Team, kind: str, result: "Result | None") -> None:
        place: dict[str, Any] = {"phase": phase, "label_set": phase.labels, "team": team, "kind": kind}
        if result is None:
            self.filter(**place).delete()
        else:
            Standing.objects.bulk_create(  # one statement, whether there is a row or not
                [Standing(**place, **vars(result))],
                update_conflicts=True,
                unique_fields=list(place),
                update_fields=list(vars(result)),
            )


@dataclass
class Result:
    """What a standing shows: the submission that counts, its key, and the number of scored submissions."""

    submission: Submission
    rank_key: int
    achieved_at: datetime
    entries: int


def _scored(phase: Phase, team: Team, before: datetime | None) -> Any:
    assert phase.labels is not None
    mine = Submission.objects.filter(phase=phase, team=team, reference=False)
    return mine.scored_on(phase.labels).received_before(before)


def _result(best: Submission, entries: int) -> Result:
    assert best.evaluation is not None, "a counted submission is scored"
    assert best.evaluation.rank_key is not None, "a scored evaluation has its key"
    return Result(best, best.evaluation.rank_key, best.received_at, entries)


def _exact_result(phase: Phase, team: Team, before: datetime | None = None) -> Result | None:
    if team.is_organisers or team.merged_into_id:
        return None
    counted = Submission.objects.counted(phase, team, before)
    entries = _scored(phase, team, before).order_by().values("team").annotate(number=models.Count("pk"))
    best = (
        counted.annotate(entries=models.Subquery(entries.values("number")))
        .select_related("evaluation")
        .defer("description", "evaluation__patch_counts", "evaluation__problems")
        .first()
    )
    return None if best is None else _result(best, best.entries)


def _shown_result(phase: Phase, team: Team) -> Result | None:
    """What the public may see before the end: nothing newer than the freeze, nothing finer than the Ladder."""
    if phase.ladder is None:
        return _exact_result(phase, team, before=phase.freezes_at)
    if team.is_organisers or team.merged_into_id:
        return None
    return _ladder_result(phase, phase.ladder, team)


def _ladder_result(phase: Phase, ladder: Ladder, team: Team) -> Result | None:
    """Climb the Ladder with all scored submissions of the team, withdrawn or not: no step is ever undone."""
    assert phase.labels is not None
    made = Submission.objects.filter(phase=phase, team=team, reference=False, disqualified_at=None)
    made = made.evaluated_on(phase.labels).received_before(phase.freezes_at)
    counts = made.order_by("received_at", "pk").values_list(
        "evaluation__tp", "evaluation__fp", "evaluation__fn"
    )
    rungs = climb_all(ladder, [f1_exact(tp or 0, fp or 0, fn or 0) for tp, fp, fn in counts])
    climbs = [place for place, rung in enumerate(rungs) if rung.improved]
    if not climbs:
        return None
    leader = made.order_by("received_at", "pk")[climbs[-1]]
    best = rungs[-1].best
    assert best is not None, "it has climbed"
    return Result(leader, int(best * KEY_SCALE), leader.received_at, len(rungs))


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
