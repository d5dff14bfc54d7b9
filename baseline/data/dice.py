"""The random numbers of one training step.

They depend only on the seed, the stage's name and the step. So a resumed run needs no saved generator. Each of several processes
draws the numbers for the whole batch and keeps those of its own rows, so a patch is treated the same whichever process holds it.
"""

import hashlib
from functools import lru_cache

import numpy as np


def derived_seed(*parts: object) -> int:
    """A 63-bit seed made of the parts' text, the same on every machine."""
    digest = hashlib.sha256("\0".join(map(str, parts)).encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 1


class Dice:
    """Random numbers of a step for `batch` patches, of which this process holds the slice `rows` (default: all)."""

    def __init__(self, seed: int, step: int, batch: int, rows: slice = slice(None)):
        self.seed = seed
        self.step = step
        self.batch = batch
        self.rows = rows
        self.generator = np.random.Generator(np.random.PCG64(derived_seed(seed, step)))

    def __len__(self) -> int:
        return len(range(self.batch)[self.rows])

    def patches(self, total: int, stream: str = "") -> np.ndarray:
        """int64 (rows,): the numbers (below `total`) of the patches of this step.

        Each epoch goes through all patches in a new order. Pools drawn from in the same step need different stream names.
        """
        places = np.arange(self.step * self.batch, (self.step + 1) * self.batch)[self.rows]
        epochs, within = np.divmod(places, total)
        orders = {epoch: _order(self.seed, stream, int(epoch), total) for epoch in np.unique(epochs)}
        return np.array([orders[epoch][i] for epoch, i in zip(epochs, within, strict=True)])

    def uniform(self, low: float, high: float, *shape: int) -> np.ndarray:
        """float32 (rows, *shape), uniform in [low, high)."""
        return self.generator.uniform(low, high, (self.batch, *shape)).astype(np.float32)[self.rows]

    def integers(self, below: int) -> np.ndarray:
        """int64 (rows,), each of 0 … below − 1."""
        return self.generator.integers(below, size=self.batch)[self.rows]

    def beta(self, a: float, b: float) -> float:
        """One number from a beta distribution, the same for the whole batch."""
        return float(self.generator.beta(a, b))


@lru_cache(maxsize=8)
def _order(seed: int, stream: str, epoch: int, total: int) -> np.ndarray:
    return np.random.Generator(np.random.PCG64(derived_seed(seed, stream, "epoch", epoch))).permutation(total)
