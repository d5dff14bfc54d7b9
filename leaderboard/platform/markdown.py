"""Organisers' Markdown as safe HTML."""

from functools import lru_cache
from typing import Any

import markdown
import nh3
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe

from . import formulae

HEADINGS = ("h2", "h3", "h4", "h5", "h6")
TEXT = {"a", "abbr", "b", "br", "code", "del", "em", "i", "img", "s", "strong", "sub", "sup"}
BLOCKS = {"blockquote", "dd", "div", "dl", "dt", "hr", "li", "ol", "p", "pre", "ul", *HEADINGS}
TABLES = {"caption", "table", "tbody", "td", "th", "thead", "tr"}
ATTRIBUTES = {
    "a": {"href", "title"},
    "abbr": {"title"},
    "img": {"src", "alt", "title", "width", "height"},
    "ol": {"start"},
    "td": {"align"},
    "th": {"align"},
    **{heading: {"id"} for heading in HEADINGS},
    **dict.fromkeys(formulae.TAGS, formulae.ATTRIBUTES),
}

MOST_WORK = 10_000_000
"""Brackets times characters: at each bracket the parser may look through the rest of the text. 20,000 brackets take it minutes,
these about a second; a text of 20,000 characters may have 500 links, one of 100,000 may have 100."""

SAFE: dict[str, Any] = {
    "attributes": ATTRIBUTES,
    "url_schemes": {"http", "https", "mailto"},
    "link_rel": "nofollow noopener noreferrer",
}


@lru_cache(maxsize=2048)
def render(text: str) -> SafeString:
    """HTML from Markdown: headings start at h2, links get rel=nofollow, active content is removed.

    What the parser would need minutes for, or cannot read at all, is shown as it is written.
    """
    if max(map(text.count, "[<")) * len(text) > MOST_WORK:
        return _as_written(text)
    try:
        return _rendered(text)
    except RecursionError:  # lists of definitions in each other
        return _as_written(text)


def _as_written(text: str) -> SafeString:
    return format_html('<pre tabindex="0">{}</pre>', text)


def _rendered(text: str) -> SafeString:
    converter = markdown.Markdown(
        extensions=["abbr", "def_list", "fenced_code", "sane_lists", "tables", "toc", formulae.Formulae()],
        extension_configs={"tables": {"use_align_attribute": True}, "toc": {"baselevel": 2}},
    )
    clean = nh3.clean(converter.convert(text), tags=TEXT | BLOCKS | TABLES | formulae.TAGS, **SAFE)
    for wide in ("pre", "table"):  # scrolls on a phone, so a keyboard must reach it
        clean = clean.replace(f"<{wide}>", f'<{wide} tabindex="0">')
    return mark_safe(clean)  # noqa: S308  sanitised by nh3


def render_for_mail(text: str, base: str) -> SafeString:
    """The same without pictures, which a mail would load from somewhere; relative links begin at ``base``."""
    clean = nh3.clean(
        render(text),
        tags=(TEXT | BLOCKS | TABLES) - {"img"},
        url_relative=("rewrite_with_base", base),
        **SAFE,
    )
    return mark_safe(clean)  # noqa: S308  sanitised by nh3
