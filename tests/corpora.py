"""Corpora for tests, made on the spot."""

from __future__ import annotations

from pathlib import Path

from gpt2lab.text.corpus import Corpus, write_corpus
from vocabularies import SAMPLE, small

SENTENCES = [f"Document {number} says: {SAMPLE[number : number + 90]}" for number in range(60)]


def corpus(folder: Path, texts: list[str] | None = None) -> Corpus:
    """Every tenth document is for validation."""
    texts = SENTENCES if texts is None else texts
    documents = (("validation" if index % 10 == 9 else "train", text) for index, text in enumerate(texts))
    return write_corpus(folder, documents, small(), {"data": "test"}, {})
