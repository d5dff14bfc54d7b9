"""Counts of several teams on the same patches."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class CountTable:
    """TP, FP and FN in pixels, int64 (T, n), of T teams on the same n patches.

    `site` names the site of each patch (n names), or is None. `clustered` says that each column is a whole site.
    ValueError when shapes disagree, a count is negative, two teams were not scored against the same labels, or
    the labels hold no positive pixel (F1 would have no meaning).
    """

    teams: tuple[str, ...]
    patches: tuple[str, ...]
    tp: Ints
    fp: Ints
    fn: Ints
    site: tuple[str, ...] | None = None
    clustered: bool = False

    def __post_init__(self) -> None:
        shape = (len(self.teams), len(self.patches))
        for name in ("tp", "fp", "fn"):
            counts = np.asarray(getattr(self, name))
            if counts.shape != shape:
                raise ValueError(
                    f"{name} has shape {counts.shape}, but there are {shape[0]} teams and {shape[1]} patches"
                )
            if counts.dtype.kind not in "iu":
                raise ValueError(f"{name} holds {counts.dtype}, but counts are whole numbers of pixels")
            if counts.size and counts.min() < 0:
                raise ValueError(f"{name} holds a negative count")
            object.__setattr__(self, name, counts.astype(np.int64))
        if 0 in shape:
            raise ValueError("a count table needs at least one team and one patch")
        if self.site is not None and len(self.site) != shape[1]:
            raise ValueError(f"{len(self.site)} sites are named for {shape[1]} patches: give one per patch")
        different = np.argwhere((self.tp + self.fn) != self.positives)
        if different.size:
            team, patch = different[0]
            raise ValueError(
                f"patch {self.patches[patch]}: TP + FN is {self.positives[patch]} for team {self.teams[0]} but "
                f"{(self.tp + self.fn)[team, patch]} for team {self.teams[team]}: "
                "all teams must be scored against the same labels"
            )
        if self.positives.sum() == 0:
            raise ValueError("the labels hold no positive pixel, so F1 is undefined: check the label set")

    @property
    def positives(self) -> Ints:
        """Label pixels of each patch, (n,): the same for every team."""
        return self.tp[0] + self.fn[0]

    @property
    def predicted(self) -> Ints:
        """Predicted pixels, (T, n)."""
        return self.tp + self.fp

    @property
    def numerator(self) -> Ints:
        """2TP, (T, n): sums to the numerator of F1."""
        return 2 * self.tp

    @property
    def denominator(self) -> Ints:
        """2TP + FP + FN, (T, n): sums to the denominator of F1."""
        return 2 * self.tp + self.fp + self.fn

    def f1(self) -> Floats:
        """Pooled F1 of each team, (T,), in 0..1."""
        return self.numerator.sum(1) / self.denominator.sum(1)

    def by_site(self) -> CountTable:
        """The same table with one column per site, sorted by site name. ValueError without sites."""
        if self.site is None:
            raise ValueError("no sites are given, so counts cannot be summed by site")
        names, code = np.unique(np.asarray(self.site), return_inverse=True)
        member = np.zeros((len(self.patches), len(names)), np.int64)
        member[np.arange(len(self.patches)), code] = 1
        sites = tuple(str(name) for name in names)
        return CountTable(
            self.teams,
            sites,
            self.tp @ member,
            self.fp @ member,
            self.fn @ member,
            site=sites,
            clustered=True,
        )

    def take(self, rows: Sequence[int] | Ints) -> CountTable:
        """The table of some teams only, by row number, in the order given."""
        at = np.asarray(rows, np.int64)
        teams = tuple(self.teams[row] for row in at)
        return replace(self, teams=teams, tp=self.tp[at], fp=self.fp[at], fn=self.fn[at])

    def joined(self, other: CountTable) -> CountTable:
        """The rows of this table, then those of another one for the same patches."""
        if other.patches != self.patches:
            raise ValueError("tables of different patches cannot be joined")
        return replace(
            self,
            teams=self.teams + other.teams,
            tp=np.concatenate([self.tp, other.tp]),
            fp=np.concatenate([self.fp, other.fp]),
            fn=np.concatenate([self.fn, other.fn]),
        )

    def digest(self) -> str:
        """SHA-256 of names and counts, in hexadecimal: names the snapshot that a report was made from."""
        state = hashlib.sha256()
        for names in (self.teams, self.patches, self.site or ()):
            for name in names:
                raw = name.encode()
                state.update(len(raw).to_bytes(8, "big") + raw)
            state.update(b"\xff" * 8)
        for counts in (self.tp, self.fp, self.fn):
            state.update(counts.astype(">i8").tobytes())
        return state.hexdigest()
