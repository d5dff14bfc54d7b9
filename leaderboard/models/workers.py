"""Which workers there are, as they say themselves."""

from datetime import datetime, timedelta

from django.conf import settings
from django.db import models


class WorkerQuerySet(models.QuerySet["Worker"]):
    def sign(self, name: str, now: datetime) -> None:
        """The worker is alive at this moment."""
        self.update_or_create(name=name, defaults={"seen_at": now})

    def alive(self, now: datetime) -> "WorkerQuerySet":
        """Those that have signed lately: three times the interval of signing, at least half a minute."""
        return self.filter(
            seen_at__gte=now - timedelta(seconds=max(30, 3 * settings.EVALUATION_SWEEP_SECONDS))
        )

    def forgotten(self, now: datetime) -> "WorkerQuerySet":
        return self.filter(seen_at__lt=now - timedelta(days=1))

    def silent(self, now: datetime) -> "WorkerQuerySet":
        """Those that signed within the last hour, did not sign off, and have gone silent."""
        return self.filter(seen_at__gte=now - timedelta(hours=1)).exclude(pk__in=self.alive(now))


class Worker(models.Model):
    """A worker process (host:pid). It signs at every sweep's interval and signs off when it is stopped."""

    name = models.CharField(max_length=120, unique=True)
    seen_at = models.DateTimeField()

    objects = WorkerQuerySet.as_manager()

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name
