"""A look into a corpus: statistics, documents with their token borders, hashes."""

from __future__ import annotations

from typing import Any

import numpy as np

from gpt2lab.core import console, files
from gpt2lab.core.errors import UserError
from gpt2lab.text.corpus import Corpus, Split
from gpt2lab.text.shards import PER_DOCUMENT

BORDER = "│"
LEARNED = "▶"  # instead of the border, where a prompt ends and its completion begins


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
        learned = 1 + int(split.of_documents("prompts")[number]) if split.has("prompts") else 0
        halves = [
            BORDER.encode().join(table[id] for id in part) for part in (ids[:learned], ids[learned:]) if len(part)
        ]
        marked = LEARNED.encode().join(halves).decode("utf-8", "replace")
        shown: dict[str, Any] = {"document": number, "tokens": end - start}
        if split.has("labels"):
            shown["class"] = corpus.manifest["labels"][split.of_documents("labels")[number]]
        found.append({**shown, "text": marked + ("…" if end - start > tokens else "")})
    return found


def classes(corpus: Corpus) -> dict[str, list[int]]:
    """How many documents of each class are in each split."""
    names = corpus.manifest.get("labels")
    if not names:
        return {}
    counts = [np.bincount(corpus.split(split).of_documents("labels"), minlength=len(names)) for split in corpus.splits]
    return {name: [int(count[number]) for count in counts] for number, name in enumerate(names)}


def verify(corpus: Corpus) -> int:
    """How many shards were right; the first that is not, or the first array of documents, is named."""
    if corpus.weights:
        return sum(verify(source) for source in corpus.sources)
    splits = [corpus.split(name) for name in corpus.splits]
    shards = [found for split in splits for found in zip(split.manifest["shards"], split.shards)]
    again = f"remove {corpus.folder} and prepare it again"
    with console.progress("verify", len(shards), "shards") as progress:
        for about, shard in shards:
            path = corpus.folder / about["file"]
            if files.sha256(path) != about["sha256"]:
                raise UserError("the shard has changed since it was written", place=path, way_out=again)
            if int(shard.max(initial=0)) >= corpus.vocabulary:
                what = f"the shard holds ids beyond the vocabulary of {corpus.vocabulary:,}"
                raise UserError(what, place=path, way_out=again)
            progress.advance()
    for split in splits:
        _verify_documents(corpus, split, again)
    return len(shards)


def _verify_documents(corpus: Corpus, split: Split, again: str) -> None:
    """What the arrays hold, and their hashes where the manifest has them."""
    classes, hashes = len(corpus.manifest.get("labels", ())), corpus.manifest.get("documents_sha256", {})
    starts = np.asarray(split.of_documents("starts"))
    if (np.diff(starts) <= 0).any() or starts.min(initial=0) < 0 or starts.max(initial=-1) >= split.tokens:
        what = f"the starts of documents do not rise, or they go beyond the {split.tokens:,} tokens"
        raise UserError(what, place=split.path("starts"), way_out=again)
    if classes:
        labels = np.asarray(split.of_documents("labels"))
        if labels.min(initial=0) < 0 or labels.max(initial=0) >= classes:
            what = f"there are labels beyond the number of classes, {classes:,}"
            raise UserError(what, place=split.path("labels"), way_out=again)
    for what in ("starts", *PER_DOCUMENT):
        path = split.path(what)
        if path.name in hashes or split.has(what):
            split.of_documents(what)
        if path.name in hashes and files.sha256(path) != hashes[path.name]:
            raise UserError("the array has changed since it was written", place=path, way_out=again)
