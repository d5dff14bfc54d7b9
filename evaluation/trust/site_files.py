"""The site (place, scene, event) of each patch, as a CSV file with the columns patch and site."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import BinaryIO

COLUMNS = ("patch", "site")
LONGEST = 80
MOST_BYTES = 2**20
MOST_PROBLEMS = 50


class SiteFileError(ValueError):
    """Why a file of sites cannot be used: its problems, each with its line."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


def read_site_file(file: BinaryIO, patches: int) -> tuple[str, ...]:
    """As read_sites, from an open file. Raises SiteFileError and OSError."""
    content = file.read(MOST_BYTES + 1)
    if len(content) > MOST_BYTES:
        raise SiteFileError([f"the file has more than {MOST_BYTES:,} bytes"])
    try:
        return read_sites(content.decode("utf-8-sig"), patches)
    except UnicodeDecodeError as error:
        raise SiteFileError(["the file is not UTF-8 text"]) from error


def read_sites(text: str, patches: int) -> tuple[str, ...]:
    """The site of each patch, in their order. Patches are numbered as their files are, from 1; other columns are ignored.

    Raises SiteFileError with every problem (of the first 50): a patch without a site or with two, an unknown patch, a wrong header.
    """
    try:
        return _read(csv.DictReader(io.StringIO(text.removeprefix("\ufeff"))), patches)
    except (
        csv.Error
    ) as error:  # a cell of more than 131,072 characters, or a line end inside one without quotes
        raise SiteFileError([f"this is not CSV: {error}"]) from error


def _read(reader: csv.DictReader[str], patches: int) -> tuple[str, ...]:
    header = [name.strip() for name in reader.fieldnames or ()]
    if not set(COLUMNS) <= set(header):
        raise SiteFileError(
            [
                f"line 1: the columns are {', '.join(header)[:200] or 'none'}; write CSV with the columns patch,site"
            ]
        )
    reader.fieldnames = header
    problems: list[str] = []
    site_of: dict[int, str] = {}
    for row in reader:
        patch, site = (" ".join((row[name] or "").split()) for name in COLUMNS)
        number = int(patch) if patch.isascii() and patch.isdigit() and len(patch) < 10 else 0
        if not 1 <= number <= patches:
            problem = f"patch {patch[:20] or '(empty)'} does not exist; patches are numbered 1 to {patches}"
        elif number in site_of:
            problem = f"patch {number} has a site already, {site_of[number]}"
        elif not site or len(site) > LONGEST:
            problem = f"the site of patch {number} has {len(site)} characters; 1 to {LONGEST} are taken"
        else:
            site_of[number] = site
            continue
        problems.append(f"line {reader.line_num}: {problem}")
        if len(problems) == MOST_PROBLEMS:
            break
    missing = [number for number in range(1, patches + 1) if number not in site_of]
    if missing and not problems:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        problems.append(f"patch {missing[0]}{more}: no site; name one for each of 1 to {patches}")
    if problems:
        raise SiteFileError(problems)
    return tuple(site_of[number] for number in range(1, patches + 1))


def write_sites(sites: Sequence[str]) -> str:
    """The CSV file of sites."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(enumerate(sites, start=1))
    return text.getvalue()
