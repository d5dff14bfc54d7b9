"""Template filters for times, durations, numbers and Markdown."""

import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.timesince import timeuntil

from evaluation.task import TASK
from leaderboard.models import LabelSet, Phase, QuotaUsage
from leaderboard.models.text import day as day_in_words
from leaderboard.models.text import moment as moment_in_words
from leaderboard.platform import markdown as markdown_texts

register = template.Library()


@register.filter
def markdown(text: str) -> SafeString:
    return markdown_texts.render(text)


@register.filter
def moment(value: datetime | None) -> SafeString:
    """A time in UTC; the page's script adds the visitor's local time."""
    return _time(value, moment_in_words, "moment")


@register.filter
def short_moment(value: datetime | None) -> SafeString:
    """The same for table cells; the visitor's local time is in the tooltip."""
    return _time(value, "{0.day} {0:%b %Y}, {0:%H:%M}".format, "moment moment-short")


def _time(value: datetime | None, write: Callable[[datetime], str], css: str) -> SafeString:
    if value is None:
        return SafeString("")
    value = value.astimezone(UTC)
    exact = value.strftime("%Y-%m-%dT%H:%M:%SZ")
    return format_html('<time class="{}" datetime="{}">{}</time>', css, exact, write(value))


@register.filter
def sentence_case(text: str) -> SafeString:
    """Change Password as Change password: the titles of allauth's pages are in another style than ours."""
    words = [word.lower() if _CAPITALISED.match(word) else word for word in text.split()]
    sentence = " ".join(words)
    return SafeString(sentence[:1].upper() + sentence[1:])  # a template's own text, or escaped by it


_CAPITALISED = re.compile(r"[A-Z][a-z]*(-[A-Z]?[a-z]+)*\W*$")


@register.inclusion_tag("elements/bands.html")
def patch_figure() -> dict[str, Any]:
    """A patch as it is read: true colour, every band, the mask. The tiles stand side by side in one picture."""
    names = ["true colour", *TASK.bands, "mask"]
    return {"bands": [(name, TASK.width * place) for place, name in enumerate(names)]}


@register.simple_tag
def countdown(until: datetime, now: datetime) -> SafeString:
    """The time left until a moment in words; countdown.js makes it tick by the server's clock, which it is given."""
    return format_html(
        '<time class="countdown" role="timer" datetime="{}" data-server-ms="{}">{}</time>',
        until.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        int(now.timestamp() * 1000),
        timeuntil(until, now),
    )


@register.filter
def day(value: datetime | None) -> SafeString:
    """The UTC date alone; the exact time is in the element."""
    return _time(value, day_in_words, "moment moment-short")


@register.filter
def age(value: datetime | None, now: datetime) -> SafeString:
    """How long ago, in one unit: 5 min, 3 h, 2 days; the exact time is in the tooltip."""
    if value is None:
        return SafeString("")
    seconds = (now - value).total_seconds()
    sizes = ((86400 * 365.25, "year"), (86400 * 7, "week"), (86400, "day"), (3600, "h"), (60, "min"))
    size, unit = next(((size, unit) for size, unit in sizes if seconds >= size), (0, "now"))
    amount = int(seconds // size) if size else 0
    words = f"{amount}\u00a0{unit}{'s' if amount > 1 and unit not in ('h', 'min') else ''}" if size else unit
    exact = value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return format_html('<time datetime="{}" title="{}">{}</time>', exact, moment_in_words(value), words)


@register.filter
def at(table: dict[Any, Any], key: Any) -> Any:
    """The value of a key; None without one."""
    return table.get(key)


@register.simple_tag
def moved_by(movement: Any, row: Any) -> str:
    """Ranks gained or lost by a row of the organisers' ranking: ▲ 3, ▼ 1, =, or "new"."""
    moved = movement.of(row)
    if moved is None:
        return "new" if row.rank else ""
    return f"▲ {moved}" if moved > 0 else f"▼ {-moved}" if moved else "="


@register.filter
def size(value: float) -> float:
    """Without its sign."""
    return abs(value)


@register.filter
def behind(value: float) -> str:
    """A distance to the first in points, with a true minus sign."""
    return f"−{value:.2f}"


@register.filter
def span(seconds: float) -> str:
    """Seconds in words: "about 5 s", "about 3 min"."""
    if seconds < 90:
        return f"about {max(1, round(seconds))} s"
    if seconds < 90 * 60:
        return f"about {round(seconds / 60)} min"
    return f"about {round(seconds / 3600)} h"


@register.filter
def percent(share: float) -> str:
    """A fraction from 0 to 1 as "12.3 %"."""
    return f"{100 * share:.1f} %"


@register.filter
def points(value: float, decimals: int = 2) -> str:
    """A score or difference in points, with a true minus sign; a dash for None."""
    return "–" if value is None else f"{value:.{decimals}f}".replace("-", "−")


@register.filter
def p_value(value: float) -> str:
    """Four decimals; small values never show as zero."""
    return "< 0.0001" if value < 0.0001 else f"{value:.4f}"


@register.filter
def number(value: int) -> str:
    """With thousands separators."""
    return f"{value:,}"


@register.filter
def phase_state(phase: Phase, now: datetime) -> str:
    """The state of a phase at a time: open, upcoming or ended."""
    if phase.has_closed(now):
        return "ended"
    return "open" if phase.has_opened(now) else "upcoming"


@register.simple_tag
def quota_left(usage: QuotaUsage) -> str:
    """The quota left in a phase: "7 of 10 submissions, 2 of 5 today (UTC)"; "" without quotas."""
    kinds = (
        (usage.total, usage.total_limit, "submissions"),
        (usage.today, usage.day_limit, "today (UTC)"),
        (usage.on_board, usage.board_limit, "places on the board"),
    )
    parts = [
        f"{max(0, limit - used)} of {limit} {words}" for used, limit, words in kinds if limit is not None
    ]
    return ", ".join(parts)


@register.simple_tag
def mask_name(number: int | str) -> str:
    """The file name of a patch's mask."""
    return TASK.mask_name(number)


@register.simple_tag
def image_name(number: int | str) -> str:
    """The file name of a patch's image."""
    return TASK.image_name(number)


@register.simple_tag
def check_options(labels: LabelSet) -> str:
    """The options of ``l4s check`` for archives that match a label set."""
    size = (
        ""
        if (labels.height, labels.width) == (TASK.height, TASK.width)
        else f" --size {labels.height}x{labels.width}"
    )
    return f"--patches {labels.patches}{size}"
