"""Mutants of small valid archives: no crash, no difference between the fast and the plain path.

    nice -n 19 python -m tests.evaluation.fuzz --mutants 100000 [--seed 1]

A mutant is changed in the ZIP's own bytes, or in a mask file that is then zipped again with a correct checksum,
so that most reach the HDF5 part. It is read by the learned layout and with h5py for each file, in batches of
forked children that have given up all that a reader's child gives up: what kills one, or makes it ask for a
file, ends the batch and is found again mutant by mutant.
"""

from __future__ import annotations

import argparse
import io
import os
import random
import struct
import sys
import tempfile
import time
import zipfile
from collections import Counter
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from evaluation.archive import mask_zip
from evaluation.archive.problems import InvalidArchive
from evaluation.sandbox import guards
from evaluation.task import MaskSpec
from tests.evaluation import corpus
from tests.evaluation.zips import Entry, build

BATCH = 200
SPEC = MaskSpec(2, 16, 16)


@lru_cache
def seeds() -> list[list[bytes]]:
    """Pairs of mask files, of 16 x 16 pixels: small, so that most changed bytes mean something."""
    masks = corpus.MASKS[:2, :16, :16].copy()
    options = (
        {},
        {"compression": "gzip"},
        {"compression": "gzip", "shuffle": True, "chunks": (8, 16)},
        {"chunks": (5, 5)},
        {"file": {"libver": "latest"}},
        {"file": {"libver": "latest"}, "compression": "gzip", "chunks": (8, 8)},
        {"file": {"libver": "latest"}, "chunks": (16, 16), "maxshape": (None, 16)},
        {"fletcher32": True},
        {"track_times": True, "track_order": True},
    )
    made = [[corpus.dataset(mask, **option) for mask in masks] for option in options]
    made += [[corpus.dataset(mask.astype(kind)) for mask in masks] for kind in ("i8", ">u2", "?")]
    compact = corpus.h5d.COMPACT

    def low(prepare: object) -> bytes:
        return corpus.low_level(
            shape=(16, 16), prepare=prepare, fill=lambda d: d.write(corpus.h5s.ALL, corpus.h5s.ALL, masks[0])
        )

    made.append([low(lambda p: p.set_layout(compact))] * 2)
    external = corpus.low_level(shape=(16, 16), prepare=lambda p: p.set_external(b"/etc/passwd", 0, 256))
    made.append([made[0][0], external])
    made.append(
        [
            made[0][0],
            corpus.hdf5(lambda f: f.__setitem__("mask", corpus.h5py.ExternalLink("/etc/x.h5", "/mask"))),
        ]
    )
    made.append([made[0][0], made[0][0]])
    return made


def mutate(data: bytes, random: random.Random) -> bytes:
    """A few changes: a bit, a byte, an interesting number, a copied, cut or inserted stretch."""
    out = bytearray(data)
    for _ in range(random.choice((1, 1, 1, 2, 4, 8))):
        if not out:
            break
        at = random.randrange(len(out))
        kind = random.randrange(7)
        if kind == 0:
            out[at] ^= 1 << random.randrange(8)
        elif kind == 1:
            out[at] = random.randrange(256)
        elif kind == 2:
            width = random.choice((1, 2, 4, 8))
            value = random.choice(
                (0, 1, 0xFF, 0x7F, 0x80, 1 << 31, (1 << 63) - 1, (1 << 64) - 1, len(out), at)
            )
            out[at : at + width] = struct.pack("<Q", value % (1 << 64))[:width]
        elif kind == 3:
            source, length = random.randrange(len(out)), random.randrange(1, 64)
            out[at : at + length] = out[source : source + length]
        elif kind == 4:
            del out[at : at + random.randrange(1, 64)]
        elif kind == 5:
            out[at:at] = random.randbytes(random.randrange(1, 16))
        else:
            del out[at:]
    return bytes(out)


def mutants(seed: int, first: int, number: int) -> Iterator[bytes]:
    """Archives number first, first + 1, ... of this seed; each can be made again alone."""
    pairs = seeds()
    for i in range(first, first + number):
        chance = random.Random(f"{seed} {i}")
        files = list(chance.choice(pairs))
        if chance.random() < 0.75:
            which = chance.randrange(2)
            files[which] = mutate(files[which], chance)
            yield build([Entry(SPEC.name(j).encode(), content) for j, content in enumerate(files)])
        else:
            made = io.BytesIO()
            with zipfile.ZipFile(
                made, "w", chance.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))
            ) as zipped:
                for j, content in enumerate(files):
                    zipped.writestr(SPEC.name(j), content)
            yield mutate(made.getvalue(), chance)


def outcome(data: bytes, learn: bool) -> bytes | tuple[str, ...]:
    """The masks, or the codes of the problems."""
    try:
        return mask_zip.read(data, SPEC, learn=learn).tobytes()
    except InvalidArchive as invalid:
        return tuple(f"{problem.code} {problem.file}" for problem in invalid.problems)


def run_batch(seed: int, first: int, number: int, results: io.BufferedRandom) -> tuple[Counter[str], int]:
    """Tally of a batch, and the signal or exit code of the child that read it (0: all well)."""
    batch = list(mutants(seed, first, number))
    os.ftruncate(results.fileno(), 0)
    child = os.fork()
    if child == 0:
        confined(batch, results.fileno())
    _, status = os.waitpid(child, 0)
    results.seek(0)
    return Counter(results.read().decode().split()), os.waitstatus_to_exitcode(status)


def confined(batch: list[bytes], fd: int) -> None:
    """In the child: read each mutant both ways; one word each goes to `fd`."""
    space = guards.address_space()
    guards.confine_child(os.getppid(), 60, space + (512 << 20) if space else 0, None)
    words = []
    for data in batch:
        fast, plain = outcome(data, True), outcome(data, False)
        if fast != plain:
            words.append("different")
        else:
            words.append("accepted" if isinstance(fast, bytes) else "refused")
    os.pwrite(fd, " ".join(words).encode(), 0)
    os._exit(0)


def fuzz(seed: int, number: int, say: bool = False) -> tuple[Counter[str], list[int]]:
    """Tally over `number` mutants, and the numbers of those that crashed or differed."""
    tally: Counter[str] = Counter()
    found: list[int] = []
    started = time.monotonic()
    with tempfile.TemporaryFile() as results:
        for first in range(0, number, BATCH):
            size = min(BATCH, number - first)
            words, code = run_batch(seed, first, size, results)
            if code or words["different"]:
                words = Counter()
                for i in range(first, first + size):
                    one, code = run_batch(seed, i, 1, results)
                    words += Counter(crashed=1) if code else one
                    if code or one["different"]:
                        found.append(i)
                        print(
                            f"mutant {i} of seed {seed}: {'exit ' + str(code) if code else 'different'}",
                            flush=True,
                        )
            tally += words
            if say and first % 10000 == 0:
                print(
                    f"{first + size:,} mutants, {time.monotonic() - started:.0f} s, {dict(tally)}", flush=True
                )
    return tally, found


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--mutants", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", type=Path, help="folder for archives that crashed or differed")
    arguments = parser.parse_args()
    tally, found = fuzz(arguments.seed, arguments.mutants, say=True)
    print(dict(tally))
    if arguments.keep:
        arguments.keep.mkdir(parents=True, exist_ok=True)
        for i in found:
            (arguments.keep / f"{arguments.seed}-{i}.zip").write_bytes(next(mutants(arguments.seed, i, 1)))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
