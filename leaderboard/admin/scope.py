"""Which rows an organiser may see: those of the competitions that they organise; superusers see all."""

from typing import Any

from django.db import connection, models
from django.db.models.fields.json import KeyTextTransform
from django.db.models.functions import Cast

from leaderboard.models import AuditEntry, Competition, LabelSet, Membership, Phase, User
from leaderboard.models.ownership import COMPETITION_OF


def within(rows: models.QuerySet[Any], user: Any, *, helped: bool = False) -> models.QuerySet[Any]:
    """The rows that belong to the user's competitions; none of a model that belongs to no competition.

    ``helped``: also to those with which the user helps.
    """
    if user.is_superuser:
        return rows
    competitions = Competition.objects
    mine = (competitions.helped_by(user) if helped else competitions.organised_by(user)).values("pk")
    if rows.model is User:
        # Asked of each user, so that one user's page does not collect all members.
        is_member = Membership.objects.filter(user=models.OuterRef("pk"), competition__in=mine)
        return rows.filter(
            models.Q(pk=user.pk)
            | models.Q(models.Exists(is_member))
            | models.Q(
                pk__in=Competition.organisers.through.objects.filter(competition__in=mine).values("user")
            )
            | models.Q(pk__in=_taken_out(mine))
        )
    path = COMPETITION_OF.get(rows.model)
    if path is None:
        return rows.none()
    if connection.vendor == "sqlite" and path.endswith("phase__competition"):
        # The sum keeps SQLite from collecting and sorting all rows of the phases for the newest fifty of a list.
        phase = models.F(f"{path.removesuffix('__competition')}_id")
        phases = Phase.objects.filter(competition__in=mine).values("pk")
        return rows.alias(within_phase=phase + 0).filter(within_phase__in=phases)
    return rows.filter(**{f"{path}__in": mine})


def _taken_out(competitions: models.QuerySet[Any]) -> models.QuerySet[Any]:
    """The people whom organisers took out of a team: adding them again is how that is undone."""
    entries = AuditEntry.objects.filter(competition__in=competitions, act="member removed").order_by()
    return entries.values_list(Cast(KeyTextTransform("person", "details"), models.BigIntegerField()))


def without_masks(rows: models.QuerySet[Any], label_set: str = "") -> models.QuerySet[Any]:
    """Leave the hidden masks in the database. ``label_set`` is the path to the label set, with "__" at its end."""
    return rows.defer(f"{label_set}masks", f"{label_set}salt")


def choices(model: type[models.Model], user: Any, *, helped: bool = False) -> models.QuerySet[Any]:
    """The rows of a model from which the user may choose in a form or filter, with what their names need."""
    rows = within(model._default_manager.all(), user, helped=helped)
    if model is LabelSet:
        return without_masks(rows.select_related("phase__competition"))
    return rows.select_related("competition") if model is Phase else rows
