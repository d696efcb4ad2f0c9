"""Evaluation text that stands in training data, by runs of thirteen words that both have."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from gpt2lab.text.corpus import write_array

RUN = 13
WORD = re.compile(r"\w+")
Known = Mapping[str, frozenset[int]]  # the runs of each evaluation set


def runs(text: str, length: int = RUN) -> Iterator[int]:
    """A hash of every so many words after one another; case and punctuation do not count."""
    words = WORD.findall(text.lower())
    for start in range(len(words) - length + 1):
        joined = " ".join(words[start : start + length]).encode("utf-8", "replace")
        yield int.from_bytes(hashlib.blake2b(joined, digest_size=8).digest(), "big")


def write(folder: Path, number: int, texts: Iterable[str]) -> None:
    """The runs of an evaluation set, for the workers."""
    found = {run for text in texts for run in runs(text)}
    write_array(_file(folder, number), np.array(sorted(found), np.uint64))


def load(folder: Path, sets: Sequence[str]) -> Known:
    return {name: frozenset(np.load(_file(folder, number)).tolist()) for number, name in enumerate(sets)}


def hit(text: str, known: Known) -> list[str]:
    """The evaluation sets that share a run with the text."""
    found = frozenset(runs(text)) if known else frozenset()
    return [name for name, theirs in known.items() if not found.isdisjoint(theirs)]


def _file(folder: Path, number: int) -> Path:
    return folder / f"contamination-{number}.npy"
