"""What participants ask the organisers, and the answers."""

from typing import Any

from django.conf import settings
from django.core.validators import MinLengthValidator
from django.db import models
from django.utils import timezone

from .competitions import Competition
from .text import plain_text


class QuestionQuerySet(models.QuerySet["Question"]):
    def answered(self) -> "QuestionQuerySet":
        """Public: answered for everyone, and not hidden."""
        return self.filter(answered_at__isnull=False, is_public=True, hidden_at=None)

    def open(self) -> "QuestionQuerySet":
        return self.filter(answered_at=None, hidden_at=None)

    def visible_to(self, user: Any) -> "QuestionQuerySet":
        """The public ones, the person's own, and all of the competitions that the person organises or helps with."""
        seen = self.filter(competition__in=Competition.objects.visible_to(user))
        if not user.is_authenticated:
            return seen.answered()
        organised = Competition.objects.helped_by(user).values("pk")
        mine = models.Q(asked_by=user) | models.Q(competition__in=organised)
        public = models.Q(answered_at__isnull=False, is_public=True, hidden_at=None)
        return seen.filter(mine | public)

    def containing(self, text: str) -> "QuestionQuerySet":
        """Those with every word of the text in title, question or answer."""
        rows = self
        for word in text.split()[:8]:
            in_title = models.Q(title__icontains=word)
            rows = rows.filter(in_title | models.Q(body__icontains=word) | models.Q(answer__icontains=word))
        return rows


class Question(models.Model):
    """A question by a participant. Only its author and the organisers read it until it is answered publicly."""

    competition = models.ForeignKey(Competition, models.CASCADE, related_name="questions")
    asked_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="questions"
    )
    title = models.CharField(max_length=120, validators=[plain_text, MinLengthValidator(5)])
    body = models.TextField(
        "question", max_length=4000, validators=[plain_text], help_text="Plain text; addresses become links."
    )
    wants_privacy = models.BooleanField(
        "asked privately",
        default=False,
        help_text="The answer goes to the person who asked, and to nobody else.",
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    answer = models.TextField(
        max_length=10_000,
        blank=True,
        validators=[plain_text],
        help_text="Plain text; addresses become links.",
    )
    answered_at = models.DateTimeField(null=True, blank=True, editable=False)
    answered_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+"
    )
    is_public = models.BooleanField("answered publicly", default=False, editable=False)
    hidden_at = models.DateTimeField(null=True, blank=True, editable=False)
    hidden_reason = models.CharField(max_length=300, blank=True, editable=False)

    objects = QuestionQuerySet.as_manager()

    class Meta:
        ordering = ["-created_at", "-pk"]
        indexes = [
            models.Index(fields=["competition", "-created_at"], name="questions_of_a_competition"),
            models.Index(
                fields=["competition"], condition=models.Q(answered_at=None), name="questions_to_answer"
            ),
        ]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(answered_at=None) | ~models.Q(answer=""), name="an_answer_has_a_text"
            ),
            models.CheckConstraint(
                condition=~models.Q(wants_privacy=True, is_public=True), name="asked_privately_stays_private"
            ),
        ]

    def __str__(self) -> str:
        return self.title

    @property
    def state(self) -> str:
        if self.hidden_at:
            return "hidden"
        if self.answered_at is None:
            return "open"
        return "answered" if self.is_public else "answered privately"
