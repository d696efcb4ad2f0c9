"""A look into a corpus: statistics, documents with their token borders, hashes."""

from __future__ import annotations

from typing import Any

import numpy as np

from gpt2lab.core import console, files
from gpt2lab.core.errors import UserError
from gpt2lab.text.corpus import Corpus, Split

BORDER = "│"


def statistics(split: Split, vocabulary: int) -> dict[str, int | str]:
    lengths = np.diff(np.append(split.starts, split.tokens))
    used = np.zeros(vocabulary, bool)
    for shard in split.shards:
        used[np.unique(shard)] = True
    low, middle, high = (int(value) for value in np.percentile(lengths, (10, 50, 90)))
    return {
        "documents": len(lengths),
        "tokens": split.tokens,
        "bytes": split.manifest["bytes"],
        "words": split.manifest["words"],
        "bytes a token": f"{split.manifest['bytes'] / split.tokens:.2f}",
        "tokens a document (10, 50, 90 %)": f"{low:,} / {middle:,} / {high:,}",
        "longest document": int(lengths.max()),
        "vocabulary used": f"{int(used.sum()):,} of {vocabulary:,}",
        "shards": len(split.shards),
    }


def preview(corpus: Corpus, name: str, documents: int, tokens: int) -> list[dict[str, Any]]:
    split, table = corpus.split(name), corpus.tokenizer().vocabulary.bytes_of
    ends = np.append(split.starts[1:], split.tokens)
    found = []
    for number in range(min(documents, len(split.starts))):
        start, end = int(split.starts[number]), int(ends[number])
        ids = split.read(start, min(end, start + tokens))
        marked = BORDER.encode().join(table[token] for token in ids).decode("utf-8", "replace")
        found.append(
            {"document": number, "tokens": end - start, "text": marked + ("…" if end - start > tokens else "")}
        )
    return found


def verify(corpus: Corpus) -> int:
    """How many shards were right; the first that is not is named."""
    splits = [corpus.split(name) for name in corpus.splits]
    shards = [found for split in splits for found in zip(split.manifest["shards"], split.shards)]
    with console.progress("verify", len(shards), "shards") as progress:
        for about, shard in shards:
            path = corpus.folder / about["file"]
            if files.sha256(path) != about["sha256"]:
                raise UserError("the shard has changed since it was written", place=path, way_out="prepare it again")
            if int(shard.max()) >= corpus.vocabulary:
                raise UserError(f"the shard holds ids beyond the vocabulary of {corpus.vocabulary:,}", place=path)
            progress.advance()
    return len(shards)
