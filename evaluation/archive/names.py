"""Which entry of a ZIP archive is which mask, by its name; and what to do about names that are not a mask's.

The check in the browser follows (`leaderboard/static/leaderboard/check/names.js`): change both; a test compares them.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Any, NamedTuple

from evaluation.archive.problems import Problem, printable
from evaluation.archive.sentences import PARTS
from evaluation.task import TASK, MaskSpec

_NUMBER = re.compile(r"\d{1,9}", re.ASCII)
STEMS = [
    re.compile(re.escape(stem.rstrip("_- ")) + r"s?[ _.-]*(\d{1,9})", re.IGNORECASE | re.ASCII)
    for stem in (TASK.mask_stem, TASK.image_stem)
]
PATTERNS: dict[str, re.Pattern[Any]] = {
    # What operating systems and programs leave in an archive
    "junk": re.compile(
        rb"^(?:(.*/)?(__MACOSX|META-INF|@eaDir|\.ipynb_checkpoints|\.Spotlight-V100|\.Trashes|\.fseventsd)(/.*)?"
        rb"|(.*/)?(\.DS_Store|Thumbs\.db|desktop\.ini|\.directory|\.localized|Icon\r|\._[^/]*))$",
        re.DOTALL | re.IGNORECASE,
    ),
    "unsafe": re.compile(rb"^/|(^|/)\.\.?(/|$)|//|[:\x00-\x1f]"),
    "hdf5": re.compile(r"(\.(h5|hdf5?|he5|hd5|h5f))+$", re.IGNORECASE),
    "ending": re.compile(r"\.[A-Za-z]\w{0,9}$", re.ASCII),
    "archives": re.compile(rb"\.(zip|tar|t?gz|bz2|xz|7z|rar)$", re.IGNORECASE),
}


@lru_cache(maxsize=8)
def index_of_names(spec: MaskSpec) -> dict[bytes, int]:
    """{name of a mask's file: index}; kept, since no archive changes it."""
    return {spec.name(i).encode(): i for i in range(spec.patches)}


def choose(names: list[bytes], spec: MaskSpec) -> tuple[dict[int, int], list[Problem]]:
    """Which entry is which mask, {index of the mask: position of the entry}, and what is wrong with the names."""
    index_of = index_of_names(spec)
    chosen: dict[int, int] = {}
    others: list[int] = []
    for position, index in enumerate(map(index_of.get, names)):
        if index is None or index in chosen:
            others.append(position)
        else:
            chosen[index] = position
    if not others and len(chosen) == spec.patches:
        return chosen, []
    problems, surplus, inside = _sort_out([(position, names[position]) for position in others], chosen, spec)
    problems += _folders(inside, chosen, surplus, spec)
    to_rename: set[int] = set()
    problems += _unexpected(surplus, chosen, to_rename, spec)
    missing = [i for i in range(spec.patches) if i not in chosen]
    return chosen, problems + [_missing(i, len(chosen), i in to_rename, spec) for i in missing]


def _missing(index: int, found: int, to_rename: bool, spec: MaskSpec) -> Problem:
    key = "missing_file.misnamed" if to_rename else "missing_file"
    return Problem.of(key, spec.name(index), found=found, patches=spec.patches)


class _Inside(NamedTuple):
    """An entry that lies in a folder."""

    position: int
    full: bytes
    folder: bytes  # with its slash
    base: bytes


def _sort_out(
    entries: Iterable[tuple[int, bytes]], chosen: dict[int, int], spec: MaskSpec
) -> tuple[list[Problem], list[bytes], list[_Inside]]:
    """Problems of unsafe names and duplicates; other names without a folder; entries in folders."""
    problems: list[Problem] = []
    surplus: list[bytes] = []
    inside: list[_Inside] = []
    index_of = index_of_names(spec)
    for position, full in entries:
        name = _plain(full)
        if PATTERNS["junk"].fullmatch(name) or (full and not name):
            continue
        index = index_of.get(name)
        if not name or PATTERNS["unsafe"].search(name):
            problems.append(Problem.of("unsafe_name", full or "(no name)", first=spec.name(0)))
        elif b"/" in name:
            folder, slash, base = name.rpartition(b"/")
            inside.append(_Inside(position, full, folder + slash, base))
        elif index is None:
            surplus.append(full)
        elif index in chosen:
            problems.append(Problem.of("duplicate_file", full))
        else:
            chosen[index] = position
    return problems, surplus, inside


def _plain(name: bytes) -> bytes:
    """The name with slashes as ZIP has them, without a leading ./, which says nothing."""
    name = name.replace(b"\\", b"/")
    while name.startswith(b"./"):
        name = name[2:].lstrip(b"/")
    return name


def _folders(
    inside: list[_Inside], chosen: dict[int, int], surplus: list[bytes], spec: MaskSpec
) -> Iterator[Problem]:
    """What lies in folders: masks are chosen, to have their content checked too; other files join the surplus."""
    index_of = index_of_names(spec)
    masks = [entry for entry in inside if entry.base and _looks_like_a_mask(entry.base, spec)]
    whole = not chosen and len({entry.folder for entry in masks}) == 1
    if whole:
        folder = printable(masks[0].folder)
        yield Problem.of("folder_in_archive", folder, folder=folder)
    for entry in inside:
        index, folder = index_of.get(entry.base), printable(entry.folder)
        if not entry.base:
            if not any(other.folder.startswith(entry.folder) for other in inside if other.base):
                yield Problem.of("folder_in_archive.empty", folder, folder=folder)
            continue
        if index is None:
            surplus.append(entry.full)
        elif index in chosen:
            yield Problem.of("duplicate_file.folder", entry.full, name=spec.name(index), folder=folder)
            continue
        else:
            chosen[index] = entry.position
        if entry in masks and not whole:
            yield Problem.of("folder_in_archive.file", entry.full, folder=folder)


class _Guess(NamedTuple):
    """What a name that is not a mask's may be meant as."""

    kind: str  # the name with its number taken out: equal for files named alike
    number: int | None
    hdf5: bool  # ends as an HDF5 file does, or has no ending


def _guess(name: bytes) -> _Guess:
    text = unicodedata.normalize("NFKC", _plain(name).rpartition(b"/")[2].decode("utf-8", "replace")).strip()
    stem, hdf5 = PATTERNS["hdf5"].subn("", text)
    ending = None if hdf5 else PATTERNS["ending"].search(stem)
    if ending:
        stem = PATTERNS["hdf5"].sub("", stem[: ending.start()])
    found = next((match for pattern in STEMS if (match := pattern.search(stem))), None)
    if found:
        start, end = found.span(1)
    elif numbers := list(_NUMBER.finditer(stem)):
        start, end = numbers[-1].span()
    else:
        return _Guess(text, None, ending is None)
    kind = f"{stem[:start]}#{stem[end:]}{text[len(stem) :]}"
    return _Guess(kind, int(stem[start:end]), ending is None)


def _looks_like_a_mask(base: bytes, spec: MaskSpec) -> bool:
    """A mask's name, or one that is likely meant as one."""
    if base in index_of_names(spec):
        return True
    guess = _guess(base)
    return guess.hdf5 and guess.number is not None


def _unexpected(
    names: list[bytes], chosen: dict[int, int], to_rename: set[int], spec: MaskSpec
) -> Iterator[Problem]:
    """One sentence for all files that are named alike and that need the same fix.

    Masks that are there under another name join `to_rename`.
    """
    kinds: dict[tuple[str, bool], list[tuple[bytes, int]]] = {}
    for name in names:
        guess = _guess(name)
        if guess.number is None:
            yield _unnumbered(name, guess, len(chosen) < spec.patches, spec)
        else:
            kinds.setdefault((guess.kind, guess.hdf5), []).append((name, guess.number))
    for (kind, hdf5), members in kinds.items():
        if kind == TASK.mask_name("#"):
            yield from _misnumbered(members, chosen, to_rename, spec)
        else:
            yield from _misnamed(members, hdf5, chosen, to_rename, spec)


def _unexpected_file(variant: str, name: bytes, spec: MaskSpec, **values: object) -> Problem:
    first, last = spec.name(0), spec.name(spec.patches - 1)
    key = f"unexpected_file.{variant}"
    return Problem.of(key, name, first=first, last=last, patches=spec.patches, **values)


def _unnumbered(name: bytes, guess: _Guess, lacking: bool, spec: MaskSpec) -> Problem:
    if PATTERNS["archives"].search(name):
        return _unexpected_file("archive", name, spec)
    return _unexpected_file("unnumbered" if lacking and guess.hdf5 else "other", name, spec)


def _misnumbered(
    members: list[tuple[bytes, int]], chosen: dict[int, int], to_rename: set[int], spec: MaskSpec
) -> Iterator[Problem]:
    """Names of the right form whose number is not one of the phase, or has leading zeros."""
    padded = [
        (name, number)
        for name, number in members
        if TASK.mask_name(number).encode() != _plain(name).rpartition(b"/")[2]
    ]
    if padded:
        zeros = re.search(rb"(?<!\d)0\d", padded[0][0])
        yield from _misnamed(padded, True, chosen, to_rename, spec, PARTS["_no_zeros"] if zeros else "")
    for name, number in members:
        if (name, number) in padded:
            continue
        if number == 0 and spec.patches - 1 not in chosen:
            to_rename.add(spec.patches - 1)
            variant = "from_0"
        else:
            variant = "number" if number else "number_0"
        yield _unexpected_file(variant, name, spec)


def _misnamed(
    members: list[tuple[bytes, int]],
    hdf5: bool,
    chosen: dict[int, int],
    to_rename: set[int],
    spec: MaskSpec,
    why: str = "",
) -> Iterator[Problem]:
    """Names that differ from a mask's in something else than the number."""
    shift = 1 if min(number for _, number in members) == 0 else 0
    index_of = [(name, number + shift - 1) for name, number in members]
    # Where numbers start at 0 and a mask is missing, names that look right are to be shifted, too.
    taken = chosen.keys() if not shift or len(chosen) == spec.patches else set()
    there = [(name, index) for name, index in index_of if index in taken]
    renamed = [(name, index) for name, index in index_of if index < spec.patches and index not in taken]
    beyond = [(name, index) for name, index in index_of if index >= spec.patches]
    why += PARTS["_start_at_1"] if shift else ""
    to_rename |= {index for _, index in renamed}
    if renamed:
        name, index = renamed[0]
        shown = printable(_plain(name).rpartition(b"/")[2], 40)
        variant = "name" if hdf5 else "not_hdf5"
        if shown.lower() == spec.name(index):
            variant = "case"
        values = {
            "why": why,
            "shown": shown,
            "right": spec.name(index),
            "others": PARTS["_others"] if len(renamed) > 1 else "",
        }
        yield from (_unexpected_file(variant, name, spec, **values) for name, _ in renamed)
    yield from (_unexpected_file("there", name, spec) for name, _ in there)
    yield from (_unexpected_file("beyond", name, spec) for name, _ in beyond)
