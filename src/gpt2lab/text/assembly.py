"""Parts in their order become shards: the same bytes however many processes made the parts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpt2lab.core import console
from gpt2lab.core.errors import UserError
from gpt2lab.text import routing
from gpt2lab.text.parts import LeftOut, Part, read_part, read_summary
from gpt2lab.text.settings import PrepareSettings
from gpt2lab.text.shards import Columns, Ids, SplitWriter
from gpt2lab.text.tokenizer import Tokenizer


def assemble(
    parts: Sequence[Path], folder: Path, tokenizer: Tokenizer, settings: PrepareSettings, names: Sequence[str] = ()
) -> dict[str, Any]:
    """Write shards and documents into `folder`; what the manifest says of splits, labels and what was left out."""
    facts = survey(parts, settings)
    labels = _label_names(facts, names)
    cut = find_cut(parts, facts, tokenizer, settings)
    writers = {name: SplitWriter(folder, name, settings.shard_tokens) for name in routing.NAMES}
    left_out, contaminated, route = LeftOut(), LeftOut(), Router(cut, facts.validated, settings, tokenizer)
    with console.progress("shards", len(parts), "parts") as progress:
        for file, kept in zip(parts, facts.kept):
            part = read_part(file)
            left_out.update(part.left_out)
            contaminated.update(part.contaminated)
            ids, columns = _only(part, kept, labels)
            for name, routed in route(part, kept, ids, columns):
                writers[name].add(*routed)
            progress.advance()
    repeated = sum(int((~kept).sum()) for kept in facts.kept)
    if repeated:
        left_out.update({"the same text came before": {"count": repeated, "places": []}})
    return {
        "splits": {name: writer.finish() for name, writer in writers.items() if writer.documents},
        "labels": labels,
        "left_out": left_out.as_dict(),
        "contaminated": contaminated.as_dict(),
        "split_by": cut.reason if cut else "the source" if facts.validated else "a hash of each document's text",
    }


@dataclass
class Survey:
    """What must be known of all parts before the first shard is written."""

    lengths: list[NDArray[np.int64]]  # tokens of each kept document
    kept: list[NDArray[np.bool_]]
    labels: set[str | int | None]
    validated: bool  # the source says itself what is validation


def survey(parts: Sequence[Path], settings: PrepareSettings) -> Survey:
    summaries = [read_summary(file) for file in parts]
    kept = [np.ones(len(summary.lengths), bool) for summary in summaries]
    if settings.deduplicate:
        first = _first_of_each([summary.hashes for summary in summaries])
        kept = np.split(first, np.cumsum([len(summary.lengths) for summary in summaries])[:-1])
    return Survey(
        [summary.lengths[keep] for summary, keep in zip(summaries, kept)],
        kept,
        {label for summary in summaries for label in summary.labels},
        any(summary.split == "validation" for summary in summaries),
    )


@dataclass(frozen=True)
class Cut:
    """A split by position: the stream before `place` goes to `first`, the rest to `second`."""

    place: int
    first: str
    second: str
    reason: str
    end_of_text: bool  # before what is left of a document that is cut


def find_cut(parts: Sequence[Path], facts: Survey, tokenizer: Tokenizer, settings: PrepareSettings) -> Cut | None:
    """Where the published scripts' way, or too few documents, ask for a split by position."""
    if settings.validation == "first-shard":
        return Cut(settings.shard_tokens, "validation", "train", "position: the first shard", end_of_text=False)
    documents = sum(map(len, facts.lengths))
    if facts.validated or not settings.validation or documents >= routing.FEW_DOCUMENTS or facts.labels - {None}:
        return None
    tokens = np.array([int(lengths.sum()) for lengths in facts.lengths])
    wanted = round(int(tokens.sum()) * (1 - routing.SHARE_OF_FEW))
    number = int(np.searchsorted(np.cumsum(tokens), wanted, side="right"))
    if number == len(parts):
        return None
    before = int(tokens[:number].sum())
    ids, _ = _only(read_part(parts[number]), facts.kept[number], [])
    place = before + routing.paragraph_border(ids, wanted - before, tokenizer)
    share = 1 - place / int(tokens.sum())
    reason = f"position: the last {share:.1%}, from the beginning of a paragraph on"
    console.say(f"fewer than {routing.FEW_DOCUMENTS} documents, so validation is chosen by {reason}")
    return Cut(place, "train", "validation", reason, end_of_text=True)


Routed = tuple[Ids, Columns, bool]


class Router:
    """Decides for each document, or by position, which split it joins."""

    def __init__(self, cut: Cut | None, validated: bool, settings: PrepareSettings, tokenizer: Tokenizer) -> None:
        self.cut, self.validated, self.settings, self.tokenizer = cut, validated, settings, tokenizer
        self.position = 0
        self.last = routing.TRAIN

    def __call__(self, part: Part, kept: NDArray[np.bool_], ids: Ids, columns: Columns) -> Iterator[tuple[str, Routed]]:
        if not len(columns["lengths"]):
            return
        if self.cut is None:
            yield from self._by_document(part, kept, ids, columns)
        else:
            yield from self._by_position(self.cut, part.continues, ids, columns)

    def _by_document(
        self, part: Part, kept: NDArray[np.bool_], ids: Ids, columns: Columns
    ) -> Iterator[tuple[str, Routed]]:
        routed = routing.by_hash(part.hashes[kept], self.settings)
        if part.split is not None and (part.split != "train" or self.validated):
            routed[:] = routing.NAMES.index(part.split)
        if part.continues:
            routed[0] = self.last
        self.last = int(routed[-1])
        for code, name in enumerate(routing.NAMES):
            mine = routed == code
            if mine.any():
                chosen = {column: values[mine] for column, values in columns.items()}
                yield name, (_of_documents(mine, ids, columns["lengths"]), chosen, part.continues and bool(mine[0]))

    def _by_position(self, cut: Cut, continues: bool, ids: Ids, columns: Columns) -> Iterator[tuple[str, Routed]]:
        room = cut.place - self.position
        self.position += len(ids)
        if room >= len(ids):
            yield cut.first, (ids, columns, continues)
        elif room <= 0:
            yield cut.second, (ids, columns, continues)
        else:
            left, right = self._halves(cut, ids, columns, room)
            yield cut.first, (*left, continues)
            yield cut.second, (*right, False)

    def _halves(
        self, cut: Cut, ids: Ids, columns: Columns, room: int
    ) -> tuple[tuple[Ids, Columns], tuple[Ids, Columns]]:
        ends = np.cumsum(columns["lengths"])
        whole = int(np.searchsorted(ends, room, side="right"))  # documents that end before the cut
        begin = int(ends[whole - 1]) if whole else 0
        if begin == room:
            return (
                (ids[:room], {name: values[:whole] for name, values in columns.items()}),
                (ids[room:], {name: values[whole:] for name, values in columns.items()}),
            )
        text = self.tokenizer.decode_bytes(ids[begin + 1 : room])
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


def _only(part: Part, kept: NDArray[np.bool_], labels: list[str]) -> tuple[Ids, Columns]:
    """The kept documents of a part: their stream, and a number a document in each column."""
    columns: Columns = {name: getattr(part, name)[kept] for name in ("lengths", "prompts", "bytes", "words")}
    if labels:
        numbers = {name: number for number, name in enumerate(labels)}
        columns["labels"] = np.array([numbers[str(label)] for label in part.labels], np.int64)[kept]
    return _of_documents(kept, part.ids, part.lengths), columns


def _of_documents(chosen: NDArray[np.bool_], ids: Ids, lengths: NDArray[np.int64]) -> Ids:
    """The tokens of the chosen documents. Neighbours are copied together, which is many times faster than a mask."""
    places = np.concatenate([[0], np.cumsum(lengths)])
    borders = places[np.flatnonzero(np.diff(chosen, prepend=False, append=False))]
    runs = [ids[start:stop] for start, stop in borders.reshape(-1, 2)]
    return runs[0] if len(runs) == 1 else np.concatenate([ids[:0], *runs])


def _first_of_each(hashes: list[NDArray[np.uint64]]) -> NDArray[np.bool_]:
    """Which documents are the first with their text."""
    together = np.ascontiguousarray(np.concatenate(hashes)).view([("a", np.uint64), ("b", np.uint64)])[:, 0]
    first = np.zeros(len(together), bool)
    first[np.unique(together, return_index=True)[1]] = True
    return first


def _label_names(facts: Survey, names: Sequence[str]) -> list[str]:
    """Class names in the order of their numbers: the known ones, else as they sort."""
    found = facts.labels - {None}
    if found and None in facts.labels:
        raise UserError("some documents have a label and some have none", way_out="give every row a label")
    if names:
        if unknown := {str(label) for label in found} - set(names):
            raise UserError(f"labels that do not belong to this data set: {', '.join(sorted(unknown)[:5])}")
        return list(names)
    return [str(label) for label in sorted(found, key=lambda label: (isinstance(label, str), label))]
