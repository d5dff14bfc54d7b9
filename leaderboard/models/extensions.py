"""More time or more submissions for one team in one phase."""

import copy
from collections.abc import Iterable
from typing import Any

from django.conf import settings
from django.db import models
from django.utils import timezone

from .competitions import Phase
from .teams import Team

QUOTAS = ("quota_total", "quota_per_day", "quota_on_board")


class ExtensionQuerySet(models.QuerySet["Extension"]):
    def applied(self, team: Team, phases: Iterable[Phase]) -> list[Phase]:
        """The phases as this team has them: copies with its own end and quotas where it has an extension."""
        phases = list(phases)
        rows = {row.phase_id: row for row in self.filter(team=team, phase__in=[phase.pk for phase in phases])}
        return [rows[phase.pk].on(phase) if phase.pk in rows else phase for phase in phases]

    def phase_of(self, team: Team, phase: Phase) -> Phase:
        """The phase as this team has it."""
        return self.applied(team, [phase])[0]


class Extension(models.Model):
    """A team's own end and quotas in a phase. It never takes anything away: what the phase allows everyone holds too."""

    team = models.ForeignKey(Team, models.CASCADE, related_name="extensions")
    phase = models.ForeignKey(Phase, models.CASCADE, related_name="extensions")
    closes_at = models.DateTimeField("ends for this team", null=True, blank=True)
    quota_total = models.PositiveIntegerField("submissions in total", null=True, blank=True)
    quota_per_day = models.PositiveIntegerField("submissions a day", null=True, blank=True)
    quota_on_board = models.PositiveIntegerField("results on the board", null=True, blank=True)
    reason = models.CharField(max_length=300)
    granted_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+")
    granted_at = models.DateTimeField(default=timezone.now)

    objects = ExtensionQuerySet.as_manager()

    class Meta:
        ordering = ["-granted_at", "-id"]
        constraints = [
            models.UniqueConstraint(fields=["team", "phase"], name="one_extension_of_a_team_in_a_phase")
        ]

    def __str__(self) -> str:
        return f"{self.team} in {self.phase.name}"

    def on(self, phase: Phase) -> Phase:
        """A copy of the phase as this team has it; never save it."""
        own = copy.copy(phase)
        own.extension = self  # type: ignore[attr-defined]  # templates say so
        own.closes_at = later(phase.closes_at, self.closes_at)
        for name in QUOTAS:
            setattr(own, name, _more(getattr(phase, name), getattr(self, name)))
        return own


def later(of_phase: Any, of_team: Any) -> Any:
    """The later end; a phase without end has none for anyone."""
    return of_phase if of_phase is None or of_team is None else max(of_phase, of_team)


def _more(of_phase: int | None, of_team: int | None) -> int | None:
    return of_phase if of_phase is None or of_team is None else max(of_phase, of_team)
