"""A corpus folder: token shards, where their documents are, and a manifest that says where they come from."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpt2lab.core import files
from gpt2lab.core.errors import UserError
from gpt2lab.text import tokenizer as tokenizers
from gpt2lab.text.tokenizer import Tokenizer

FORMAT = 1
SHARD_TOKENS = 100_000_000
ENCODE_AT_ONCE = 4_000_000  # characters
SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class Split:
    """One stream of tokens, an end-of-text before each document."""

    folder: Path
    name: str
    manifest: dict[str, Any]

    @property
    def tokens(self) -> int:
        return self.manifest["tokens"]

    @cached_property
    def starts(self) -> NDArray[np.int64]:
        """Where each document's end-of-text stands."""
        return np.load(self.folder / "documents" / f"{self.name}.starts.npy", mmap_mode="r")

    @cached_property
    def shards(self) -> list[NDArray[np.unsignedinteger]]:
        return [_open_shard(self.folder / shard["file"], shard["tokens"]) for shard in self.manifest["shards"]]

    @cached_property
    def borders(self) -> NDArray[np.int64]:
        return np.cumsum([0, *(len(shard) for shard in self.shards)])

    def read(self, start: int, stop: int) -> NDArray[np.int64]:
        """Tokens [start, stop) of the stream, across shards where need be."""
        first = int(np.searchsorted(self.borders, start, side="right")) - 1
        parts = []
        while start < stop:
            begin, end = int(self.borders[first]), int(self.borders[first + 1])
            parts.append(self.shards[first][start - begin : min(stop, end) - begin])
            start, first = min(stop, end), first + 1
        return np.concatenate(parts).astype(np.int64) if parts else np.empty(0, np.int64)


@dataclass(frozen=True)
class Corpus:
    folder: Path
    manifest: dict[str, Any]

    @property
    def splits(self) -> list[str]:
        return list(self.manifest["splits"])

    @property
    def vocabulary(self) -> int:
        return self.manifest["tokenizer"]["vocabulary"]

    @property
    def hash(self) -> str:
        """Of everything the shards hold, by the manifest's hash of each."""
        return files.fingerprint([self.manifest["splits"], self.manifest["tokenizer"]["hash"]])

    def tokenizer(self) -> Tokenizer:
        return tokenizers.load(self.folder / "tokenizer")

    def split(self, name: str) -> Split:
        if name not in self.manifest["splits"]:
            raise UserError(f"the corpus has no split {name!r} (it has {', '.join(self.splits)})", place=self.folder)
        return Split(self.folder, name, self.manifest["splits"][name])


def is_corpus(folder: Path) -> bool:
    return (folder / "corpus.json").is_file()


def open_corpus(folder: Path) -> Corpus:
    if not is_corpus(folder):
        raise UserError(
            "no corpus here: there is no corpus.json", place=folder, way_out=f"gpt2lab prepare DATA --out {folder}"
        )
    manifest = files.read_json(folder / "corpus.json")
    if manifest.get("format") != FORMAT:
        raise UserError(
            f"corpus format {manifest.get('format')!r} is not known", place=folder, way_out="prepare it again"
        )
    return Corpus(folder, manifest)


class SplitWriter:
    """Takes documents and leaves shards behind."""

    def __init__(self, folder: Path, name: str, tokenizer: Tokenizer) -> None:
        self.folder, self.name, self.tokenizer = folder, name, tokenizer
        self.dtype = np.uint16 if tokenizer.size <= 65_536 else np.uint32
        self.starts: list[int] = []
        self.bytes: list[int] = []
        self.words: list[int] = []
        self.shards: list[dict[str, Any]] = []
        self.tokens = 0
        self._open: list[NDArray[np.unsignedinteger]] = []
        self._open_tokens = 0

    def add(self, documents: list[str]) -> None:
        ids, offsets = self.tokenizer.encode_many(documents)
        end_of_text = np.array([self.tokenizer.end_of_text], self.dtype)
        for document, begin, end in zip(documents, offsets[:-1], offsets[1:]):
            self.starts.append(self.tokens)
            self.bytes.append(len(document.encode("utf-8", "replace")))
            self.words.append(len(document.split()))
            self._append(end_of_text)
            self._append(ids[begin:end].astype(self.dtype))

    def finish(self) -> dict[str, Any]:
        if self._open_tokens:
            self._write_shard()
        for what in ("starts", "bytes", "words"):
            path = self.folder / "documents" / f"{self.name}.{what}.npy"
            _write_array(path, np.array(getattr(self, what), np.int64))
        return {
            "documents": len(self.starts),
            "tokens": self.tokens,
            "bytes": sum(self.bytes),
            "words": sum(self.words),
            "shards": self.shards,
        }

    def _append(self, ids: NDArray[np.unsignedinteger]) -> None:
        while len(ids):
            taken = ids[: SHARD_TOKENS - self._open_tokens]
            self._open.append(taken)
            self._open_tokens += len(taken)
            self.tokens += len(taken)
            ids = ids[len(taken) :]
            if self._open_tokens == SHARD_TOKENS:
                self._write_shard()

    def _write_shard(self) -> None:
        path = self.folder / f"{self.name}-{len(self.shards):05d}.npy"
        _write_array(path, np.concatenate(self._open))
        self.shards.append({"file": path.name, "tokens": self._open_tokens, "sha256": files.sha256(path)})
        self._open, self._open_tokens = [], 0


def write_corpus(
    folder: Path,
    documents: Iterable[tuple[str, str]],
    tokenizer: Tokenizer,
    source: dict[str, Any],
    settings: dict[str, Any],
) -> Corpus:
    """From (split, text) pairs, all of it or nothing."""
    with files.new_folder(folder) as beside:
        writers = {name: SplitWriter(beside, name, tokenizer) for name in SPLITS}
        for split, texts in _batched(documents):
            writers[split].add(texts)
        manifest = {
            "format": FORMAT,
            "source": source,
            "settings": settings,
            "tokenizer": {
                "hash": tokenizer.hash,
                "vocabulary": tokenizer.size,
                "end_of_text": tokenizer.end_of_text,
            },
            "splits": {name: writer.finish() for name, writer in writers.items() if writer.starts},
        }
        tokenizer.save(beside / "tokenizer")
        files.write_json(beside / "corpus.json", manifest)
    return Corpus(folder, manifest)


def _batched(documents: Iterable[tuple[str, str]]) -> Iterator[tuple[str, list[str]]]:
    """Documents of a split in lists that encode well at once; the order within a split is kept."""
    waiting: dict[str, list[str]] = {}
    characters = 0
    for split, text in documents:
        waiting.setdefault(split, []).append(text)
        characters += len(text)
        if characters >= ENCODE_AT_ONCE:
            yield from waiting.items()
            waiting, characters = {}, 0
    yield from waiting.items()


def _write_array(path: Path, array: NDArray[Any]) -> None:
    with files.new_file(path) as file:
        np.lib.format.write_array(file, array, allow_pickle=False)  # pyrefly: ignore[bad-argument-type]


def _open_shard(path: Path, tokens: int) -> NDArray[np.unsignedinteger]:
    """Size and header are checked on every open; the content by `corpus verify`."""
    try:
        shard = np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError as error:
        raise UserError("a shard is missing", place=path, way_out="prepare the corpus again") from error
    except ValueError as error:
        raise UserError(f"the shard is damaged or cut short: {error}", place=path) from error
    if shard.ndim != 1 or len(shard) != tokens or shard.dtype not in (np.uint16, np.uint32):
        found = f"{shard.size:,} × {shard.dtype} in {os.path.getsize(path):,} bytes"  # noqa: PTH202
        raise UserError(f"the shard is not the one that was written: {found}, not {tokens:,} tokens", place=path)
    return shard
