"""Labelled texts to measure a classifier on: a corpus with labels, or rows of anyone's files, as ids and classes."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpt2lab.core import console
from gpt2lab.core.errors import UserError
from gpt2lab.measure.settings import DataSettings
from gpt2lab.measure.texts import choose_split
from gpt2lab.text.batches import Labelled
from gpt2lab.text.columns import DEFAULT, LABEL, Columns
from gpt2lab.text.corpus import Corpus, is_corpus, open_corpus
from gpt2lab.text.documents import BadRow, Document
from gpt2lab.text.parts import LeftOut
from gpt2lab.text.sources import open_source
from gpt2lab.text.tokenizer import Tokenizer


@dataclass(frozen=True)
class LabelledTexts:
    """What is scored, and what was left out and why."""

    ids_of: Callable[[int], NDArray[np.integer]]  # of text number n, already cut to the window
    classes: NDArray[np.int64]
    cut: NDArray[np.bool_]  # which of them were longer than the window
    split: str  # train, validation, test or all
    left_out: dict[str, Any]

    def __len__(self) -> int:
        return len(self.classes)

    def first(self, count: int | None) -> LabelledTexts:
        """The first so many, or all."""
        return replace(self, classes=self.classes[:count], cut=self.cut[:count])


def read(
    data: str, tokenizer: Tokenizer, names: Sequence[str], longest: int, wanted: DataSettings, local: Path | None = None
) -> LabelledTexts:
    """`names` are the model's classes; a label that is none of them is an error."""
    if is_corpus(Path(data)):
        return _of_corpus(open_corpus(Path(data)), tokenizer, names, longest, wanted)
    return _of_rows(data, tokenizer, names, longest, wanted, local)


def class_numbers(labels: Iterable[str | int], names: Sequence[str], place: object = None) -> NDArray[np.int64]:
    """Labels by name; where none is a name, whole numbers counted from 0, or from 1 where only that can be meant."""
    labels = list(labels)
    different = dict.fromkeys(labels)
    by_name = {name: number for number, name in enumerate(names)}
    numbers = [label if isinstance(label, int) else int(label) if label.isdecimal() else None for label in different]
    found: dict[str | int, int]
    if all(str(label) in by_name for label in different):
        found = {label: by_name[str(label)] for label in different}
    elif all(number is not None for number in numbers) and (
        _are_numbers(names) or not any(str(label) in by_name for label in different)
    ):
        first = _counted_from([number for number in numbers if number is not None], names, place)
        if first and _are_numbers(names):
            console.say(f"labels count from 1 here, and the model's classes from 0: 1 is {names[0]}")
        found = {label: number - first for label, number in zip(different, numbers) if number is not None}
    else:
        raise _unknown(next(label for label in different if str(label) not in by_name), names, place)
    return np.array([found[label] for label in labels], np.int64)


def _are_numbers(names: Sequence[str]) -> bool:
    """Classes that were only counted, from 0."""
    return list(names) == [str(number) for number in range(len(names))]


def _counted_from(numbers: Sequence[int], names: Sequence[str], place: object) -> int:
    count = len(names)
    low, high = min(numbers), max(numbers)
    if low < 0 or high > count or (low == 0 and high == count):
        raise _unknown(low if low < 0 else high, names, place)
    if low == 0:
        return 0
    if high == count:
        return 1
    raise UserError(
        f"the labels are numbers from {low} to {high}, and whether they count from 0 or from 1 cannot be told",
        place=place,
        way_out=f"write the classes by name: {', '.join(names)}",
    )


def _unknown(label: str | int, names: Sequence[str], place: object) -> UserError:
    close = difflib.get_close_matches(str(label), names, n=1)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    return UserError(
        f"the model knows no class {label!r}{hint}", place=place, way_out=f"its classes are {', '.join(names)}"
    )


def _of_corpus(
    corpus: Corpus, tokenizer: Tokenizer, names: Sequence[str], longest: int, wanted: DataSettings
) -> LabelledTexts:
    if tokenizer.hash != corpus.manifest["tokenizer"]["hash"]:
        raise UserError(
            "the corpus was made with another tokenizer than the model", place=corpus.folder, way_out="prepare it again"
        )
    split = corpus.split(choose_split(corpus.splits, wanted.split, corpus.folder))
    if not split.has("labels"):
        raise UserError(
            "the texts of this corpus have no labels",
            place=corpus.folder,
            way_out="say which column holds them when preparing: data.label=COLUMN",
        )
    rows = Labelled(split, longest)
    theirs = corpus.manifest["labels"]
    stored = np.asarray(split.of_documents("labels"))
    used = sorted(set(stored.tolist()))
    ours = np.full(len(theirs), -1)
    ours[used] = class_numbers([theirs[number] for number in used], names, corpus.folder)

    def ids_of(number: int) -> NDArray[np.int64]:
        length = int(rows.lengths(np.array([number]))[0])
        return rows.batch(np.array([number])).ids[0, :length]

    return LabelledTexts(ids_of, ours[stored], rows.all_lengths > longest, split.name, {})


def _of_rows(
    data: str, tokenizer: Tokenizer, names: Sequence[str], longest: int, wanted: DataSettings, local: Path | None
) -> LabelledTexts:
    source = open_source(data, local, Columns(wanted.text or DEFAULT, wanted.label or LABEL))
    split = choose_split(source.splits, wanted.split, data)
    chosen: list[Document] = []
    left_out = LeftOut()
    for piece in (source if split == "all" else source.only(split)).pieces():
        for row in piece.documents():
            if isinstance(row, BadRow):
                left_out.add(row.reason, row.place)
            else:
                chosen.append(row)
    if any(row.label is None for row in chosen):
        raise UserError("these texts have no labels", place=data, way_out="name the column: data.label=COLUMN")
    classes = class_numbers([row.label for row in chosen if row.label is not None], names, data)
    ids, offsets = tokenizer.encode_many([row.text for row in chosen])
    lengths = np.diff(offsets)

    def ids_of(number: int) -> NDArray[np.integer]:
        return ids[offsets[number] : min(offsets[number + 1], offsets[number] + longest)]

    return LabelledTexts(ids_of, classes, lengths > longest, split, left_out.as_dict())
