"""Evaluation text that stands in training data, by runs of thirteen words that both have."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from gpt2lab.text.corpus import write_array

RUN = 13
WORD = re.compile(r"\w+")
Runs = frozenset[int]


def runs(text: str) -> Iterator[int]:
    """A hash of every thirteen words after one another; case and punctuation do not count."""
    words = WORD.findall(text.lower())
    for start in range(len(words) - RUN + 1):
        joined = " ".join(words[start : start + RUN]).encode("utf-8", "replace")
        yield int.from_bytes(hashlib.blake2b(joined, digest_size=8).digest(), "big")


def write(path: Path, texts: Iterable[str]) -> None:
    """The runs of evaluation texts, for the workers."""
    found = {number for text in texts for number in runs(text)}
    write_array(path, np.array(sorted(found), np.uint64))


def load(folder: Path) -> Runs:
    path = file_in(folder)
    return frozenset(np.load(path).tolist()) if path.is_file() else frozenset()


def file_in(folder: Path) -> Path:
    return folder / "contamination.npy"


def shared(text: str, known: Runs) -> int:
    return sum(number in known for number in runs(text)) if known else 0
