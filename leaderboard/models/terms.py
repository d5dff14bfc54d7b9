"""Terms of use of a competition, in versions, and who accepted which."""

from datetime import datetime
from typing import Any

from django.conf import settings
from django.db import models
from django.utils import timezone

from .competitions import Competition


class TermsQuerySet(models.QuerySet["Terms"]):
    def in_force(self, competition: Competition) -> "Terms | None":
        """The newest version; None: the competition has no terms."""
        return self.filter(competition=competition).order_by("-version").first()


class Terms(models.Model):
    """One version: replaced by the next, never edited. Everybody accepts the newest before their first submission."""

    competition = models.ForeignKey(Competition, models.CASCADE, related_name="terms")
    version = models.PositiveIntegerField(editable=False)
    body = models.TextField("text", max_length=100_000, help_text="Markdown: terms of use and rules.")
    published_at = models.DateTimeField(default=timezone.now, editable=False)
    published_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+", editable=False
    )

    objects = TermsQuerySet.as_manager()

    class Meta:
        ordering = ["competition", "-version"]
        verbose_name = verbose_name_plural = "terms"
        constraints = [
            models.UniqueConstraint(fields=["competition", "version"], name="one_text_of_a_version")
        ]

    def __str__(self) -> str:
        return f"Terms of {self.competition}, version {self.version}"

    def accepted_at(self, user: Any) -> datetime | None:
        """When this person accepted this version; None: not yet."""
        if not user.is_authenticated:
            return None
        return self.acceptances.filter(user=user).values_list("accepted_at", flat=True).first()


class TermsAcceptance(models.Model):
    """A person accepted a version of the terms."""

    terms = models.ForeignKey(Terms, models.CASCADE, related_name="acceptances")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="accepted_terms")
    accepted_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering = ["-pk"]
        constraints = [models.UniqueConstraint(fields=["terms", "user"], name="accepted_once")]

    def __str__(self) -> str:
        return f"{self.user}: {self.terms}"
