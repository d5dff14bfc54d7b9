"""An append-only, hash-chained log of actions by organisers and the server."""

from typing import Any

from django.conf import settings
from django.db import models, transaction
from django.utils import timezone

from evaluation.trust.audit_log import COVERED, digest_of

from .locks import lock_named


class AuditQuerySet(models.QuerySet["AuditEntry"]):
    def for_public(self) -> "AuditQuerySet":
        return self.filter(public=True)

    def withheld(self) -> "AuditQuerySet":
        """Entries that an organiser kept out of the public log, with a reason."""
        return self.filter(public=False, details__withheld__isnull=False)

    def append(
        self,
        act: str,
        *,
        competition: Any = None,
        actor: Any = None,
        subject: str = "",
        reason: str = "",
        details: dict[str, Any] | None = None,
        public: bool = False,
    ) -> "AuditEntry":
        """Append one entry; call it inside the transaction of the logged action."""
        with transaction.atomic():
            lock_named("audit")
            last = self.model.objects.order_by("-id").first()
            entry = AuditEntry(
                at=timezone.now(),
                act=act,
                competition=competition,
                actor=actor,
                actor_name=str(actor) if actor else "server",
                subject=subject[:200],
                reason=reason,
                details=details or {},
                public=public,
                previous=last.digest if last else "",
            )
            entry.digest = entry.compute_digest()
            entry.save(force_insert=True)
        return entry

    def adopt(self, entry: "AuditEntry") -> None:
        """Append an entry from another server's log, inside the import's transaction.

        Its date and text are kept; its original digests are stored in its details.
        """
        lock_named("audit")
        last = self.model.objects.order_by("-id").first()
        original = {"previous": entry.previous, "digest": entry.digest}
        entry.details = {**entry.details, "original": original}
        entry.previous = last.digest if last else ""
        entry.digest = entry.compute_digest()
        entry.save(force_insert=True)

    def first_broken(self, newest: int | None = None) -> "AuditEntry | None":
        """The first entry whose digest or link to the previous entry is wrong, or None.

        ``newest``: check only that many entries at the end of the log, including the link to them.
        """
        entries, previous = self.order_by("id"), ""
        if newest is not None:
            before = self.order_by("-id").values_list("id", "digest")[newest : newest + 1].first()
            if before is not None:
                begin, previous = before
                entries = entries.filter(id__gt=begin)
        for entry in entries.iterator():
            if entry.previous != previous or entry.digest != entry.compute_digest():
                return entry
            previous = entry.digest
        return None


class AuditEntry(models.Model):
    """One action: who, what, on what, why. ``digest`` covers the entry and the previous entry's digest."""

    at = models.DateTimeField(db_index=True)
    competition = models.ForeignKey(
        "leaderboard.Competition", models.SET_NULL, null=True, blank=True, related_name="audit"
    )
    actor = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+"
    )
    actor_name = models.CharField(max_length=150)
    act = models.CharField(max_length=60, db_index=True)
    subject = models.CharField(max_length=200, blank=True)
    reason = models.TextField(blank=True)
    details = models.JSONField(default=dict, blank=True)
    public = models.BooleanField(default=False)
    previous = models.CharField(max_length=64, blank=True, unique=True)
    digest = models.CharField(max_length=64, unique=True)

    objects = AuditQuerySet.as_manager()

    class Meta:
        verbose_name_plural = "audit entries"
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"{self.at:%Y-%m-%d %H:%M} {self.actor_name}: {self.act} {self.subject}"

    def compute_digest(self) -> str:
        """SHA-256 of the entry as canonical JSON, with foreign keys as the names at that time."""
        return digest_of({name: getattr(self, name) for name in COVERED} | {"at": self.at.isoformat()})
