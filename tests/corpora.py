"""Corpora for tests, made on the spot."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from gpt2lab.core import files
from gpt2lab.text.assembly import assemble
from gpt2lab.text.corpus import FORMAT, Corpus
from gpt2lab.text.documents import Document, InlinePiece
from gpt2lab.text.parts import make_part
from gpt2lab.text.settings import PrepareSettings
from gpt2lab.text.workers import part_file
from vocabularies import SAMPLE, small

SENTENCES = [f"Document {number} says: {SAMPLE[number : number + 90]}" for number in range(60)]


def corpus(folder: Path, texts: Sequence[str | Document] | None = None, shard_tokens: int = 10**8) -> Corpus:
    """Every tenth document is for validation."""
    made = [Document(text) if isinstance(text, str) else text for text in (SENTENCES if texts is None else texts)]
    tokenizer, settings = small(), PrepareSettings(shard_tokens=shard_tokens)
    parts = folder.parent / f"{folder.name}.parts"
    for number, split in enumerate(("train", "validation")):
        rows = tuple(row for index, row in enumerate(made) if (index % 10 == 9) == (split == "validation"))
        make_part(InlinePiece(rows, split, 1), part_file(parts, number), tokenizer, settings, strict=True)
    with files.new_folder(folder) as beside:
        facts = assemble([part_file(parts, 0), part_file(parts, 1)], beside, tokenizer, settings)
        (beside / "tokenizer").mkdir()
        tokenizer.save(beside / "tokenizer")
        about = {"hash": tokenizer.hash, "vocabulary": tokenizer.size, "end_of_text": tokenizer.end_of_text}
        manifest = {"format": FORMAT, "source": {"data": "test"}, "settings": {}, "tokenizer": about, **facts}
        files.write_json(beside / "corpus.json", manifest)
    return Corpus(folder, manifest)
