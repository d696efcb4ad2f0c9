"""Parts in their order become shards: the same bytes however many processes made the parts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpt2lab.core import console, files
from gpt2lab.core.console import counted
from gpt2lab.core.errors import UserError
from gpt2lab.text import repeats, routing
from gpt2lab.text.parts import COLUMNS, Columns, LeftOut, Part, read_part, read_summary
from gpt2lab.text.routing import Cut, Router
from gpt2lab.text.settings import PrepareSettings
from gpt2lab.text.shards import SplitWriter
from gpt2lab.text.tokenizer import Tokenizer

_HASH = "a hash of each document's text"
_HELD_OUT: dict[str | None, int] = {"validation": 1, "test": 2}  # a text of several splits stays in the highest


def assemble(
    parts: Sequence[Path], folder: Path, tokenizer: Tokenizer, settings: PrepareSettings, names: Sequence[str] = ()
) -> dict[str, Any]:
    """Write shards and documents into `folder`; what the manifest says of splits, labels and what was left out."""
    facts = survey(parts, settings)
    labels = _label_names(facts, names)
    cut = find_cut(parts, facts, tokenizer, settings)
    chosen = facts.left_to_choose(settings)
    borders = routing.borders_of(chosen, _places_by_class(parts, facts, labels))
    by_hash = cut is None and not any(facts.splits)  # the same text is then on the same side
    writers = {name: SplitWriter(folder, name, settings.shard_tokens) for name in routing.NAMES}
    left_out, contaminated, route = LeftOut(), LeftOut(), Router(cut, borders, tokenizer)
    held_out: list[repeats.Hashes] = []
    with console.progress("shards", len(parts), "parts") as progress:
        for file, kept in zip(parts, facts.kept):
            part = read_part(file)
            left_out.update(part.left_out)
            contaminated.update(part.contaminated)
            ids, columns = _only(part, kept, labels)
            for name, routed in route(part, kept, ids, columns):
                writers[name].add(*routed)
                if name != "train" and not (by_hash or settings.deduplicate):
                    held_out.append(routed[1]["hashes"])
            progress.advance()
    _warn_of_missing([name for name, writer in writers.items() if not writer.documents], facts, settings)
    left_out.update({reason: {"count": count, "places": []} for reason, count in facts.repeated.items() if count})
    everything = (read_summary(file).hashes[kept] for file, kept in zip(parts, facts.kept))
    splits = {name: writer.finish() for name, writer in writers.items() if writer.documents}
    return {
        "splits": splits,
        "documents_sha256": {file.name: files.sha256(file) for file in sorted((folder / "documents").glob("*.npy"))},
        "labels": labels,
        "left_out": left_out.as_dict(),
        "contaminated": contaminated.as_dict(),
        "held_out_and_in_train": repeats.also_in_train(held_out, everything),
        "split_by": _split_by(facts, cut, labels, chosen),
    }


@dataclass
class Survey:
    """What must be known of all parts before the first shard is written."""

    lengths: list[NDArray[np.int64]]  # tokens of each kept document
    kept: list[NDArray[np.bool_]]
    labels: set[str | int | None]
    splits: list[str | None]  # what the source says itself of each part
    repeated: dict[str, int]  # how many documents are not kept, and why

    @property
    def validated(self) -> bool:
        return "validation" in self.splits

    def left_to_choose(self, settings: PrepareSettings) -> PrepareSettings:
        """With the shares of those splits alone that a source with a validation split does not bring itself."""
        if not self.validated:
            return settings
        test = 0.0 if "test" in self.splits else settings.test
        return settings.model_copy(update={"validation": 0.0, "test": test})

    @property
    def lengths_to_cut(self) -> list[NDArray[np.int64]]:
        """A test split stays as it is: its documents have no place in the stream that is cut."""
        return [lengths[:0] if split == "test" else lengths for split, lengths in zip(self.splits, self.lengths)]


def survey(parts: Sequence[Path], settings: PrepareSettings) -> Survey:
    summaries = [read_summary(file) for file in parts]
    sizes = [len(summary.lengths) for summary in summaries]
    kept, repeated = np.ones(sum(sizes), bool), {}
    if settings.deduplicate:
        begin = np.concatenate([summary.begin for summary in summaries])
        rank = np.repeat([_HELD_OUT.get(summary.split, 0) for summary in summaries], sizes)
        hashes = np.concatenate([summary.hashes for summary in summaries])
        again, lower = repeats.repeats_of_others(hashes, ~begin, rank)
        kept = ~again
        repeated = {
            "the same text is held out": int((begin & lower).sum()),
            "the same text came before": int((begin & again & ~lower).sum()),
        }
    kept_of_each = np.split(kept, np.cumsum(sizes)[:-1])
    return Survey(
        [summary.lengths[keep] for summary, keep in zip(summaries, kept_of_each)],
        kept_of_each,
        {label for summary in summaries for label in summary.labels},
        [summary.split for summary in summaries],
        repeated,
    )


def find_cut(parts: Sequence[Path], facts: Survey, tokenizer: Tokenizer, settings: PrepareSettings) -> Cut | None:
    """Where the published scripts' way, or too few documents, ask for a split by position."""
    if facts.validated or not settings.validation:
        return None
    lengths, share = facts.lengths_to_cut, settings.validation
    if share != "first-shard" and (sum(map(len, lengths)) >= routing.FEW_DOCUMENTS or facts.labels - {None}):
        return None
    ends = np.cumsum(np.concatenate(lengths))
    if share == "first-shard":
        return _first_shard(ends, settings.shard_tokens)
    return _last_of_few(parts, facts, tokenizer, ends, share, 0.0 if "test" in facts.splits else settings.test)


def _last_of_few(
    parts: Sequence[Path], facts: Survey, tokenizer: Tokenizer, ends: NDArray[np.int64], validation: float, test: float
) -> Cut | None:
    """Validation begins where both shares are left, test where its own is; both where a paragraph or document does."""
    places, splits, border = [], ["train"], ""
    for name, left in (("validation", validation + test), ("test", test)):
        found = _border(parts, facts, tokenizer, ends, left) if left else None
        if found and found[0] > max(places, default=-1):
            places.append(found[0])
            splits.append(name)
            border = border or found[1]
    if not places:
        return None
    shares = [f"{1 - place / int(ends[-1]):.1%}" for place in places]
    reason = f"position: the last {shares[0]}, from the beginning of a {border} on"
    chosen = "validation is"
    if len(places) > 1:
        reason, chosen = f"{reason}; test is the last {shares[1]}", "validation and test are"
    few = f"fewer than {routing.FEW_DOCUMENTS} documents"
    console.say(f"{few}, so {chosen} chosen by {reason}{_halved(ends, places)}")
    return Cut(tuple(places), tuple(splits), reason, end_of_text=True)


def _border(
    parts: Sequence[Path], facts: Survey, tokenizer: Tokenizer, ends: NDArray[np.int64], left: float
) -> tuple[int, str] | None:
    """Where the share that is `left` begins in the stream, and what begins there."""
    tokens = np.array([int(part.sum()) for part in facts.lengths_to_cut])
    wanted = round(int(tokens.sum()) * (1 - left))
    number = int(np.searchsorted(np.cumsum(tokens), wanted, side="right"))
    if number == len(parts):
        return None
    before = int(tokens[:number].sum())
    ids, columns = _only(read_part(parts[number]), facts.kept[number], [])
    if columns["prompts"].any():  # half of an answer is none
        return int(ends[max(0, np.searchsorted(ends, wanted, side="right") - 1)]), "document"
    return before + routing.paragraph_border(ids, wanted - before, tokenizer), "paragraph"


def _split_by(facts: Survey, cut: Cut | None, labels: list[str], chosen: PrepareSettings) -> str:
    if cut:
        return cut.reason
    by_hash = _HASH + ", the same share of every class" if labels else _HASH
    if facts.validated:
        return f"the source, and test by {by_hash}" if chosen.test else "the source"
    return by_hash


def _warn_of_missing(missing: Sequence[str], facts: Survey, settings: PrepareSettings) -> None:
    for name in missing:
        if name in facts.splits:
            console.warn(f"there is no {name} split: nothing is left of what the source has for it")
        elif name == "test" and settings.test:
            first_shard = settings.validation == "first-shard" and not facts.validated
            why = "is none where validation is the first shard" if first_shard else "of so few documents is none"
            console.warn(f"there is no test split: prepare.test={settings.test} {why}")


def _places_by_class(parts: Sequence[Path], facts: Survey, labels: list[str]) -> list[NDArray[np.float64]]:
    """Of the documents that no one has put into validation or test yet."""
    found: dict[str, list[NDArray[np.float64]]] = {label: [] for label in labels}
    for file, kept, split in zip(parts, facts.kept, facts.splits):
        if labels and split in (None, "train"):
            summary = read_summary(file)
            names, places = np.array([str(label) for label in summary.labels]), routing.places_of(summary.hashes)
            for label in labels:
                found[label].append(places[kept & (names == label)])
    return [np.concatenate([np.empty(0), *places]) for places in found.values()]


def _first_shard(ends: NDArray[np.int64], place: int) -> Cut:
    tokens = int(ends[-1]) if len(ends) else 0
    if tokens <= place:
        raise UserError(
            f"prepare.validation=first-shard takes the first {place:,} tokens, and there are {tokens:,}: "
            "nothing is left to train on",
            way_out="leave it out, and 5 % of the documents become validation",
        )
    console.say(f"validation is the first {counted(place, 'token')}{_halved(ends, [place])}")
    return Cut((place,), ("validation", "train"), "position: the first shard", end_of_text=False)


def _halved(ends: NDArray[np.int64], places: Sequence[int]) -> str:
    whole = np.isin(places, ends).all()
    return "" if whole else "; the document at this border is cut in two and counts on both sides"


def _only(part: Part, kept: NDArray[np.bool_], labels: list[str]) -> tuple[NDArray[np.unsignedinteger], Columns]:
    """The kept documents of a part: their stream, and a number a document in each column."""
    columns: Columns = {name: getattr(part, name)[kept] for name in COLUMNS}
    if labels:
        numbers = {name: number for number, name in enumerate(labels)}
        columns["labels"] = np.array([numbers[str(label)] for label in part.labels], np.int64)[kept]
    return routing.of_documents(kept, part.ids, part.lengths), columns


def _label_names(facts: Survey, names: Sequence[str]) -> list[str]:
    """Class names in the order of their numbers: the known ones, else as they sort."""
    found = facts.labels - {None}
    if found and None in facts.labels:
        raise UserError("some documents have a label and some have none", way_out="give every row a label")
    if names:
        if unknown := {str(label) for label in found} - set(names):
            raise UserError(f"labels that do not belong to this data set: {', '.join(sorted(unknown)[:5])}")
        return list(names)
    in_order = sorted(found, key=lambda label: (isinstance(label, str), label))
    return list(dict.fromkeys(map(str, in_order)))  # 1 and "1" are one class
