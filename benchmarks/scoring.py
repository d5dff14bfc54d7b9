"""CPU time and memory from a ZIP on disk to TP, FP and FN: the floor, other tools, and ours.

    python -m benchmarks.scoring [--kinds plain busy ...] [--growth] [--soak 10000] [--torch-python PYTHON]

Each variant is a separate process; rounds are interleaved, so that all see the same machine. Times are CPU times
(user and system, including helper processes), medians over the rounds, because wall time on a shared machine means
nothing. The program fails unless all variants return the same counts.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np

HERE = Path(__file__).resolve().parent
KINDS = {
    "plain": "h5py's defaults, deflated ZIP (what the official predictor writes)",
    "busy": "the same, no mask empty",
    "stored": "h5py's defaults, ZIP without compression",
    "int64": "int64 masks, deflated ZIP",
    "latest": "h5py's libver='latest', deflated ZIP: one layout, but not the official one",
    "gzip": "gzip chunks, deflated ZIP",
    "gzip_busy": "gzip chunks, deflated ZIP, no mask empty",
}
Counts = tuple[int, int, int]


# --- data ----------------------------------------------------------------------------------------------------


def blobs(rng: np.random.Generator, n: int, size: int, empty: float) -> np.ndarray:
    """Masks of size x size with a few ellipses each, about 2 % positive; a share of `empty` has none."""
    y, x = np.mgrid[:size, :size]
    masks = np.zeros((n, size, size), np.uint8)
    for mask in masks:
        if rng.random() < empty:
            continue
        for _ in range(rng.integers(1, 6)):
            cy, cx = rng.integers(0, size, 2)
            ry, rx = rng.uniform(size / 64, size / 8, 2)
            mask |= ((y - cy) / ry) ** 2 + ((x - cx) / rx) ** 2 < 1
    return masks


def make(folder: Path, patches: int, kind: str, size: int = 128) -> None:
    """archive.zip, labels.raw and labels.npy in `folder`, and meta.json: where the pixels lie in a plain file."""
    rng = np.random.default_rng(2022)
    truth = blobs(rng, patches, size, 0.0 if kind.endswith("busy") else 0.48)
    prediction = np.roll(truth, (3, 2), axis=(1, 2))
    truth.tofile(folder / "labels.raw")
    np.save(folder / "labels.npy", truth)
    method = zipfile.ZIP_STORED if kind == "stored" else zipfile.ZIP_DEFLATED
    options = {"compression": "gzip"} if kind.startswith("gzip") else {}
    offset = 0
    with zipfile.ZipFile(folder / "archive.zip", "w", method) as archive:
        for i, mask in enumerate(prediction, 1):
            path = folder / "mask.h5"
            with h5py.File(path, "w", libver="latest" if kind == "latest" else None) as file:
                data = mask.astype(np.int64) if kind == "int64" else mask
                offset = file.create_dataset("mask", data=data, **options).id.get_offset() or 0
            archive.write(path, f"mask_{i}.h5")
    (folder / "meta.json").write_text(json.dumps({"patches": patches, "offset": offset}))


# --- variants: each gives a function from nothing to (tp, fp, fn) --------------------------------------------


def totals(prediction: np.ndarray, truth: np.ndarray) -> Counts:
    tp = int((prediction & truth).sum())
    return tp, int(prediction.sum()) - tp, int(truth.sum()) - tp


def ours(folder: Path, patches: int) -> Callable[[], Counts]:
    """What the server does: reader process, packed labels."""
    from evaluation.sandbox.reader import Reader
    from evaluation.scoring.counts import count, pack
    from evaluation.task import MaskSpec

    labels = np.load(folder / "labels.npy")
    truth, spec, reader = pack(labels), MaskSpec(*labels.shape), Reader()

    def run() -> Counts:
        global helper_cpu, helper_peak
        counted = count(reader.read(folder / "archive.zip", spec), truth).total
        helper_cpu, helper_peak = reader.usage
        return counted

    return run


def ours_to_the_row(folder: Path, patches: int) -> Callable[[], Counts]:
    """The same, and everything else that a worker does before it writes the row: compress, hash, pack the counts."""
    from evaluation.sandbox.reader import Reader
    from evaluation.scoring.counts import count, pack, sha256
    from evaluation.scoring.labels import compress
    from evaluation.task import MaskSpec

    labels = np.load(folder / "labels.npy")
    truth, spec, reader = pack(labels), MaskSpec(*labels.shape), Reader()

    def run() -> Counts:
        global helper_cpu, helper_peak
        masks = reader.read(folder / "archive.zip", spec)
        counts = count(masks, truth)
        compress(masks), sha256(masks, spec), counts.to_bytes()
        helper_cpu, helper_peak = reader.usage
        return counts.total

    return run


def _in_process(folder: Path, patches: int, learn: bool) -> Callable[[], Counts]:
    from evaluation.archive import mask_zip
    from evaluation.scoring.counts import count, pack
    from evaluation.task import MaskSpec

    truth, spec = pack(np.load(folder / "labels.npy")), MaskSpec(patches)
    return lambda: count(mask_zip.read((folder / "archive.zip").read_bytes(), spec, learn=learn), truth).total


def ours_in_process(folder: Path, patches: int) -> Callable[[], Counts]:
    """The same checks without isolation."""
    return _in_process(folder, patches, True)


def ours_h5py_each(folder: Path, patches: int) -> Callable[[], Counts]:
    """The same checks without isolation, with h5py for every file."""
    return _in_process(folder, patches, False)


def libhdf5(folder: Path, patches: int) -> Callable[[], Counts]:
    """h5py's low-level calls on each file in memory, and libhdf5's own read, without any check."""
    from h5py import h5d, h5f, h5s

    truth = np.load(folder / "labels.npy")

    def run() -> Counts:
        masks = np.empty_like(truth)
        with zipfile.ZipFile(folder / "archive.zip") as archive:
            for i in range(patches):
                file = h5f.open_file_image(archive.read(f"mask_{i + 1}.h5"))
                h5d.open(file, b"mask").read(h5s.ALL, h5s.ALL, masks[i])
        return totals(masks, truth)

    return run


def _unpacked(folder: Path, scratch: str | None, patches: int) -> np.ndarray:
    """Extract to files and open each with h5py, as other tools do."""
    target = Path(tempfile.mkdtemp(dir=scratch))
    try:
        with zipfile.ZipFile(folder / "archive.zip") as archive:
            archive.extractall(target)
        masks = []
        for i in range(patches):
            with h5py.File(target / f"mask_{i + 1}.h5") as file:
                masks.append(file["mask"][:])
        return np.stack(masks)
    finally:
        shutil.rmtree(target)


def _official(folder: Path, patches: int, scratch: str | None) -> Callable[[], Counts]:
    truth = np.load(folder / "labels.npy")

    def run() -> Counts:
        tp = fp = fn = 0
        for mask, true in zip(_unpacked(folder, scratch, patches), truth, strict=True):
            hit = len(np.where((mask == 1) & (true == 1))[0])
            tp += hit
            fp += len(np.where(mask == 1)[0]) - hit
            fn += len(np.where(true == 1)[0]) - hit
        return tp, fp, fn

    return run


def official(folder: Path, patches: int) -> Callable[[], Counts]:
    """Extract to disk, h5py.File, numpy.where for each patch: as the organisers' script does."""
    return _official(folder, patches, str(folder))


def official_ram_disk(folder: Path, patches: int) -> Callable[[], Counts]:
    """The same, extracted to a RAM disk."""
    return _official(folder, patches, "/dev/shm")


def scikit_learn(folder: Path, patches: int) -> Callable[[], Counts]:
    """Extract to disk, h5py.File, scikit-learn's confusion matrix of all pixels."""
    from sklearn.metrics import confusion_matrix

    truth = np.load(folder / "labels.npy")

    def run() -> Counts:
        masks = _unpacked(folder, str(folder), patches)
        _, fp, fn, tp = confusion_matrix(truth.ravel(), masks.ravel()).ravel().tolist()
        return tp, fp, fn

    return run


def torchmetrics(folder: Path, patches: int) -> Callable[[], Counts]:
    """Extract to disk, h5py.File, torchmetrics' stat scores."""
    import torch
    from torchmetrics.classification import BinaryStatScores

    torch.set_num_threads(1)
    truth = torch.from_numpy(np.load(folder / "labels.npy"))

    def run() -> Counts:
        metric = BinaryStatScores()
        masks = torch.from_numpy(_unpacked(folder, str(folder), patches))
        for start in range(0, patches, 32):
            metric.update(masks[start : start + 32], truth[start : start + 32])
        tp, fp, _, fn, _ = metric.compute().tolist()
        return tp, fp, fn

    return run


VARIANTS = {
    f.__name__: f
    for f in (
        ours,
        ours_to_the_row,
        ours_in_process,
        ours_h5py_each,
        libhdf5,
        official_ram_disk,
        official,
        scikit_learn,
        torchmetrics,
    )
}
helper_cpu, helper_peak = 0.0, 0


# --- running -------------------------------------------------------------------------------------------------


def work(name: str, folder: Path, patches: int) -> None:
    """A variant's process: for each line on stdin one round, printed as JSON."""
    run = VARIANTS[name](folder, patches)
    base = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _ in sys.stdin:
        started = time.process_time()
        tp, fp, fn = run()
        cpu = time.process_time() - started + helper_cpu
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        print(json.dumps([tp, fp, fn, cpu, peak / 1024, base / 1024, helper_peak / 2**20]), flush=True)


def compile_floor(folder: Path) -> tuple[Path, str]:
    """The C program, with libdeflate if it can be linked, otherwise zlib."""
    program = folder / "floor"
    common = ["cc", "-O3", "-march=native", str(HERE / "floor.c"), "-o", str(program)]
    for library, flags in (("libdeflate", ["-DLIBDEFLATE", "-l:libdeflate.so.0"]), ("zlib", ["-lz"])):
        if subprocess.run(common + flags, capture_output=True).returncode == 0:
            return program, library
    raise SystemExit("The floor needs a C compiler and zlib's headers (Debian: build-essential zlib1g-dev).")


class Contender:
    def __init__(self, name: str, command: list[str]) -> None:
        self.name, self.cpu, self.counts = name, list[float](), set[Counts]()
        self.peak = self.base = self.helper = 0.0
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=HERE.parent,
            env=os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
        )

    def round(self, counts: bool) -> None:
        assert self.process.stdin
        assert self.process.stdout
        print("go", file=self.process.stdin, flush=True)
        answer = self.process.stdout.readline()
        if not answer:
            raise SystemExit(f"{self.name} failed.")
        numbers = json.loads(answer) if answer.startswith("[") else [float(n) for n in answer.split()]
        tp, fp, fn, cpu = numbers[:4]
        self.counts.add((int(tp), int(fp), int(fn)))
        if len(numbers) > 4:
            self.peak, self.base, self.helper = numbers[4:]
        if counts:
            self.cpu.append(1000 * cpu)

    def close(self) -> None:
        assert self.process.stdin
        self.process.stdin.close()
        self.process.wait()


def contenders(folder: Path, arguments: argparse.Namespace, kind: str) -> list[Contender]:
    meta = json.loads((folder / "meta.json").read_text())
    found = []
    if kind in ("plain", "busy", "stored"):
        program, library = compile_floor(folder)
        files = [str(folder / "archive.zip"), str(folder / "labels.raw")]
        numbers = [str(meta["patches"]), str(128 * 128), str(meta["offset"])]
        found.append(Contender(f"floor (C, {library})", [str(program), *files, *numbers]))
    for name in sorted(arguments.variants, key=lambda name: name != "libhdf5" or bool(found)):
        python = arguments.torch_python if name == "torchmetrics" else sys.executable
        module = ["-m", "benchmarks.scoring", "--work", name, "--folder", str(folder)]
        found.append(Contender(name, [python, *module, "--patches", str(arguments.patches)]))
    return found


def bench(arguments: argparse.Namespace, kind: str) -> None:
    """One table: all variants on one kind of archive."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make(folder, arguments.patches, kind)
        size = (folder / "archive.zip").stat().st_size
        print(f"\n{arguments.patches} masks, {KINDS[kind]}, {size:,} bytes; {arguments.rounds} rounds\n")
        field = contenders(folder, arguments, kind)
        for i in range(arguments.rounds + 2):  # two to warm up
            for contender in field:
                contender.round(counts=i >= 2)
        for contender in field:
            contender.close()
        if len(set.union(*(c.counts for c in field))) != 1:
            raise SystemExit(f"The variants disagree: { {c.name: c.counts for c in field} }")
        first = statistics.median(field[0].cpu)
        print(f"| variant | CPU ms | minimum | x {field[0].name} | peak MB (base) | child MB |")
        print("| --- | --- | --- | --- | --- | --- |")
        for c in field:
            median = statistics.median(c.cpu)
            memory = f"{c.peak:.0f} ({c.base:.0f})" if c.peak else ""
            helper = f"{c.helper:.0f}" if c.helper else ""
            print(
                f"| {c.name} | {median:.1f} | {min(c.cpu):.1f} | {median / first:.1f} | {memory} | {helper} |"
            )


def growth(rounds: int) -> None:
    """CPU time of ours by patches and pixels, and of a re-score from stored masks."""
    from evaluation.sandbox.reader import Reader
    from evaluation.scoring import labels
    from evaluation.scoring.counts import count
    from evaluation.task import MaskSpec

    print(
        "\n| masks | CPU ms | per mask µs | child MB | re-score from stored masks ms |\n| --- | --- | --- | --- | --- |"
    )
    for patches, size in ((245, 128), (800, 128), (8000, 128), (800, 256), (800, 512)):
        with tempfile.TemporaryDirectory() as name, Reader() as reader:
            make(Path(name), patches, "plain", size)
            truth, spec = labels.load(Path(name) / "archive.zip", MaskSpec(patches, size, size))
            times, again = [], []
            for _ in range(rounds + 1):
                started = time.process_time()
                packed = reader.read(Path(name) / "archive.zip", spec)
                count(packed, truth)
                times.append(time.process_time() - started + reader.usage.cpu_s)
            stored = labels.compress(packed)
            for _ in range(rounds + 1):
                started = time.process_time()
                count(labels.decompress(stored, spec), truth)
                again.append(time.process_time() - started)
            ms, re = 1000 * statistics.median(times[1:]), 1000 * statistics.median(again[1:])
            peak = reader.usage.peak_bytes / 2**20
            print(
                f"| {patches} x {size}² | {ms:.1f} | {1000 * ms / patches:.1f} | {peak:.0f} | {re:.2f} |",
                flush=True,
            )


def soak(number: int) -> None:
    """Memory of worker and reader processes over many archives of every kind in turn."""
    import psutil

    from evaluation.sandbox.reader import Reader
    from evaluation.task import MaskSpec

    archives = []
    for kind in KINDS:
        with tempfile.TemporaryDirectory() as name:
            make(Path(name), 245, kind)
            archives.append((Path(name) / "archive.zip").read_bytes())
    worker = psutil.Process()
    print(
        "\n| archives of 245 masks, all kinds in turn | worker MB | reader processes MB |\n| --- | --- | --- |"
    )
    with Reader() as reader:
        for i in range(number + 1):
            reader.read(archives[i % len(archives)], MaskSpec(245))
            if i in (9, 99, 999, number // 2, number):
                readers = sum(psutil.Process(pid).memory_info().rss for pid in reader.pids) / 2**20
                print(f"| {i} | {worker.memory_info().rss / 2**20:.1f} | {readers:.1f} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--patches", type=int, default=800)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--kinds", nargs="*", choices=KINDS, default=["plain", "busy", "gzip", "gzip_busy"])
    parser.add_argument("--variants", nargs="*", choices=VARIANTS, default=list(VARIANTS))
    parser.add_argument(
        "--torch-python", default=sys.executable, help="a Python that has torchmetrics, h5py and numpy"
    )
    parser.add_argument("--growth", action="store_true", help="also over numbers and sizes of masks")
    parser.add_argument("--soak", type=int, default=0, metavar="N", help="also memory over so many archives")
    parser.add_argument("--work", choices=VARIANTS, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.work:
        work(arguments.work, arguments.folder, arguments.patches)
        return
    if subprocess.run([arguments.torch_python, "-c", "import torchmetrics"], capture_output=True).returncode:
        print("torchmetrics is not installed here and left out: see --torch-python.")
        arguments.variants = [name for name in arguments.variants if name != "torchmetrics"]
    load = ", ".join(f"{n:.1f}" for n in os.getloadavg())
    print(
        f"{time.strftime('%Y-%m-%d')}, {processor()}, {os.cpu_count()} cores, {platform.platform()}, load {load}"
    )
    for kind in arguments.kinds:
        bench(arguments, kind)
    if arguments.growth:
        growth(arguments.rounds)
    if arguments.soak:
        soak(arguments.soak)


def processor() -> str:
    cpus = Path("/proc/cpuinfo")
    names = [
        line.partition(":")[2].strip()
        for line in cpus.read_text().splitlines()
        if line.startswith("model name")
    ]
    return names[0] if names else platform.processor()


if __name__ == "__main__":
    main()
