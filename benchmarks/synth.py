"""Speed of the synthetic benchmark's generator, in patches per second of one core.

    python -m benchmarks.synth [--tiles N]

Counts CPU seconds of this process, so a busy machine does not matter. Bound: 100 patches per second and core,
including writing the files.
"""

import argparse
import tempfile
import time
from pathlib import Path

from baseline import synth
from baseline.data.dataset import load
from baseline.synth.tiles import CELLS, make_tile

BOUND = 100.0


def cpu_seconds(work) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tiles", type=int, default=40, help="tiles made in memory")
    options = parser.parse_args()
    make_tile(0, "train", 0, 0)  # tables and memory

    def draw() -> None:
        for tile in range(options.tiles):
            make_tile(1, "train", tile % 4, tile)

    drawn = options.tiles * CELLS / cpu_seconds(draw)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        splits = ("validation", "test")
        count = sum(synth.PRESETS["demo"][split] for split in splits)
        written = count / cpu_seconds(lambda: synth.generate(root, "demo", 1, splits=splits, processes=1))
        size = sum(path.stat().st_size for path in root.rglob("*.h5")) / count
        first = synth.PRESETS["demo"]["validation"] / cpu_seconds(lambda: load(root, "validation"))
        again = synth.PRESETS["demo"]["validation"] / cpu_seconds(lambda: load(root, "validation"))
    print(f"drawn in memory          {drawn:7.1f} patches per CPU second")
    print(f"drawn and written        {written:7.1f} patches per CPU second (bound: {BOUND:.0f})")
    print(f"size on disk             {size / 1e3:7.1f} kB a patch")
    print(f"read, first time         {first:7.1f} patches per CPU second (with hash and statistics)")
    print(f"read, statistics cached  {again:7.1f} patches per CPU second")
    return 0 if written >= BOUND else 1


if __name__ == "__main__":
    raise SystemExit(main())
