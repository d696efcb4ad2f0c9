"""Which split a document belongs to."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gpt2lab.text.parts import Columns, Part
from gpt2lab.text.settings import PrepareSettings
from gpt2lab.text.tokenizer import Tokenizer

TRAIN, VALIDATION, TEST = 0, 1, 2
NAMES = ("train", "validation", "test")
FEW_DOCUMENTS = 100  # fewer cannot be split by chance: one long one would make or break a side


def by_hash(
    hashes: NDArray[np.uint64], borders: NDArray[np.float64], classes: NDArray[np.int64] | None = None
) -> NDArray[np.int8]:
    """The same for the same text. Below a class's first border is validation, below its second one test."""
    places = places_of(hashes)
    first, second = borders[0 if classes is None else classes].T
    routed = np.full(len(hashes), TRAIN, np.int8)
    routed[places < second] = TEST
    routed[places < first] = VALIDATION
    return routed


def places_of(hashes: NDArray[np.uint64]) -> NDArray[np.float64]:
    """From 0 to 1, by a text alone."""
    return hashes[:, 0].astype(np.float64) / 2.0**64


def borders_of(settings: PrepareSettings, classes: Sequence[NDArray[np.float64]] = ()) -> NDArray[np.float64]:
    """(classes, 2): one pair for all, whatever else is in the source; or, given the places of each class's texts,
    a pair a class, so that every class gives the same share."""
    shares = settings.validation if isinstance(settings.validation, float) else 0.0, settings.test
    if not classes:
        return np.cumsum(shares)[None]
    held_out = _held_out([len(places) for places in classes], shares)
    ranked = [np.append(np.sort(places), 1.0) for places in classes]
    return np.array([places[np.cumsum(counts)] for places, counts in zip(ranked, held_out)])


def _held_out(sizes: Sequence[int], shares: tuple[float, float]) -> list[tuple[int, int]]:
    """Texts of each class for validation and test. What rounding leaves goes on to the next class, so that many small
    classes together give the shares; every class keeps a text to learn from."""
    found, owed = [], np.zeros(2)
    for size in sizes:
        owed = np.minimum(owed, 1) + size * np.array(shares)
        validation = int(min(max(0, size - 1), np.round(owed[0])))
        test = int(min(max(0, size - 1) - validation, np.round(owed[1])))
        owed -= (validation, test)
        found.append((validation, test))
    return found


def paragraph_border(ids: NDArray[np.unsignedinteger], wanted: int, tokenizer: Tokenizer) -> int:
    """The first place from `wanted` on where a paragraph or document begins; else a line; else `wanted` itself."""
    table = tokenizer.vocabulary.bytes_of
    before = b"".join(table[number] for number in ids[max(0, wanted - 4) : wanted])
    line = None
    for place in range(wanted, len(ids)):
        if ids[place] == tokenizer.end_of_text:
            return place
        token = table[ids[place]]
        if before.endswith(b"\n") and not token[:1].isspace():
            if before.rstrip().count(b"\n") + 2 <= before.count(b"\n"):
                return place
            line = line or place
        before = (before + token)[-16:]
    return line or wanted


def of_documents(
    chosen: NDArray[np.bool_], ids: NDArray[np.unsignedinteger], lengths: NDArray[np.int64]
) -> NDArray[np.unsignedinteger]:
    """The tokens of the chosen documents. Neighbours are copied together, which is many times faster than a mask."""
    places = np.concatenate([[0], np.cumsum(lengths)])
    borders = places[np.flatnonzero(np.diff(chosen, prepend=False, append=False))]
    runs = [ids[start:stop] for start, stop in borders.reshape(-1, 2)]
    return runs[0] if len(runs) == 1 else np.concatenate([ids[:0], *runs])


@dataclass(frozen=True)
class Cut:
    """By position: the stream before the first place goes to the first split, what is left at the end to the last."""

    places: tuple[int, ...]  # rising
    splits: tuple[str, ...]  # one more
    reason: str
    end_of_text: bool  # before what is left of a document that is cut


Routed = tuple[NDArray[np.unsignedinteger], Columns, bool]


class Router:
    """Decides for each document, or by position, which split it joins."""

    def __init__(self, cut: Cut | None, borders: NDArray[np.float64], tokenizer: Tokenizer) -> None:
        self.cut, self.borders, self.tokenizer = cut, borders, tokenizer
        self.position = 0
        self.last = TRAIN

    def __call__(
        self, part: Part, kept: NDArray[np.bool_], ids: NDArray[np.unsignedinteger], columns: Columns
    ) -> Iterator[tuple[str, Routed]]:
        if not len(columns["lengths"]):
            return
        if self.cut is None or part.split == "test":
            yield from self._by_document(part, kept, ids, columns)
        else:
            yield from self._by_position(self.cut, part.continues, ids, columns)

    def _by_document(
        self, part: Part, kept: NDArray[np.bool_], ids: NDArray[np.unsignedinteger], columns: Columns
    ) -> Iterator[tuple[str, Routed]]:
        routed = by_hash(part.hashes[kept], self.borders, columns.get("labels"))
        if part.split in ("validation", "test"):
            routed[:] = NAMES.index(part.split)
        if part.continues:
            routed[0] = self.last
        self.last = int(routed[-1])
        for code, name in enumerate(NAMES):
            mine = routed == code
            if mine.any():
                chosen = {column: values[mine] for column, values in columns.items()}
                yield name, (of_documents(mine, ids, columns["lengths"]), chosen, part.continues and bool(mine[0]))

    def _by_position(
        self, cut: Cut, continues: bool, ids: NDArray[np.unsignedinteger], columns: Columns
    ) -> Iterator[tuple[str, Routed]]:
        added = 0  # an end-of-text, which has no place in the stream
        for place, name in zip(cut.places, cut.splits):
            room = place - self.position + added
            if room >= len(ids):
                break
            if place > self.position:
                left, (rest, columns) = self._halves(cut, ids, columns, room, continues)
                yield name, (*left, continues)
                added = room + len(rest) - len(ids)
                ids, continues, self.position = rest, False, place
        else:
            name = cut.splits[-1]
        self.position += len(ids) - added
        yield name, (ids, columns, continues)

    def _halves(
        self, cut: Cut, ids: NDArray[np.unsignedinteger], columns: Columns, room: int, continues: bool
    ) -> tuple[tuple[NDArray[np.unsignedinteger], Columns], tuple[NDArray[np.unsignedinteger], Columns]]:
        ends = np.cumsum(columns["lengths"])
        whole = int(np.searchsorted(ends, room, side="right"))  # documents that end before the cut
        begin = int(ends[whole - 1]) if whole else 0
        if begin == room:
            return (
                (ids[:room], {name: values[:whole] for name, values in columns.items()}),
                (ids[room:], {name: values[whole:] for name, values in columns.items()}),
            )
        after = 0 if continues and not begin else 1  # an end-of-text
        text = self.tokenizer.decode_bytes(ids[begin + after : room])
        left = {name: values[: whole + 1].copy() for name, values in columns.items()}
        right = {name: values[whole:].copy() for name, values in columns.items()}
        for name, amount in (("lengths", room - begin), ("bytes", len(text)), ("words", len(text.split()))):
            left[name][-1] = amount
            right[name][0] -= amount
        rest = ids[room:]
        if cut.end_of_text:
            rest = np.concatenate([np.array([self.tokenizer.end_of_text], ids.dtype), rest])
            right["lengths"][0] += 1
        return (ids[:room], left), (rest, right)
