"""What generated texts have word for word from the training set: how much, how long, and where.

The shards are read once, in stretches of fixed size. A hash finds places that may match, and only equal ids count.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpt2lab.core.console import Progress
from gpt2lab.text.batches import Integers
from gpt2lab.text.corpus import Split
from gpt2lab.text.tokenizer import Tokenizer

SHORTEST = 8  # tokens in a row that count as copied
STRETCH = 1 << 20  # tokens of the corpus at a time
MOST_PAIRS = 1 << 22  # of places in both; more are taken in smaller stretches
FILTER_BITS = 22
FACTOR = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True)
class Passage:
    """Tokens [start, stop) of a text stand in the training set from the token `source` of its stream on."""

    start: int
    stop: int
    source: int


@dataclass(frozen=True)
class Copied:
    """`matches` says how many tokens from each place of a text on stand in the training set; 0 for fewer than eight."""

    matches: Integers
    sources: Integers

    @property
    def longest(self) -> int:
        return int(self.matches.max(initial=0))

    def share(self, n: int) -> float | None:
        """Of its n-grams, n at least eight, that the training set holds; None for a text that has none."""
        assert n >= SHORTEST
        count = len(self.matches) - n + 1
        return float((self.matches[:count] >= n).mean()) if count > 0 else None

    @property
    def passages(self) -> list[Passage]:
        """The copied stretches that are part of no longer one."""
        found: list[Passage] = []
        for start in np.flatnonzero(self.matches).tolist():
            stop = start + int(self.matches[start])
            if not found or stop > found[-1].stop:
                found.append(Passage(start, stop, int(self.sources[start])))
        return found


def find(texts: Sequence[Integers], split: Split, progress: Progress | None = None) -> list[Copied]:
    """Of each text, as ids of the corpus' own tokenizer."""
    sought = _Sought(texts)
    ahead = _Runs(0, {})
    for start in range(0, max(0, split.tokens - SHORTEST + 1), STRETCH):
        stop = min(start + STRETCH, split.tokens - SHORTEST + 1)
        ids = split.read(start, stop + SHORTEST - 1)
        for part_start, pairs in _pairs(sought, ids, start):
            ahead = sought.note(pairs, part_start, ahead)
        if progress:
            progress.advance(stop - start)
    return sought.result()


def describe(copied: Copied, ids: Integers, text: str, tokenizer: Tokenizer, split: Split) -> list[dict[str, Any]]:
    """Each passage in characters of the text, for a report to mark, and the training document that holds it."""
    lengths = [len(tokenizer.vocabulary.bytes_of[number]) for number in ids.tolist()]
    ends, data = np.cumsum([0, *lengths]), text.encode("utf-8", "replace")
    return [
        {
            "start": len(data[: ends[passage.start]].decode("utf-8", "ignore")),
            "stop": len(data[: ends[passage.stop]].decode("utf-8", "ignore")),
            "tokens": passage.stop - passage.start,
            "document": int(np.searchsorted(split.starts, passage.source, side="right")) - 1,
        }
        for passage in copied.passages
    ]


@dataclass(frozen=True)
class _Runs:
    """Matches that reach the end of a stretch and may go on in the next: place in the texts → (first place, source)."""

    stop: int
    open: dict[int, tuple[int, int]]


@dataclass(frozen=True)
class _Pairs:
    """Where n-grams of the corpus (`sources`) equal n-grams of the texts (`places`); only those before `stop`."""

    stop: int
    sources: Integers
    places: Integers


class _Sought:
    """All texts after one another, their n-grams sorted by hash, and the longest match found for each so far."""

    def __init__(self, texts: Sequence[Integers]) -> None:
        self.borders = np.cumsum([0, *(len(text) for text in texts)])
        self.ids = np.concatenate([np.empty(0, np.int64), *texts]).astype(np.int64)
        places = [np.arange(start, stop - SHORTEST + 1) for start, stop in pairwise(self.borders)]
        self.places = np.concatenate([np.empty(0, np.int64), *places]).astype(np.int64)
        hashes = hashed(self.ids)[self.places] if len(self.places) else np.empty(0, np.uint64)
        order = np.argsort(hashes, kind="stable")
        self.places, self.hashes = self.places[order], hashes[order]
        self.filter = np.zeros(1 << FILTER_BITS, bool)
        self.filter[_short(self.hashes)] = True
        self.matches = np.zeros(len(self.ids), np.int64)
        self.sources = np.zeros(len(self.ids), np.int64)

    def candidates(self, hashes: NDArray[np.uint64]) -> tuple[Integers, Integers, Integers]:
        """(places in the corpus, first and last + 1 of the n-grams with the same hash)."""
        maybe = np.flatnonzero(self.filter[_short(hashes)])
        first = np.searchsorted(self.hashes, hashes[maybe], "left")
        last = np.searchsorted(self.hashes, hashes[maybe], "right")
        there = last > first
        return maybe[there], first[there], last[there]

    def note(self, pairs: _Pairs, start: int, before: _Runs) -> _Runs:
        """Put matches that follow one another together to runs; those at the end are left open for the next stretch."""
        if not len(pairs.places):
            return _Runs(pairs.stop, {})
        diagonal = pairs.sources - pairs.places
        order = np.lexsort((pairs.places, diagonal))
        places, sources, diagonal = pairs.places[order], pairs.sources[order], diagonal[order]
        begins = np.ones(len(places), bool)
        begins[1:] = (np.diff(diagonal) != 0) | (np.diff(places) != 1)
        firsts = np.flatnonzero(begins)
        lasts = np.append(firsts[1:], len(places)) - 1
        goes_on = before.open if before.stop == start else {}
        first_places, first_sources = places[firsts], sources[firsts]
        for run in np.flatnonzero(first_sources == start).tolist():
            earlier = goes_on.get(int(first_places[run]) - 1)
            if earlier is not None:
                first_places[run], first_sources[run] = earlier
        lengths = places[lasts] - first_places + SHORTEST
        longest_last = np.lexsort((-first_sources, lengths))
        better = longest_last[lengths[longest_last] > self.matches[first_places[longest_last]]]
        self.matches[first_places[better]], self.sources[first_places[better]] = lengths[better], first_sources[better]
        open_runs = np.flatnonzero(sources[lasts] == pairs.stop - 1).tolist()
        return _Runs(
            pairs.stop,
            {int(places[lasts[run]]): (int(first_places[run]), int(first_sources[run])) for run in open_runs},
        )

    def result(self) -> list[Copied]:
        """A match of eleven tokens is one of ten from its second token on."""
        for place in range(1, len(self.matches)):
            inherited = self.matches[place - 1] - 1
            if inherited >= SHORTEST and inherited > self.matches[place]:
                self.matches[place], self.sources[place] = inherited, self.sources[place - 1] + 1
        return [Copied(self.matches[start:stop], self.sources[start:stop]) for start, stop in pairwise(self.borders)]


def hashed(ids: Integers) -> NDArray[np.uint64]:
    """One number for each eight ids in a row, by doubling: of one, two, four, eight."""
    found, factor, length = ids.astype(np.uint64) + np.uint64(1), FACTOR, 1
    with np.errstate(over="ignore"):
        while length < SHORTEST:
            found = found[:-length] * factor + found[length:]
            found ^= found >> np.uint64(29)
            factor, length = factor * factor, 2 * length
    return found


def _short(hashes: NDArray[np.uint64]) -> NDArray[np.uint64]:
    return (hashes * FACTOR) >> np.uint64(64 - FILTER_BITS)


def _pairs(sought: _Sought, ids: Integers, start: int) -> Iterator[tuple[int, _Pairs]]:
    """Every pair of equal n-grams, in as many parts as memory asks for, each with where it begins."""
    hashes = hashed(ids)
    where, first, last = sought.candidates(hashes)
    counts = last - first
    bounds = [0, *_cuts(where, counts), len(hashes)]
    for begin, end in pairwise(bounds):
        inside = slice(*np.searchsorted(where, (begin, end)))
        sources = np.repeat(where[inside], counts[inside])
        offsets = np.arange(len(sources)) - np.repeat(np.cumsum(counts[inside]) - counts[inside], counts[inside])
        places = sought.places[np.repeat(first[inside], counts[inside]) + offsets]
        equal = np.ones(len(sources), bool)
        for n in range(SHORTEST):
            equal &= ids[sources + n] == sought.ids[places + n]
        yield start + begin, _Pairs(start + end, sources[equal] + start, places[equal])


def _cuts(where: Integers, counts: Integers) -> list[int]:
    """Places between candidates, so that no part holds many more pairs than memory should."""
    part = np.cumsum(counts) // MOST_PAIRS
    return where[1:][np.diff(part) > 0].tolist() if len(part) else []
