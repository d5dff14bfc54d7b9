"""The live workers, from their own heartbeats."""

from datetime import datetime, timedelta

from django.conf import settings
from django.db import models


def patience() -> timedelta:
    """How long a worker may be silent before it counts as gone."""
    return timedelta(seconds=max(30, 3 * settings.EVALUATION_SWEEP_SECONDS))


class WorkerQuerySet(models.QuerySet["Worker"]):
    def sign(self, name: str, now: datetime, confinement: str = "filtered") -> None:
        """Record a heartbeat of this worker."""
        self.update_or_create(name=name, defaults={"seen_at": now, "confinement": confinement})

    def scoring(self) -> "WorkerQuerySet":
        """Those that do not refuse to."""
        return self.exclude(confinement=Worker.Confinement.REFUSES)

    def alive(self, now: datetime) -> "WorkerQuerySet":
        """Workers with a heartbeat in the last three intervals, or in the last 30 seconds if that is longer."""
        return self.filter(seen_at__range=(now - patience(), now + patience()))

    def forgotten(self, now: datetime) -> "WorkerQuerySet":
        """Silent for a day; or signed by a clock that has been set back since."""
        day = timedelta(days=1)
        return self.exclude(seen_at__range=(now - day, now + day))

    def silent(self, now: datetime) -> "WorkerQuerySet":
        """Workers with a heartbeat in the last hour that went silent without signing off."""
        return self.filter(seen_at__gte=now - timedelta(hours=1)).exclude(pk__in=self.alive(now))


class Worker(models.Model):
    """A worker process (host:pid). It sends a heartbeat every sweep interval and signs off when stopped."""

    class Confinement(models.TextChoices):
        FILTERED = "filtered", "reads archives behind a system-call filter"
        UNFILTERED = (
            "unfiltered",
            "reads archives without a system-call filter, as SCORE_WITHOUT_FILTER allows",
        )
        REFUSES = "refuses", "refuses to read archives: there is no system-call filter"

    name = models.CharField(max_length=120, unique=True)
    seen_at = models.DateTimeField()
    confinement = models.CharField(
        max_length=10,
        choices=Confinement,
        default=Confinement.FILTERED,
        db_default=Confinement.FILTERED,  # workers still on the old version keep inserting rows
    )

    objects = WorkerQuerySet.as_manager()

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name

    def state(self, now: datetime) -> str:
        """One of: at work, refuses to score, silent."""
        if self.seen_at < now - patience():
            return "silent"
        return "refuses to score" if self.confinement == self.Confinement.REFUSES else "at work"
