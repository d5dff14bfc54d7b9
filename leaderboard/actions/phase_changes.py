"""What a change of a phase means for participants: said before it is saved, published after it."""

from collections.abc import Iterable, Iterator
from datetime import datetime

from django.contrib.auth.models import AnonymousUser
from django.db.models import Count
from django.template.defaultfilters import pluralize

from leaderboard.models import Attempt, Competition, FormerSlug, Phase, Standing
from leaderboard.models.text import moment
from leaderboard.models.visibility import View, view_of

RULES = frozenset(
    {
        *("opens_at", "closes_at", "labels_public_since", "gallery"),
        *("quota_total", "quota_per_day", "quota_on_board", "allows_withdrawal"),
        *("visible_metrics", "counts", "selected_limit", "hidden_until_close", "freezes_at"),
        *("ladder_step", "ladder_start"),
    }
)
"""Fields that touch fairness: a change of them needs a reason and is public, unless there is a reason against it."""

QUOTAS = {
    "quota_total": ("total_slot", "submission{s} in total"),
    "quota_on_board": ("board_slot", "place{s} on the board"),
}


def consequences(before: Phase, after: Phase, now: datetime) -> list[str]:
    """Sentences about what saving ``after`` (not yet saved) in place of ``before`` does that may surprise."""
    return [
        *_newly_visible(before, after, now),
        *_windows(before, after, now),
        *_quotas(before, after),
        *_addresses(before, after),
    ]


def _newly_visible(before: Phase, after: Phase, now: datetime) -> Iterator[str]:
    old, new = (view_of(phase, AnonymousUser(), now, organises=False) for phase in (before, after))
    scores = Standing.objects.filter(
        phase=before, label_set=before.labels_id, kind=Standing.Kind.EXACT
    ).count()
    if not scores:
        return
    who = f"everyone will see the scores of {scores} team{pluralize(scores)}"
    if old.board is None and new.board is not None:
        yield f"At once {who} on the board, which is hidden now. This cannot be undone."
    elif _is_frozen(old) and not _is_frozen(new):
        yield f"At once {who} as they are, instead of the frozen or stepwise board. This cannot be undone."
    elif gained := sorted(new.metrics - old.metrics):
        yield f"At once {who} with {' and '.join(gained)}, hidden now. This cannot be undone."


def _is_frozen(view: View) -> bool:
    return view.board == Standing.Kind.SHOWN


def _windows(before: Phase, after: Phase, now: datetime) -> Iterator[str]:
    if after.has_closed(now) and not before.has_closed(now):
        yield f"{after.name} ends at once: no team can submit any more. A later end opens it again."
    if before.has_closed(now) and not after.has_closed(now):
        yield f"{after.name}, which has ended, opens again; final results change with new submissions."
    if before.has_opened(now) and not after.has_opened(now):
        yield f"{after.name}, which is open, closes until {moment(after.opens_at)}."
    following = (
        Phase.objects.filter(competition=before.competition_id, opens_at__gte=before.opens_at)
        .exclude(pk=before.pk)
        .order_by("opens_at")
        .first()
    )
    moved = (before.opens_at, before.closes_at) != (after.opens_at, after.closes_at)
    if moved and following and (after.closes_at is None or after.closes_at > following.opens_at):
        end = f"ends on {moment(after.closes_at)}" if after.closes_at else "has no end"
        yield f"{after.name} {end}, after {following.name} opens on {moment(following.opens_at)}: both will be open."


def _quotas(before: Phase, after: Phase) -> Iterator[str]:
    for field, (slot, what) in QUOTAS.items():
        limit, old = getattr(after, field), getattr(before, field)
        if limit is None or limit == old:
            continue
        used = Attempt.objects.filter(phase=before).order_by().values("team").annotate(used=Count(slot))
        if over := used.filter(used__gt=limit).count():
            yield (
                f"{over} team{pluralize(over)} {pluralize(over, 'has,have')} used more than {limit} {what.format(s=pluralize(limit))} and cannot "
                "submit any more. What was submitted keeps counting."
            )
    if after.allows_withdrawal != before.allows_withdrawal and not after.allows_withdrawal:
        yield "Teams can no longer withdraw submissions."


def _addresses(before: Phase, after: Phase) -> Iterator[str]:
    if after.slug != before.slug:
        yield f"The phase's pages move to …/{after.slug}/. Links to …/{before.slug}/ lead to the new address."


def need_reason_for(fields: Iterable[str]) -> bool:
    """Whether changing these fields of a phase touches fairness."""
    return bool(RULES.intersection(fields))


def keep_former_slugs(competition: Competition, phase: Phase | None, slug: str) -> None:
    """After a competition (``phase`` None) or a phase was renamed: its old address leads to the new one."""
    now_used = phase.slug if phase else competition.slug
    scope = {"phase": None} if phase is None else {"competition": competition, "phase__isnull": False}
    FormerSlug.objects.filter(slug__in=(slug, now_used), **scope).delete()
    FormerSlug.objects.create(competition=competition, phase=phase, slug=slug)
