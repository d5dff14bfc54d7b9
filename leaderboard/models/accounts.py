"""People and their API tokens."""

from django.contrib.auth.models import AbstractUser
from django.db import models
from django.db.models.functions import Lower
from knox.models import AbstractAuthToken

from .countries import known_country


class User(AbstractUser):  # type: ignore[django-manager-missing]  # knox declares no manager
    """A person. Teams compete; a person belongs to at most one team per competition."""

    email = models.EmailField("e-mail address", blank=True)
    affiliation = models.CharField(max_length=120, blank=True)
    country = models.CharField(
        "country or region",
        max_length=2,
        blank=True,
        validators=[known_country],
        help_text="ISO 3166 two-letter code. Used for counts only, never shown next to your name.",
    )

    class Meta(AbstractUser.Meta):
        constraints = [
            models.UniqueConstraint(
                Lower("email"),
                condition=~models.Q(email=""),
                name="one_account_per_email",
                violation_error_message="An account with this e-mail address already exists.",
            )
        ]

    def __str__(self) -> str:
        return self.username


class ApiToken(AbstractAuthToken):
    """A named, revocable API token; only its SHA-512 digest is stored."""

    name = models.CharField(max_length=60, default="token")

    def __str__(self) -> str:
        return f"{self.name} ({self.token_key}…)"
