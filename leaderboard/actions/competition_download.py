"""A competition as its file: the inverse of ``competition_files``."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import tomli_w
from django.db import models

from leaderboard.models import Competition, DataFile, Prize, PublishedEntry, Terms

from .competition_files import (
    AWARD_KEYS,
    COMPETITION_KEYS,
    DATA_KEYS,
    KEPT,
    PAGE_KEYS,
    PHASE_KEYS,
    PUBLISHED_KEYS,
)


def toml_of(competition: Competition, *, with_data: bool = True) -> str:
    """The whole file; applied to the same competition, it changes nothing. Labels and images stay on the server.

    Without data, another server can apply it, too.
    """
    head = (
        f"# {competition}, as it stood on {datetime.now(UTC):%Y-%m-%d %H:%M} UTC. docs/competition-file.md explains the keys.\n"
        "# Hidden labels, their sites and the images stay on the server, and so do uploaded data files (named by their\n"
        "# SHA-256). Organisers are added at the desk.\n\n"
    )
    document = document_of(competition)
    if not with_data:
        document.pop("data", None)
    return head + tomli_w.dumps(document, multiline_strings=True)


def document_of(competition: Competition) -> dict[str, Any]:
    """The competition as the dict that its file holds; what has its default is left out."""
    terms = Terms.objects.in_force(competition)
    document: dict[str, Any] = {"terms": written(terms.body)} if terms else {}
    document["competition"] = table_of(competition, COMPETITION_KEYS)
    document["pages"] = [table_of(page, PAGE_KEYS) for page in competition.pages.all()]
    entries = list(PublishedEntry.objects.filter(phase__competition=competition))
    phases = []
    for phase in competition.phases.all():
        published = [table_of(entry, PUBLISHED_KEYS) for entry in entries if entry.phase_id == phase.pk]
        phases.append(table_of(phase, PHASE_KEYS) | ({"published": published} if published else {}))
    document["phases"] = phases
    prizes = Prize.objects.filter(competition=competition).select_related("phase")
    document["awards"] = [table_of(prize, AWARD_KEYS) | phase_of(prize) for prize in prizes]
    files = DataFile.objects.filter(competition=competition).select_related("phase")
    document["data"] = [
        table_of(file, DATA_KEYS) | phase_of(file) | ({"sha256": file.sha256} if file.file else {})
        for file in files
    ]
    return {key: value for key, value in document.items() if value}


def phase_of(row: Any) -> dict[str, str]:
    return {"phase": row.phase.slug} if row.phase else {}


def table_of(row: models.Model, keys: tuple[str, ...]) -> dict[str, Any]:
    """The columns of a row that differ from their defaults."""
    found = {}
    for key in keys:
        field: Any = row._meta.get_field(key)
        value = getattr(row, key)
        if value is not None and key not in KEPT and (value != field.get_default() or key == "slug"):
            found[key] = written(value)
    return found


def written(value: Any) -> Any:
    """A value as TOML takes it: browsers send lines that end in CR LF."""
    if isinstance(value, Decimal):
        return float(value)
    return value.replace("\r\n", "\n") if isinstance(value, str) else value
