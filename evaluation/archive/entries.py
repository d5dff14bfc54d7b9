"""The masks of a ZIP archive in memory: every entry inflated, checked and decoded, without libhdf5 where possible."""

from __future__ import annotations

from collections.abc import Callable

from evaluation.archive.layout import Decoder, Explain, InvalidMask, Layout, inflater
from evaluation.archive.names import choose
from evaluation.archive.problems import InvalidArchive, Problem, empty_file, printable
from evaluation.archive.zip_directory import DEFLATED, read_directory
from evaluation.task import MaskSpec, Packed

# Stored bytes of a file that are worth remembering: an empty mask, which half of all masks are.
_SHORT = 1 << 10


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
    """The packed masks of an archive in memory; `explain`, `known`, `learn` and `out` as in layout.Decoder.

    `progress` gets the index of each mask before it is read. Raises InvalidArchive with every problem found,
    and layout.Unexplained where `explain` would have been needed.
    """
    view = memoryview(data)
    if not len(view):
        raise InvalidArchive([empty_file()])
    directory = read_directory(view, spec.most_entries)
    chosen, problems = choose(directory.names, spec)
    decoder = Decoder(spec, explain, known, learn=learn, out=out)
    _, starts, stops, methods, crcs, sizes, faults = directory
    seen: dict[bytes, tuple[int, int, int]] = {}
    copies: list[tuple[int, int]] = []
    largest = spec.most_bytes
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
                raise faults[i]
            decoder.add(index, content(raw, method, crc, size, largest))
        except InvalidMask as refusal:
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


def content(raw: memoryview, method: int, crc: int, size: int, largest: int) -> bytes:
    """A file of the archive, inflated with a bound and checked against the directory."""
    if size > largest:
        raise InvalidMask("file_too_large", most=largest)
    whole = True
    if method == DEFLATED:
        stream = inflater.decompressobj(-15)
        try:
            found = stream.decompress(raw, size + 1)
            whole = stream.eof and not stream.unused_data
        except inflater.error:
            whole, found = False, b""
    else:
        found = bytes(raw)
    if whole and len(found) == size and inflater.crc32(found) == crc:
        return found
    raise InvalidMask("file_damaged")
