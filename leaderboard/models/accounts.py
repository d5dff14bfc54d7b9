"""People and their API tokens."""

from datetime import datetime, timedelta
from typing import Any

from django.contrib.auth.models import AbstractUser
from django.db import models
from django.db.models.functions import Lower
from knox.models import AbstractAuthToken, AuthTokenManager

from .countries import known_country
from .emails import NormalEmailField
from .names import plain_name
from .text import plain_text

USE_NOTED_EVERY = timedelta(minutes=1)


class User(AbstractUser):  # type: ignore[django-manager-missing]  # knox declares no manager
    """A person. Teams compete; a person belongs to at most one team per competition."""

    username = models.CharField(
        max_length=150,
        unique=True,
        help_text="Required. 150 characters or fewer. Letters, digits and @/./+/-/_ only.",
        validators=[AbstractUser.username_validator, plain_text, plain_name],
        error_messages={"unique": "A user with that username already exists."},
    )
    first_name = models.CharField(max_length=150, blank=True, validators=[plain_text, plain_name])
    last_name = models.CharField(max_length=150, blank=True, validators=[plain_text, plain_name])
    email = NormalEmailField("e-mail address", blank=True)
    affiliation = models.CharField(max_length=120, blank=True, validators=[plain_text, plain_name])
    country = models.CharField(
        "country or region",
        max_length=2,
        blank=True,
        validators=[known_country],
        help_text="ISO 3166 two-letter code. Used for counts only, never shown next to your name.",
    )

    may_organise = True
    """False where the person acts through a token without the scope `organise`: then they see and do what others may."""

    class Meta(AbstractUser.Meta):
        verbose_name, verbose_name_plural = "person", "people"
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

    def has_perm(self, perm: str, obj: Any = None) -> bool:
        """Rights go by competition and role; what belongs to no competition is for superusers. Asks no database."""
        return self.is_active and self.is_superuser

    def has_module_perms(self, app_label: str) -> bool:
        return self.is_active and self.is_superuser


class Scope(models.TextChoices):
    """What an API token may be used for, never more than the person may do. `submit` includes seeing one's submissions."""

    READ = "read", "read what you may see"
    SUBMIT = "submit", "submit, and see your own submissions"
    TEAM = "team", "manage your teams"
    ORGANISE = "organise", "act as an organiser"


ALL_SCOPES = tuple(Scope)


class ApiTokenQuerySet(models.QuerySet["ApiToken"]):
    def expired(self, now: datetime) -> "ApiTokenQuerySet":
        return self.filter(expiry__lte=now)

    def valid(self, now: datetime) -> "ApiTokenQuerySet":
        return self.filter(models.Q(expiry=None) | models.Q(expiry__gt=now))

    def note_use(self, token: "ApiToken", now: datetime, address: str | None) -> None:
        """Keep when and from where the token was used, at most once a minute, so that it costs no query per request."""
        if token.last_used_at is not None and now - token.last_used_at < USE_NOTED_EVERY:
            return
        is_due = models.Q(last_used_at=None) | models.Q(last_used_at__lte=now - USE_NOTED_EVERY)
        self.filter(is_due, pk=token.pk).update(last_used_at=now, last_used_from=address)


class ApiToken(AbstractAuthToken):
    """A named, revocable API token; only its SHA-512 digest is stored."""

    name = models.CharField(max_length=60, default="token", validators=[plain_text, plain_name])
    note = models.CharField(max_length=200, blank=True, validators=[plain_text])
    scope = models.CharField(
        max_length=40,
        default=" ".join(ALL_SCOPES),
        help_text="Words with spaces between them, as in OAuth 2: read, submit, team, organise.",
    )
    competition = models.ForeignKey(
        "leaderboard.Competition",
        models.CASCADE,
        null=True,
        blank=True,
        related_name="+",
        help_text="The only competition in which it works; empty: all.",
    )
    last_used_at = models.DateTimeField(null=True, blank=True, editable=False)
    last_used_from = models.GenericIPAddressField("last used from", null=True, blank=True, editable=False)

    objects = AuthTokenManager.from_queryset(ApiTokenQuerySet)()

    def __str__(self) -> str:
        return f"{self.name} ({self.token_key}…)"

    @property
    def scopes(self) -> list[Scope]:
        return [scope for scope in Scope if scope in self.scope.split()]

    def has_expired(self, now: datetime) -> bool:
        return self.expiry is not None and self.expiry <= now

    @property
    def has_full_power(self) -> bool:
        """Whether it may do all that its person may, account included."""
        return self.competition_id is None and len(self.scopes) == len(ALL_SCOPES)


class SignIn(models.Model):
    """A device and a network from which a person has signed in: a sign-in from others is announced by mail."""

    user = models.ForeignKey(User, models.CASCADE, related_name="sign_ins")
    device = models.CharField(max_length=60, help_text="Browser and system, without versions.")
    network = models.CharField(max_length=50, help_text="The network of the address: /24, or /48 of IPv6.")
    first_at = models.DateTimeField()
    last_at = models.DateTimeField(db_index=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["user", "device", "network"], name="one_row_per_device_and_network"
            )
        ]

    def __str__(self) -> str:
        return f"{self.user} with {self.device} from {self.network}"
