"""Texts that come more than once, found by their hashes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

Hashes = NDArray[np.uint64]  # (documents, 2)


def first_of_each(hashes: Hashes, continues: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Which are of the first document with its text; a document in several pieces is kept whole or not at all."""
    document = np.cumsum(~continues) - 1
    texts = np.ascontiguousarray(hashes[~continues])
    for place in np.flatnonzero(continues):
        texts[document[place]] = _of_both(texts[document[place]], hashes[place])
    together = texts.view([("a", np.uint64), ("b", np.uint64)])[:, 0]
    first = np.zeros(len(together), bool)
    first[np.unique(together, return_index=True)[1]] = True
    return first[document]


def also_in_train(held_out: list[Hashes], everything: Iterable[Hashes]) -> int:
    """How many held-out documents have a text that stands oftener in everything than it was held out."""
    if not held_out:
        return 0
    texts, held = np.unique(np.concatenate(held_out)[:, 0], return_counts=True)
    found = np.zeros_like(held)
    for hashes in everything:
        place = np.searchsorted(texts, hashes[:, 0])
        place[place == len(texts)] = 0
        np.add.at(found, place[texts[place] == hashes[:, 0]], 1)
    return int(held[found > held].sum())


def _of_both(before: NDArray[np.uint64], after: NDArray[np.uint64]) -> NDArray[np.uint64]:
    return np.frombuffer(hashlib.blake2b(before.tobytes() + after.tobytes(), digest_size=16).digest(), np.uint64)
