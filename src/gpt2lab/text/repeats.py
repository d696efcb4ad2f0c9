"""Texts that come more than once, found by their hashes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

Hashes = NDArray[np.uint64]  # (documents, 2)


def repeats_of_others(
    hashes: Hashes, continues: NDArray[np.bool_], held_out: NDArray[np.int64]
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which have the text of another document that is kept, and of which of them that one is further `held_out`.

    Kept is what is held out most, and of those the first. A document in several pieces is one.
    """
    document = np.cumsum(~continues) - 1
    texts, held_out = np.ascontiguousarray(hashes[~continues]), held_out[~continues]
    for place in np.flatnonzero(continues):
        texts[document[place]] = _of_both(texts[document[place]], hashes[place])
    order = np.argsort(-held_out, kind="stable")
    together = texts.view([("a", np.uint64), ("b", np.uint64)])[:, 0]
    _, first, text = np.unique(together[order], return_index=True, return_inverse=True)
    kept = np.empty(len(order), np.int64)  # for each document, the one that is kept
    kept[order] = order[first][text]
    repeated, lower = kept != np.arange(len(order)), held_out[kept] > held_out
    return repeated[document], lower[document]


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
