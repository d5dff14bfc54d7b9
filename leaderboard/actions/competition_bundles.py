"""Competition files that come through the browser: a TOML text, a ZIP with labels and images, a preset, a few fields.

Nothing in them may name a file outside what was uploaded.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO

from evaluation.sandbox import bounds

from . import calendars
from .competition_checks import CompetitionFileInvalid
from .competition_files import read_file
from .organiser_files import FileInvalid, document_of, unpacked


def read_text(text: str) -> dict[str, Any]:
    """A TOML text as a document. Raises CompetitionFileInvalid."""
    return _confined(text.encode("utf-8", "replace"))


def _confined(content: bytes) -> dict[str, Any]:
    try:
        return {**document_of(content), "is_confined": True}
    except FileInvalid as error:
        raise CompetitionFileInvalid(error.problems) from error


@contextmanager
def read_bundle(content: BinaryIO) -> Iterator[dict[str, Any]]:
    """A ZIP with one TOML file and what it names, unpacked until the block ends. Raises CompetitionFileInvalid."""
    with ExitStack() as stack:
        try:
            folder, paths = stack.enter_context(unpacked(content))
        except (FileInvalid, OSError) as error:
            raise CompetitionFileInvalid([f"The ZIP cannot be used: {error}"]) from error
        files = [
            path for path in paths if path.suffix == ".toml" and len(path.relative_to(folder).parts) <= 2
        ]
        if len(files) != 1:
            raise CompetitionFileInvalid(
                [
                    f"The ZIP has {len(files)} TOML files at its top; put exactly one there, beside what it names."
                ]
            )
        with files[0].open("rb") as file:
            text = file.read(bounds.TEXT_BYTES + 1)
        yield {**_confined(text), "folder": files[0].parent}


def preset(name: str, slug: str, title: str, starts: datetime | None) -> dict[str, Any]:
    """A preset under another address and name, its calendar moved so that it begins then."""
    document = read_file(Path(name))
    if starts is not None:
        document = calendars.starting(document, starts)
    document["competition"] = {**document["competition"], "slug": slug, "name": title}
    return {**document, "is_confined": True}


def simple(
    slug: str,
    title: str,
    summary: str,
    phase: str,
    opens_at: datetime,
    closes_at: datetime | None,
    per_day: int | None,
) -> dict[str, Any]:
    """A competition of one phase with an overview to be written."""
    window: dict[str, Any] = {"slug": "main", "name": phase, "opens_at": opens_at}
    if closes_at is not None:
        window["closes_at"] = closes_at
    if per_day is not None:
        window["quota_per_day"] = per_day
    return {
        "competition": {"slug": slug, "name": title, "summary": summary},
        "pages": [
            {"slug": "overview", "title": "Overview", "body": summary or title},
            {"slug": "rules", "title": "Rules", "body": "To be written."},
        ],
        "phases": [window],
        "is_confined": True,
    }
