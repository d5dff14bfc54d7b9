"""The ledger: what each submission uses of its team's quotas, and what is left."""

from collections.abc import Container, Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, time, timedelta
from functools import reduce
from operator import or_
from typing import Any

from django.db import models

from .competitions import Phase
from .submissions import Evaluation, Submission
from .teams import Team


@dataclass(frozen=True)
class QuotaUsage:
    """A team's quota usage in a phase; a limit of None means unlimited."""

    total: int
    total_limit: int | None
    today: int
    day_limit: int | None
    on_board: int
    board_limit: int | None
    day_ends_at: datetime
    invalid_today: int = 0
    last_total: int | None = None
    """The highest slot that is taken, as the next two; None: none is."""
    last_today: int | None = None
    last_on_board: int | None = None

    @property
    def exhausted(self) -> str:
        """Which quota is used up: "total", "day", "board" or "" (none)."""
        if self.total_limit is not None and self.total >= self.total_limit:
            return "total"
        if self.day_limit is not None and self.today >= self.day_limit:
            return "day"
        if self.board_limit is not None and self.on_board >= self.board_limit:
            return "board"
        return ""

    def with_one_more(self) -> "QuotaUsage":
        """After a submission that it allowed."""
        return replace(self, total=self.total + 1, today=self.today + 1, on_board=self.on_board + 1)

    @property
    def remaining(self) -> int | None:
        """How many more submissions would be accepted now; None: no limit."""
        left = [
            limit - used
            for used, limit in (
                (self.total, self.total_limit),
                (self.today, self.day_limit),
                (self.on_board, self.board_limit),
            )
            if limit is not None
        ]
        return max(0, min(left)) if left else None


def utc_day(now: datetime) -> datetime:
    """The start of the UTC day: daily quotas are counted in UTC."""
    return datetime.combine(now.astimezone(UTC).date(), time.min, tzinfo=UTC)


class AttemptQuerySet(models.QuerySet["Attempt"]):
    def of(self, team: Team, phase: Phase) -> "AttemptQuerySet":
        return self.filter(team=team, phase=phase)

    def own(self, user: Any) -> "AttemptQuerySet":
        """The attempts of the person's teams."""
        return self.filter(team__in=Team.objects.of(user))

    def usage(self, team: Team, phase: Phase, now: datetime) -> QuotaUsage:
        """The team's quota usage at this time in the phase as the team has it (``Extension.objects.phase_of``)."""
        return self.usages(team, [phase], now)[phase.pk]

    def usages(self, team: Team, phases: Iterable[Phase], now: datetime) -> dict[int, QuotaUsage]:
        """The same for several phases, by primary key, in one query."""
        phases = list(phases)
        today = utc_day(now)
        of_today = models.Q(day=today.date())
        # not one that failed by a server error
        invalid = models.Q(submission__evaluation__state=Evaluation.State.INVALID)
        counted = {
            "total": models.Count("total_slot"),
            "today": models.Count("day_slot", filter=of_today),
            "on_board": models.Count("board_slot"),
            "invalid_today": models.Count("pk", filter=of_today & invalid),
            "last_total": models.Max("total_slot"),
            "last_today": models.Max("day_slot", filter=of_today),
            "last_on_board": models.Max("board_slot"),
        }
        nothing = {name: 0 for name in counted if not name.startswith("last")}
        rows = self.filter(team=team, phase__in=[phase.pk for phase in phases]).order_by()
        held = {row.pop("phase"): row for row in rows.values("phase").annotate(**counted)}
        return {
            phase.pk: QuotaUsage(
                total_limit=phase.quota_total,
                day_limit=phase.quota_per_day,
                board_limit=phase.quota_on_board,
                day_ends_at=today + timedelta(days=1),
                **held.get(phase.pk, nothing),
            )
            for phase in phases
        }

    def used_up(self, phase: Phase, now: datetime) -> Any:
        """The teams (as ``team``) whose quotas let them submit nothing more before the phase ends.

        The quota of the day counts on the last day, that of the board only where nothing can be withdrawn.
        """
        today = utc_day(now)
        last_day = phase.closes_at is not None and phase.closes_at <= today + timedelta(days=1)
        limits = {
            "total": phase.quota_total,
            "today": phase.quota_per_day if last_day else None,
            "on_board": None if phase.allows_withdrawal else phase.quota_on_board,
        }
        reached = [models.Q(**{f"{name}__gte": limit}) for name, limit in limits.items() if limit is not None]
        if not reached:
            return self.none().values("team")
        held = self.filter(phase=phase).order_by().values("team")
        counted = held.annotate(
            total=models.Count("total_slot"),
            today=models.Count("day_slot", filter=models.Q(day=today.date())),
            on_board=models.Count("board_slot"),
        )
        return counted.filter(reduce(or_, reached)).values("team")

    def reserve(self, submission: Submission, now: datetime, usage: QuotaUsage | None = None) -> "Attempt":
        """Take the lowest free slot of every quota. Unique constraints reject any race that the lock missed.

        ``usage``: the team's at this time, if already known.
        """
        usage = usage or self.usage(submission.team, submission.phase, now)
        day = utc_day(now).date()
        theirs = self.of(submission.team, submission.phase)

        def free(slot: str, among: AttemptQuerySet, taken: int, last: int | None) -> int:
            if last is None or last == taken - 1:
                return taken
            return _lowest_free(among.values_list(slot, flat=True))  # one was given back

        made = self.create(
            submission=submission,
            team=submission.team,
            phase=submission.phase,
            reserved_at=now,
            day=day,
            total_slot=free("total_slot", theirs, usage.total, usage.last_total),
            day_slot=free("day_slot", theirs.filter(day=day), usage.today, usage.last_today),
            board_slot=free("board_slot", theirs, usage.on_board, usage.last_on_board),
        )
        made.usage = usage.with_one_more()
        return made

    def move_to(self, team: Team) -> None:
        """Move attempts to a team; their quota usage is added to the team's own."""
        for attempt in self.order_by("reserved_at"):
            theirs = list(self.model.objects.of(team, attempt.phase))
            same_day = [other for other in theirs if other.day == attempt.day]
            for field, among in (("total_slot", theirs), ("day_slot", same_day), ("board_slot", theirs)):
                if getattr(attempt, field) is not None:
                    setattr(attempt, field, _lowest_free(getattr(other, field) for other in among))
            attempt.team = team
            attempt.save(update_fields=["team", "total_slot", "day_slot", "board_slot"])

    def spend(self, submission_id: int, now: datetime) -> None:
        self.filter(submission=submission_id, state=Attempt.State.RESERVED).update(
            state=Attempt.State.SPENT, settled_at=now, reason="scored"
        )

    def give_back(self, submission_id: int, reason: str, now: datetime) -> None:
        self.filter(submission=submission_id).exclude(state=Attempt.State.GIVEN_BACK).update(
            state=Attempt.State.GIVEN_BACK,
            settled_at=now,
            reason=reason,
            total_slot=None,
            day_slot=None,
            board_slot=None,
        )

    def take_places(self, on_board: Container[int] | None = None, *, quota: bool = False) -> None:
        """Take the lowest free place on the board for these attempts of one team and phase (those ``on_board``, or all), and
        with ``quota`` those of the quotas. More may be taken than the phase allows."""
        attempts: list[Any] = list(self.order_by("reserved_at", "pk"))
        if not attempts:
            return
        theirs = list(
            self.model.objects.of(attempts[0].team, attempts[0].phase).exclude(
                pk__in=[a.pk for a in attempts]
            )
        )
        for attempt in attempts:
            if quota:
                attempt.total_slot = _lowest_free(other.total_slot for other in theirs)
                attempt.day_slot = _lowest_free(
                    other.day_slot for other in theirs if other.day == attempt.day
                )
            if on_board is None or attempt.pk in on_board:
                attempt.board_slot = _lowest_free(other.board_slot for other in theirs)
            theirs.append(attempt)
        self.model.objects.bulk_update(attempts, ["total_slot", "day_slot", "board_slot"])

    def take_again(self, submission_id: int) -> None:
        """Reverse ``give_back``: the lowest free slots are taken. Call it with the team locked."""
        attempt = self.select_related("submission__evaluation").get(submission=submission_id)
        held = list(self.of(attempt.team, attempt.phase).exclude(state=Attempt.State.GIVEN_BACK))
        submission = attempt.submission
        is_waiting = submission.state in Evaluation.UNFINISHED
        attempt.state = Attempt.State.RESERVED if is_waiting else Attempt.State.SPENT
        attempt.reason = "" if is_waiting else "scored"
        attempt.total_slot = _lowest_free(other.total_slot for other in held)
        attempt.day_slot = _lowest_free(other.day_slot for other in held if other.day == attempt.day)
        if submission.withdrawn_at is None:
            attempt.board_slot = _lowest_free(other.board_slot for other in held)
        attempt.save(update_fields=["state", "reason", "total_slot", "day_slot", "board_slot"])

    def free_board_place(self, submission_id: int) -> None:
        """A withdrawn result leaves the board but still counts towards the total and the day."""
        self.filter(submission=submission_id).update(board_slot=None)


def _lowest_free(slots: Iterable[int | None]) -> int:
    taken = set(slots)
    return next(slot for slot in range(len(taken) + 1) if slot not in taken)


class Attempt(models.Model):
    """What a submission uses of its team's quotas: a ledger entry.

    A slot number is unique within team and phase (and day). Once given back it is NULL, which never equals
    anything, so the database itself rejects two submissions in one slot.
    """

    class State(models.TextChoices):
        RESERVED = "reserved", "reserved"
        SPENT = "spent", "spent"
        GIVEN_BACK = "given_back", "given back"

    submission = models.OneToOneField(Submission, models.CASCADE, related_name="attempt", primary_key=True)
    team = models.ForeignKey(Team, models.CASCADE, related_name="attempts")
    phase = models.ForeignKey(Phase, models.CASCADE, related_name="attempts")
    state = models.CharField(max_length=10, choices=State, default=State.RESERVED)
    reason = models.CharField(max_length=120, blank=True)
    reserved_at = models.DateTimeField()
    settled_at = models.DateTimeField(null=True, blank=True)
    day = models.DateField(help_text="UTC")
    total_slot = models.PositiveIntegerField(null=True, blank=True)
    day_slot = models.PositiveIntegerField(null=True, blank=True)
    board_slot = models.PositiveIntegerField(null=True, blank=True)

    usage: QuotaUsage | None = None
    """The team's with this attempt, where it has just been reserved."""

    objects = AttemptQuerySet.as_manager()

    class Meta:
        ordering = ["-reserved_at"]
        constraints = [
            models.UniqueConstraint(
                fields=["team", "phase", "total_slot"], name="one_attempt_per_total_slot"
            ),
            models.UniqueConstraint(
                fields=["team", "phase", "day", "day_slot"], name="one_attempt_per_day_slot"
            ),
            models.UniqueConstraint(
                fields=["team", "phase", "board_slot"], name="one_attempt_per_board_slot"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.state} attempt of submission {self.submission_id}"
