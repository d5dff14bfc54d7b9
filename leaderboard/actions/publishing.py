"""From a draft, which only its organisers see, to a competition that everybody sees, and back."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import Exists, OuterRef
from django.utils import timezone

from leaderboard.models import AuditEntry, Competition, DataFile, Phase, Prize, QuickLook, Terms
from leaderboard.models.text import moment

from .organisers import in_turn
from .records import need_reason, public_entry
from .refusals import Conflict, check_organiser


@dataclass(frozen=True)
class Check:
    """One line of the list before publishing. ``needed``: it cannot be published without."""

    name: str
    is_done: bool
    todo: str
    needed: bool = False
    page: str = ""
    """Where it is done: the name of a list or form of the admin."""


def checklist(competition: Competition, now: datetime | None = None) -> list[Check]:
    """What a visitor would miss, most important first."""
    now = now or timezone.now()
    phases = list(competition.phases.with_labels())
    pages = list(competition.pages.all())
    overview = next(iter(pages), None)
    has_rules = any(page.slug == "rules" for page in pages)
    there = {
        "has_data": DataFile.objects.filter(competition=OuterRef("pk")),
        "has_prizes": Prize.objects.filter(competition=OuterRef("pk")),
        "has_terms": Terms.objects.filter(competition=OuterRef("pk")),
        "has_mail": Competition.organisers.through.objects.filter(competition=OuterRef("pk")).exclude(
            user__email=""
        ),
    }
    found: Any = (
        Competition.objects.filter(pk=competition.pk)
        .values(**{name: Exists(rows.order_by()) for name, rows in there.items()})
        .get()
    )
    return [
        Check("A phase", bool(phases), "Add a phase with its dates.", True, "phase_add"),
        Check(
            "An overview", bool(overview and overview.body.strip()), "Write the first page.", True, "page_changelist"
        ),
        Check(
            "An organiser with a mail address",
            found["has_mail"],
            "Add an organiser who gets questions and failures by mail.",
            True,
            "competition_changelist",
        ),
        *_labels(phases),
        *_dates(phases, now),
        Check("Rules", has_rules, "Write a page with the address “rules”.", page="page_add"),
        Check(
            "Terms", found["has_terms"], "Publish terms, if participants must accept some.",
            page="terms_add",
        ),
        Check("Public data", found["has_data"], "Upload training data and images, or link to them.", page="datafile_add"),
        Check("Prizes", found["has_prizes"], "Name the prizes, if there are some.",
              page="prize_add"),
    ]  # fmt: skip


def _labels(phases: list[Phase]) -> Iterator[Check]:
    with_images = set(
        QuickLook.objects.filter(phase__in=phases).order_by().values_list("phase", flat=True).distinct()
    )
    for phase in phases:
        todo = "Load its labels before it opens: their commitment is then public beforehand."
        yield Check(f"Labels of {phase.name}", phase.labels_id is not None, todo, page="phase_changelist")
        if phase.labels_id is not None:
            yield Check(
                f"Images of {phase.name}",
                phase.pk in with_images,
                "Load its images, for masks over images and the report.",
                page="phase_changelist",
            )


def _dates(phases: list[Phase], now: datetime) -> Iterator[Check]:
    if phases and all(phase.has_closed(now) for phase in phases):
        yield Check("Dates to come", False, "All phases have ended already.", page="phase_changelist")
    for phase in phases:
        if phase.is_open(now):
            todo = f"It opened on {moment(phase.opens_at)}: teams can submit as soon as this is published."
            yield Check(f"{phase.name} opens later", False, todo, page="phase_changelist")


def publish(user: Any, competition: Competition) -> None:
    """Show it to everybody. Raises Conflict while something is missing that it needs."""
    check_organiser(user, competition)
    missing = [check for check in checklist(competition) if check.needed and not check.is_done]
    if missing:
        raise Conflict(" ".join(["Not yet:", *(check.todo for check in missing)]))
    _change(user, competition, True, "competition published", {"public": True})


def withdraw(user: Any, competition: Competition, reason: str, withhold: str = "") -> None:
    """Make it a draft again: only organisers see it. Nothing is deleted."""
    check_organiser(user, competition)
    _change(user, competition, False, "competition made a draft", public_entry(need_reason(reason), withhold))


def _change(user: Any, competition: Competition, published: bool, act: str, entry: dict[str, Any]) -> None:
    with transaction.atomic():
        in_turn(competition)
        if not Competition.objects.filter(pk=competition.pk).exclude(is_published=published).exists():
            raise Conflict(f"{competition} is {'published' if published else 'a draft'} already.")
        Competition.objects.filter(pk=competition.pk).update(is_published=published)
        AuditEntry.objects.append(act, competition=competition, actor=user, subject=str(competition), **entry)
    competition.refresh_from_db()
