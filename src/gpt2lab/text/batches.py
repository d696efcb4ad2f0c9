"""Batches as a pure function of corpus, seed and step: there is no state to save and none to lose.

A kind of rows says how many there are, how long each is, and makes a batch of any of them. Which rows a step's batch
holds, and in which order, is `rows_from`; it knows nothing of processes, micro-batches or interruptions.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from gpt2lab.core.errors import UserError
from gpt2lab.text.corpus import Split

UNSCORED = -100  # a target that does not count

Integers = NDArray[np.int64]


@dataclass(frozen=True)
class Batch:
    ids: Integers  # (rows, length); 0 where there is only padding
    targets: Integers  # (rows, length); UNSCORED where nothing is predicted
    documents: Integers | None = (
        None  # (rows, length): tokens with different numbers do not see each other; −1 is padding
    )
    labels: Integers | None = None  # (rows,): the class of each text

    @property
    def scored(self) -> int:
        """Targets: classes where texts have them, tokens elsewhere."""
        return len(self.labels) if self.labels is not None else int((self.targets != UNSCORED).sum())

    @property
    def tokens(self) -> int:
        """What is read, whether it is predicted or not."""
        return self.ids.size if self.documents is None else int((self.documents >= 0).sum())

    def part(self, rows: Integers, length: int | None = None) -> Batch:
        """Some of the rows, as far as the longest of them reaches."""
        return Batch(
            self.ids[rows, :length],
            self.targets[rows, :length],
            None if self.documents is None else self.documents[rows, :length],
            None if self.labels is None else self.labels[rows],
        )

    def widened(self, length: int) -> Batch:
        """Rows of so many places; the new ones are padding."""
        missing = ((0, 0), (0, length - self.ids.shape[1]))
        return Batch(
            np.pad(self.ids, missing),
            np.pad(self.targets, missing, constant_values=UNSCORED),
            None if self.documents is None else np.pad(self.documents, missing, constant_values=-1),
            self.labels,
        )

    def filled(self, rows: int) -> Batch:
        """As many rows as asked for; the new ones have no targets."""
        missing = ((0, max(0, rows - len(self.ids))), (0, 0))
        return Batch(np.pad(self.ids, missing), np.pad(self.targets, missing, constant_values=UNSCORED))


class Rows(Protocol):
    @property
    def rows(self) -> int: ...

    def lengths(self, rows: Integers) -> Integers:
        """Tokens that each of these rows needs."""
        ...

    def batch(self, rows: Integers) -> Batch: ...


@dataclass(frozen=True)
class Blocks:
    """Rows of `block` tokens from a split's stream, the targets shifted by one. The last row may be partial."""

    split: Split
    block: int

    @property
    def rows(self) -> int:
        return max(0, -(-(self.split.tokens - 1) // self.block))

    def lengths(self, rows: Integers) -> Integers:
        return np.minimum(self.block, self.split.tokens - 1 - rows * self.block)

    def batch(self, rows: Integers) -> Batch:
        ids, targets = _empty(len(rows), self.block)
        for place, row in enumerate(rows):
            start = int(row) * self.block
            stream = self.split.read(start, min(start + self.block + 1, self.split.tokens))
            ids[place, : len(stream) - 1] = stream[:-1]
            targets[place, : len(stream) - 1] = stream[1:]
        return Batch(ids, targets)


@dataclass(frozen=True)
class Documents:
    """One document a row: its end-of-text, prompt and text; scored is what follows the prompt, to the end inclusive.

    A document longer than `block` is cut into rows of its own, so that no token is lost.
    """

    split: Split
    block: int

    @cached_property
    def spans(self) -> Integers:
        """(rows, 3): where each row's inputs begin and end in the stream, and from where on targets count."""
        starts = np.asarray(self.split.starts)
        found = [
            (begin, min(begin + self.block, start + length), start + 1 + prompt)
            for start, length, prompt in zip(starts, self._sizes, self._prompts)
            for begin in range(start, start + length, self.block)
        ]
        return np.array(found, np.int64).reshape(-1, 3)

    @property
    def _sizes(self) -> Integers:
        return np.diff(np.append(self.split.starts, self.split.tokens))

    @property
    def _prompts(self) -> Integers:
        """Tokens of each document's prompt."""
        has_any = self.split.has("prompts")
        return np.asarray(self.split.of_documents("prompts")) if has_any else np.zeros(len(self.split.starts), np.int64)

    @property
    def rows(self) -> int:
        return len(self.spans)

    @property
    def cut(self) -> int:
        """Documents that take several rows."""
        return int((self._sizes > self.block).sum())

    @property
    def unread(self) -> int:
        """Documents whose prompt fills a row by itself."""
        return int((1 + self._prompts >= self.block).sum())

    def lengths(self, rows: Integers) -> Integers:
        return self.spans[rows, 1] - self.spans[rows, 0]

    def batch(self, rows: Integers) -> Batch:
        ids, targets = _empty(len(rows), int(self.lengths(rows).max(initial=1)))
        documents = np.full(ids.shape, -1)
        for place, row in enumerate(rows):
            self._put(ids[place], targets[place], int(row))
            documents[place, : self.lengths(rows[place : place + 1])[0]] = 0
        return Batch(ids, targets, documents)

    def _put(self, ids: Integers, targets: Integers, row: int) -> None:
        begin, end, first = (int(value) for value in self.spans[row])
        stream = self.split.read(begin, min(end + 1, self.split.tokens))
        if len(stream) == end - begin:  # the split ends here; an end-of-text ends its last document too
            stream = np.append(stream, self.split.read(0, 1))
        ids[: end - begin] = stream[:-1]
        unscored = max(0, first - begin - 1)
        targets[unscored : end - begin] = stream[1 + unscored :]


@dataclass(frozen=True)
class Packed:
    """Whole documents side by side in rows of `block` tokens, each blind to the others unless `together`."""

    documents: Documents
    together: bool = False

    @cached_property
    def bins(self) -> list[Integers]:
        """First fit by falling length: nearly full rows, the same every time."""
        lengths = self.documents.lengths(np.arange(self.documents.rows))
        order = np.argsort(-lengths, kind="stable")
        bins: list[list[int]] = []
        open_by_room: dict[int, list[int]] = {}
        for document in order:
            length = int(lengths[document])
            room = min((free for free, waiting in open_by_room.items() if free >= length and waiting), default=None)
            if room is None:
                bins.append([])
                chosen, left = len(bins) - 1, self.documents.block - length
            else:
                chosen, left = open_by_room[room].pop(), room - length
            bins[chosen].append(int(document))
            open_by_room.setdefault(left, []).append(chosen)
        return [np.array(sorted(content)) for content in bins]

    @property
    def rows(self) -> int:
        return len(self.bins)

    def lengths(self, rows: Integers) -> Integers:
        return np.array([int(self.documents.lengths(self.bins[row]).sum()) for row in rows])

    def batch(self, rows: Integers) -> Batch:
        ids, targets = _empty(len(rows), self.documents.block)
        documents = np.full(ids.shape, -1)
        for place, row in enumerate(rows):
            start = 0
            for number, document in enumerate(self.bins[int(row)]):
                end = start + int(self.documents.lengths(np.array([document]))[0])
                self.documents._put(ids[place, start:end], targets[place, start:end], int(document))
                documents[place, start:end] = 0 if self.together else number
                start = end
        return Batch(ids, targets, documents)


@dataclass(frozen=True)
class Labelled:
    """One labelled text a row, at most `longest` tokens of it; no end-of-text, as classifiers read texts."""

    split: Split
    longest: int

    @property
    def rows(self) -> int:
        return len(self.split.starts)

    @cached_property
    def all_lengths(self) -> Integers:
        return np.diff(np.append(self.split.starts, self.split.tokens)) - 1

    @property
    def truncated(self) -> int:
        return int((self.all_lengths > self.longest).sum())

    def lengths(self, rows: Integers) -> Integers:
        return np.minimum(self.all_lengths[rows], self.longest)

    def batch(self, rows: Integers) -> Batch:
        lengths = self.lengths(rows)
        ids, targets = _empty(len(rows), int(lengths.max(initial=1)))
        documents = np.full(ids.shape, -1)
        for place, (row, length) in enumerate(zip(rows, lengths)):
            start = int(self.split.starts[row]) + 1
            ids[place, :length] = self.split.read(start, start + int(length))
            documents[place, :length] = 0
        return Batch(ids, targets, documents, np.asarray(self.split.of_documents("labels"))[rows])


SOURCE_BITS = 40
ROW_MASK = (1 << SOURCE_BITS) - 1
PATTERN = 1000  # places after which a mixture's shares are exact


@dataclass(frozen=True)
class Mixture:
    """Rows of several sources by weight: exact over every thousand places, each source in an order of its own.

    All are blocks, or all have documents.
    """

    sources: Sequence[Rows]
    weights: Sequence[float]

    def __post_init__(self) -> None:
        for number, (weight, count) in enumerate(zip(self.weights, self.counts), 1):
            if not count:
                raise UserError(
                    f"source {number} of the mixture is never drawn: of {PATTERN:,} places, "
                    f"its weight of {weight:g} among {sum(self.weights):g} gives it none",
                    place="prepare.weights",
                    way_out="prepare the mixture with more weight for it, or without it",
                )

    @cached_property
    def counts(self) -> Integers:
        """How many of the places each source has."""
        shares = np.array(self.weights, np.float64) / sum(self.weights) * PATTERN
        counts = np.floor(shares).astype(np.int64)
        counts[np.argsort(counts - shares, kind="stable")[: PATTERN - counts.sum()]] += 1
        return counts

    @cached_property
    def pattern(self) -> Integers:
        """Which source stands at each place: every source spread as evenly as whole numbers allow."""
        times = np.concatenate([(np.arange(count) + 0.5) / count for count in self.counts])
        owners = np.concatenate([np.full(count, number) for number, count in enumerate(self.counts)])
        return owners[np.argsort(times, kind="stable")]

    @property
    def rows(self) -> int:
        return sum(source.rows for source in self.sources)

    def passes(self, places: int) -> list[float]:
        """How often each source is gone through in so many places."""
        return [places * weight / sum(self.weights) / source.rows for weight, source in zip(self.weights, self.sources)]

    def lengths(self, rows: Integers) -> Integers:
        return np.array([self.sources[key >> SOURCE_BITS].lengths(np.array([key & ROW_MASK]))[0] for key in rows])

    def batch(self, rows: Integers) -> Batch:
        """Each source makes its own; they come together in the order that was asked for."""
        made = [
            source.batch(rows[rows >> SOURCE_BITS == number] & ROW_MASK) for number, source in enumerate(self.sources)
        ]
        longest = max(batch.ids.shape[1] for batch in made)
        made = [batch.widened(longest) for batch in made]
        documents = [batch.documents for batch in made if batch.documents is not None]
        order = np.argsort(np.argsort(rows >> SOURCE_BITS, kind="stable"), kind="stable")
        return Batch(
            np.concatenate([batch.ids for batch in made])[order],
            np.concatenate([batch.targets for batch in made])[order],
            np.concatenate(documents)[order] if documents else None,
        )

    def keys(self, places: Integers, seed: int) -> Integers:
        """The rows at these places, as numbers that say their source as well."""
        return np.array([source << SOURCE_BITS | row for source, row in self.at(places, seed)], np.int64)

    def at(self, places: Integers, seed: int) -> list[tuple[int, int]]:
        """(source, row) at these places of the endless sequence."""
        found = []
        for place in places:
            whole, rest = divmod(int(place), PATTERN)
            source = int(self.pattern[rest])
            nth = whole * int((self.pattern == source).sum()) + int((self.pattern[:rest] == source).sum())
            rows = self.sources[source].rows
            found.append((source, int(_order(rows, seed + source, nth // rows)[nth % rows])))
        return found


def are_blocks(rows: Rows) -> bool:
    """Whether all are of one length, and every token is predicted from all before it."""
    return all(map(are_blocks, rows.sources)) if isinstance(rows, Mixture) else isinstance(rows, Blocks)


def rows_from(rows: Rows, first: int, after: int, seed: int) -> Integers:
    """The rows at the places [first, after) of the endless order; a mixture has its own, without epochs."""
    places = np.arange(first, after)
    return rows.keys(places, seed) if isinstance(rows, Mixture) else shuffled(rows.rows, places, seed)


def shuffled(rows: int, places: Integers, seed: int) -> Integers:
    """The rows at these places: every row once an epoch, in an order of its own each epoch."""
    return np.array([_order(rows, seed, int(place // rows))[place % rows] for place in places])


def rows_of_process(rows: Integers, rank: int, processes: int) -> Integers:
    """The part of a global batch that one process computes: the parts together are the batch, in its order."""
    return np.array_split(rows, processes)[rank]


def by_length(lengths: Integers, token_budget: int) -> Iterator[Integers]:
    """Places of a batch in groups of like length, each within a budget of tokens, padding counted."""
    order = np.argsort(lengths, kind="stable")
    group: list[int] = []
    for place in order:
        if group and (len(group) + 1) * int(lengths[place]) > token_budget:
            yield np.array(group)
            group = []
        group.append(int(place))
    if group:
        yield np.array(group)


@lru_cache(maxsize=64)
def _order(rows: int, seed: int, epoch: int) -> Integers:
    return np.random.Generator(np.random.Philox(key=[seed, epoch])).permutation(rows)


def _empty(rows: int, length: int) -> tuple[Integers, Integers]:
    return np.zeros((rows, length), np.int64), np.full((rows, length), UNSCORED, np.int64)
