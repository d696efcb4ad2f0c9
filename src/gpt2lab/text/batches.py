"""Batches as a pure function of corpus, seed and step: there is no state to save and none to lose."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from gpt2lab.text.corpus import Split

UNSCORED = -100  # a target that does not count


@dataclass(frozen=True)
class Batch:
    ids: NDArray[np.int64]  # (rows, block)
    targets: NDArray[np.int64]  # (rows, block); UNSCORED where nothing is predicted

    @property
    def scored(self) -> int:
        return int((self.targets != UNSCORED).sum())


@dataclass(frozen=True)
class Blocks:
    """Rows of `block` tokens from a split's stream, the targets shifted by one. The last row may be partial."""

    split: Split
    block: int

    @property
    def rows(self) -> int:
        return max(0, -(-(self.split.tokens - 1) // self.block))

    def batch(self, rows: NDArray[np.int64]) -> Batch:
        ids = np.zeros((len(rows), self.block), np.int64)
        targets = np.full((len(rows), self.block), UNSCORED, np.int64)
        for place, row in enumerate(rows):
            start = int(row) * self.block
            stream = self.split.read(start, min(start + self.block + 1, self.split.tokens))
            ids[place, : len(stream) - 1] = stream[:-1]
            targets[place, : len(stream) - 1] = stream[1:]
        return Batch(ids, targets)


def rows_of_step(rows: int, batch_rows: int, seed: int, step: int) -> NDArray[np.int64]:
    """Which rows the batch of `step` (from 0) holds: every row once an epoch, in an order of its own each epoch."""
    places = np.arange(step * batch_rows, (step + 1) * batch_rows)
    return np.array([_order(rows, seed, int(place // rows))[place % rows] for place in places])


@lru_cache(maxsize=2)
def _order(rows: int, seed: int, epoch: int) -> NDArray[np.int64]:
    return np.random.Generator(np.random.Philox(key=[seed, epoch])).permutation(rows)
