"""Which entry of a ZIP archive is which mask, and the reading of them all, without libhdf5 where possible."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache

from evaluation.archive.layout import Decoder, Explain, Layout, Refusal, inflater, most_bytes
from evaluation.archive.problems import InvalidArchive, Problem, empty_file, printable
from evaluation.archive.zip_directory import DEFLATED, Directory, read_directory
from evaluation.task import MaskSpec, Packed

_JUNK = re.compile(rb"(^|.*/)__MACOSX(/.*)?|(.*/)?(\.DS_Store|Thumbs\.db|desktop\.ini|\._[^/]*)", re.DOTALL)
_UNSAFE = re.compile(rb"^/|(^|/)\.\.?(/|$)|//|[\\:\x00-\x1f]")
_NUMBER = re.compile(rb"mask_(\d{1,9})\.h5", re.ASCII)
_ONE_BY_ONE = 5  # missing or surplus files are named each up to here, summed up above
_SHORT = (
    1 << 10
)  # stored bytes of a file that are worth remembering: an empty mask, which half of all masks are
_MEND = "Zip the mask files themselves: cd predictions && zip ../submission.zip mask_*.h5"


def read_archive(
    data: bytes | memoryview,
    spec: MaskSpec,
    explain: Explain | None,
    known: Layout | None,
    *,
    learn: bool = True,
    progress: Callable[[int], None] | None = None,
    out: Packed | None = None,
) -> Packed:
    """The packed masks of an archive in memory; `explain`, `known`, `learn` and `out` as in masks.Decoder.

    `progress` is told the index of each mask before it is read. Raises InvalidArchive with every problem found,
    and masks.Unexplained where `explain` would have been needed.
    """
    view = memoryview(data)
    if not len(view):
        raise InvalidArchive([empty_file()])
    directory = read_directory(view, most_entries=4 * spec.patches + 1000)
    chosen, problems = _choose(directory, spec)
    decoder = Decoder(spec, explain, known, learn=learn, out=out)
    _, starts, stops, methods, crcs, sizes, faults = directory
    seen: dict[bytes, tuple[int, int, int]] = {}
    copies: list[tuple[int, int]] = []
    largest = most_bytes(spec)
    for index, i in chosen.items():
        if progress:
            progress(index)
        raw, method, crc, size = view[starts[i] : stops[i]], methods[i], crcs[i], sizes[i]
        if learn and method == DEFLATED and len(raw) <= _SHORT and i not in faults:
            # Equal stored bytes are equal files; whatever was found in the first holds for its copies.
            first_crc, first_size, original = seen.setdefault(bytes(raw), (crc, size, index))
            if original != index and first_crc == crc and first_size == size:
                copies.append((index, original))
                continue
        try:
            if i in faults:
                raise Refusal(*faults[i])
            decoder.add(index, _content(raw, method, crc, size, largest))
        except Refusal as refusal:
            decoder.refusals[index] = refusal
    decoder.flush()
    return _finish(decoder, copies, problems, {index: directory.names[i] for index, i in chosen.items()})


def _finish(
    decoder: Decoder, copies: list[tuple[int, int]], problems: list[Problem], names: dict[int, bytes]
) -> Packed:
    """The masks, with those of equal files filled in, or all problems."""
    packed, refusals = decoder.packed, decoder.refusals
    filled = {original for original in {original for _, original in copies} if packed[original].any()}
    for index, original in copies:
        if original in filled:
            packed[index] = packed[original]
        if original in refusals:
            refusals[index] = refusals[original]
    problems += [
        Problem(refusals[i].code, printable(names[i]), refusals[i].message) for i in sorted(refusals)
    ]
    if problems:
        raise InvalidArchive(problems)
    return packed


def _content(raw: memoryview, method: int, crc: int, size: int, largest: int) -> bytes:
    """A file of the archive, inflated with a bound and checked against the directory."""
    if size > largest:
        raise Refusal(
            "file_too_large",
            f"The file has {size:,} bytes, a mask file at most {largest:,}. Write the mask alone, as uint8.",
        )
    whole = True
    if method == DEFLATED:
        stream = inflater.decompressobj(-15)
        try:
            content = stream.decompress(raw, size + 1)
            whole = stream.eof and not stream.unused_data
        except inflater.error:
            whole, content = False, b""
    else:
        content = bytes(raw)
    if whole and len(content) == size and inflater.crc32(content) == crc:
        return content
    raise Refusal(
        "file_damaged",
        f"The file should have {size:,} bytes with the check sum {crc:08x}, and has not: it was damaged on the way. "
        "Make the ZIP archive anew and upload it again.",
    )


@lru_cache(maxsize=8)
def index_of_names(spec: MaskSpec) -> dict[bytes, int]:
    """{name of a mask's file: index}; kept, since no archive changes it."""
    return {spec.name(i).encode(): i for i in range(spec.patches)}


def _choose(directory: Directory, spec: MaskSpec) -> tuple[dict[int, int], list[Problem]]:
    """Which entry is which mask, {index of the mask: position of the entry}, and what is wrong with the names."""
    index_of = index_of_names(spec)
    chosen: dict[int, int] = {}
    problems: list[Problem] = []
    folder = _common_folder(directory.names, index_of)
    if folder:
        problems.append(
            Problem(
                "folder_in_archive",
                printable(folder),
                f"The masks lie in the folder {printable(folder)} inside the ZIP archive, expected directly in it. {_MEND}",
            )
        )
    surplus: list[bytes] = []
    inner = (
        [n[len(folder) :] if n.startswith(folder) else b"" for n in directory.names]
        if folder
        else directory.names
    )
    for position, (name, index) in enumerate(zip(directory.names, map(index_of.get, inner), strict=True)):
        if index is None:
            surplus += _surplus(name, folder, problems)
        elif index in chosen:
            problems.append(
                Problem(
                    "duplicate_file",
                    printable(name),
                    "The archive holds this name more than once, expected one file a patch. Make the ZIP archive anew.",
                )
            )
        else:
            chosen[index] = position
    problems += _unexpected(surplus, spec) + _missing(chosen, spec)
    return chosen, problems


def _common_folder(names: list[bytes], index_of: dict[bytes, int]) -> bytes:
    """The folder in front of the masks, with its slash, if none of them lies directly in the archive."""
    folder = b""
    for full in names:
        if full in index_of:
            return b""
        path, slash, name = full.rpartition(b"/")
        if not folder and name in index_of and not _UNSAFE.search(path) and not _JUNK.fullmatch(full):
            folder = path + slash
    return folder


def _surplus(name: bytes, folder: bytes, problems: list[Problem]) -> list[bytes]:
    """[name] if the file does not belong here; unsafe names and further folders become problems at once."""
    if _JUNK.fullmatch(name) or (name and folder.startswith(name) and name.endswith(b"/")):
        return []
    if _UNSAFE.search(name) or not name:
        problems.append(
            Problem(
                "unsafe_name",
                printable(name) or "(no name)",
                f"The name is not a plain file name, expected mask_1.h5 and so on. {_MEND}",
            )
        )
        return []
    if name.endswith(b"/"):
        problems.append(
            Problem(
                "folder_in_archive",
                printable(name),
                f"The archive holds the folder {printable(name)}, expected mask files only. {_MEND}",
            )
        )
        return []
    return [name]


def _unexpected(names: list[bytes], spec: MaskSpec) -> list[Problem]:
    expected = f"expected {spec.name(0)} to {spec.name(spec.patches - 1)} and nothing else"
    if len(names) > _ONE_BY_ONE:
        return [
            Problem(
                "unexpected_file",
                printable(names[0]),
                f"The archive holds {len(names):,} files that are no masks of this phase ({_some(names)}); {expected}."
                f"{_other_phase(names, spec)} Leave them out.",
            )
        ]
    return [
        Problem(
            "unexpected_file",
            printable(name),
            f"This file is no mask of the phase; {expected}. {_hint(name, spec)}",
        )
        for name in names
    ]


def _hint(name: bytes, spec: MaskSpec) -> str:
    number = _NUMBER.fullmatch(name)
    if number and number[1] == b"0":
        return "The numbers start at 1: rename the files."
    if number and number[1].startswith(b"0"):
        return "The numbers have no leading zeros: rename the files."
    if number:
        return f"The phase has {spec.patches:,} patches: check that you predicted the images of this phase."
    return "Leave it out."


def _other_phase(names: list[bytes], spec: MaskSpec) -> str:
    if sum(_NUMBER.fullmatch(name) is not None for name in names) * 2 > len(names):
        return f" The phase has {spec.patches:,} patches: is the archive meant for another phase?"
    return ""


def _missing(chosen: dict[int, int], spec: MaskSpec) -> list[Problem]:
    missing = [spec.name(i) for i in range(spec.patches) if i not in chosen]
    if len(missing) <= _ONE_BY_ONE:
        return [
            Problem(
                "missing_file",
                name,
                f"This mask is not in the archive, expected {spec.patches:,} masks. Add it.",
            )
            for name in missing
        ]
    found = f"{len(chosen):,} of {spec.patches:,} masks"
    names = _some([name.encode() for name in missing])
    return [
        Problem(
            "missing_file",
            missing[0],
            f"The archive holds {found}; {len(missing):,} are missing ({names}). Predict every image of the phase, "
            "and check that the archive is meant for this phase.",
        )
    ]


def _some(names: list[bytes]) -> str:
    return ", ".join(printable(name, 40) for name in names[:3]) + (", ..." if len(names) > 3 else "")
