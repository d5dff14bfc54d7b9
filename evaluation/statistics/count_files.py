"""Counts per team and patch as a CSV file: columns team, patch, tp, fp, fn and optionally site."""

from __future__ import annotations

import csv
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from evaluation.statistics.table import CountTable

COLUMNS = ("team", "patch", "tp", "fp", "fn")
MOST_PROBLEMS = 20
MOST_BYTES = 1 << 30  # of an unpacked file


class CountFileError(ValueError):
    """A file of counts that cannot be used, with every problem found (at most 20), each naming its line."""

    def __init__(self, problems: list[str]) -> None:
        self.problems = problems[:MOST_PROBLEMS]
        left = len(problems) - len(self.problems)
        super().__init__("\n".join([*self.problems, *([f"and {left:,} more problems"] if left else [])]))


def read_counts(path: Path) -> CountTable:
    """The table of a CSV file. Raises CountFileError, or OSError when the file cannot be opened."""
    rows, problems = _rows(_text(path)), []
    header = next(rows, (1, []))[1]
    names = [name.strip().lower() for name in header]
    missing = [name for name in COLUMNS if name not in names]
    if missing:
        hint = " (is the separator a comma?)" if len(names) == 1 else ""
        raise CountFileError(
            [
                f"line 1: no column {', '.join(missing)}; needed are {', '.join(COLUMNS)} and optionally site{hint}"
            ]
        )
    counts: dict[tuple[str, str], tuple[int, int, int]] = {}
    line_of: dict[tuple[str, str], int] = {}
    site_of: dict[str, tuple[str, int]] = {}
    for line, cells in rows:
        if len(cells) != len(names):
            problems.append(f"line {line}: {len(cells)} cells, but the header has {len(names)} columns")
            continue
        row = {name: cell.strip() for name, cell in zip(names, cells, strict=True)}
        wrong = _wrong_cells(row)
        key = row["team"], row["patch"]
        if key in line_of:
            wrong.append(f"team {key[0]}, patch {key[1]} was given on line {line_of[key]} already")
        site, first = site_of.setdefault(key[1], (row.get("site", ""), line))
        if row.get("site", "") != site:
            wrong.append(
                f"patch {key[1]} is in site {row['site'] or '(none)'}, but on line {first} in {site or '(none)'}"
            )
        if wrong:
            problems.extend(f"line {line}: {sentence}" for sentence in wrong)
            continue
        line_of[key] = line
        counts[key] = int(row["tp"]), int(row["fp"]), int(row["fn"])
    if not counts and not problems:
        problems.append("line 2: no counts; the file holds nothing but a header")
    if problems:
        raise CountFileError(problems)
    return _table(counts, line_of, {patch: site for patch, (site, _) in site_of.items()})


def _text(path: Path) -> str:
    """The file's text, unpacked first where it is gzipped."""
    content = path.read_bytes()
    if content.startswith(b"\x1f\x8b"):
        unpack = zlib.decompressobj(16 + zlib.MAX_WBITS)
        try:
            content = unpack.decompress(content, MOST_BYTES)
        except zlib.error:
            raise CountFileError(["the gzip file is damaged: create it again"]) from None
        if not unpack.eof:
            size = f"it is cut off, or holds more than {MOST_BYTES:,} bytes"
            raise CountFileError([f"the gzip file cannot be unpacked: {size}"])
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise CountFileError([f"byte {error.start} is not UTF-8: save the file as CSV in UTF-8"]) from None


def _rows(text: str) -> Iterator[tuple[int, list[str]]]:
    """Line number and cells of each row that is not blank."""
    reader = csv.reader(text.splitlines(keepends=True), strict=True)
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells):
                yield reader.line_num, cells
    except csv.Error as error:
        raise CountFileError([f"line {reader.line_num}: {error}"]) from None


def _wrong_cells(row: dict[str, str]) -> list[str]:
    wrong = [f"the {name} is empty" for name in ("team", "patch") if not row[name]]
    for name in ("tp", "fp", "fn"):
        # Ten digits are more pixels than a patch can have; longer numbers would not fit the sums.
        if not (row[name].isascii() and row[name].isdigit() and len(row[name]) <= 10):
            wrong.append(f"{name} is {row[name]!r}, not a whole number of pixels from 0")
    return wrong


def _table(
    counts: dict[tuple[str, str], tuple[int, int, int]],
    line_of: dict[tuple[str, str], int],
    site_of: dict[str, str],
) -> CountTable:
    teams = tuple(dict.fromkeys(team for team, _ in counts))
    patches = tuple(site_of)
    problems = [
        f"team {team}: no counts for patch {patch}; every team needs every patch"
        for team in teams
        for patch in patches
        if (team, patch) not in counts
    ]
    with_sites = any(site_of.values())
    if with_sites:
        problems += [
            f"patch {patch}: no site, but other patches have one" for patch in patches if not site_of[patch]
        ]
    for patch in patches:
        given = [(team, counts[team, patch]) for team in teams if (team, patch) in counts]
        first, (tp, _, fn) = given[0]
        for team, (other_tp, _, other_fn) in given[1:]:
            if other_tp + other_fn != tp + fn:
                problems.append(
                    f"line {line_of[team, patch]}: patch {patch} has TP + FN = {other_tp + other_fn} for team {team}, "
                    f"but {tp + fn} for team {first} on line {line_of[first, patch]}; "
                    "all teams must be scored against the same labels"
                )
    if problems:
        raise CountFileError(problems)
    tp, fp, fn = np.moveaxis(
        np.array([[counts[team, patch] for patch in patches] for team in teams], np.int64), 2, 0
    )
    site = tuple(site_of[patch] for patch in patches) if with_sites else None
    try:
        return CountTable(teams, patches, tp, fp, fn, site)
    except ValueError as error:
        raise CountFileError([str(error)]) from None
