"""What a check in the browser needs to know, from the modules that the server's own check reads by."""

from __future__ import annotations

import re
from typing import Any

from evaluation.archive import layout, names, problems
from evaluation.archive.sentences import PARTS, SENTENCES
from evaluation.archive.zip_directory import OTHER_FORMATS
from evaluation.task import TASK, MaskSpec


def browser_rules() -> dict[str, Any]:
    """Sentences, names, patterns and limits as JSON; bytes become strings of one character each."""
    return {
        "sentences": SENTENCES,
        "parts": PARTS,
        "most_problems": problems.MOST,
        "most_named": problems.MOST_NAMED,
        "most_values": layout.MOST_VALUES,
        "most_chunks": layout.MOST_CHUNKS,
        "mask_stem": TASK.mask_stem,
        "extension": TASK.extension,
        "dataset": TASK.mask_dataset,
        "formats": [(magic.decode("latin-1"), kind) for magic, kind in OTHER_FORMATS.items()],
        "patterns": {name: _pattern(pattern) for name, pattern in names.PATTERNS.items()},
        "stems": [_pattern(pattern) for pattern in names.STEMS],
    }


def spec_rules(spec: MaskSpec) -> dict[str, int]:
    """What a phase expects, as JSON."""
    return {
        "patches": spec.patches,
        "height": spec.height,
        "width": spec.width,
        "most_bytes": spec.most_bytes,
        "most_entries": spec.most_entries,
    }


def _pattern(pattern: re.Pattern[Any]) -> tuple[str, str]:
    """Source and flags for JavaScript's RegExp, which reads these patterns as `re` does."""
    source = pattern.pattern if isinstance(pattern.pattern, str) else pattern.pattern.decode("latin-1")
    flags = {re.IGNORECASE: "i", re.DOTALL: "s"}
    return source, "".join(letter for flag, letter in flags.items() if pattern.flags & flag)
