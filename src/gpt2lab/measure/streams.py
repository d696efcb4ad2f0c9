"""Texts as one stream of tokens, and where in it each document begins."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from gpt2lab.measure.texts import Texts
from gpt2lab.text.batches import Integers
from gpt2lab.text.tokenizer import Tokenizer
from gpt2lab.text.words import count_words


class Tokens(Protocol):
    """A stream in memory, or a corpus' split on disk."""

    @property
    def tokens(self) -> int: ...

    @property
    def starts(self) -> Integers: ...

    def read(self, start: int, stop: int) -> Integers: ...


@dataclass(frozen=True)
class Stream:
    ids: Integers
    starts: Integers  # the first token of each document
    words: Integers | None = None  # of each document's text
    bytes: Integers | None = None

    @property
    def tokens(self) -> int:
        return len(self.ids)

    def read(self, start: int, stop: int) -> Integers:
        return self.ids[start:stop]


def of_text(texts: Texts, tokenizer: Tokenizer, most: int | None = None) -> Stream:
    """One text; a token belongs to the document in which its first byte stands. `most` tokens, from the beginning."""
    text, starts = texts.in_one_stream()
    data = text.encode("utf-8")
    ids = tokenizer.encode(text).astype(np.int64)
    lengths = np.array([len(token) for token in tokenizer.vocabulary.bytes_of])
    ends = np.cumsum(lengths[ids]) if len(ids) else np.zeros(0, np.int64)
    assert not len(ids) or ends[-1] == len(data), "a byte-level tokenizer loses nothing"
    kept = ids[:most]
    stop = int(ends[len(kept) - 1]) if len(kept) else 0
    begins = np.array(_in_bytes(text, starts))
    begins = begins[begins < stop]
    texts_of = [data[start:end] for start, end in zip(begins, [*begins[1:], stop])]
    first = np.searchsorted(ends[: len(kept)] - lengths[kept], begins)
    return Stream(kept, first, np.array(count_words(texts_of)), np.array([len(part) for part in texts_of]))


def of_documents(
    documents: Sequence[str], tokenizer: Tokenizer, most: int | None = None, sizes_of: Sequence[str] | None = None
) -> Stream:
    """An end-of-text before each document, as in a corpus. Words and bytes are counted in `sizes_of`, if given.

    `most` tokens are the whole documents from the first on that hold no more.
    """
    ids, offsets = tokenizer.encode_many(list(documents))
    if most is not None:
        kept = int(np.searchsorted(offsets[1:], most, side="right"))
        return of_documents(documents[:kept], tokenizer, None, sizes_of and sizes_of[:kept])
    starts = np.asarray(offsets[:-1], np.int64) + np.arange(len(documents))
    stream = np.insert(ids.astype(np.int64), np.asarray(offsets[:-1], np.int64), tokenizer.end_of_text)
    data = [text.encode("utf-8") for text in sizes_of or documents]
    return Stream(stream, starts, np.array(count_words(data), np.int64), np.array([len(part) for part in data]))


def owners(starts: NDArray[np.int64], places: NDArray[np.int64]) -> Integers:
    """Which document each of these tokens belongs to."""
    return np.searchsorted(starts, places, side="right") - 1


def _in_bytes(text: str, characters: Sequence[int]) -> list[int]:
    found, place, before = [], 0, 0
    for character in characters:
        place += len(text[before:character].encode("utf-8"))
        found.append(place)
        before = character
    return found
