"""A corpus folder: token shards, where their documents are, and a manifest that says where they come from."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
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
AGAIN = "remove the corpus folder and prepare it again"
KEYS = ("source", "tokenizer", "splits")
KEYS_OF_TOKENIZER = ("hash", "vocabulary", "end_of_text")
KEYS_OF_SPLIT = ("documents", "tokens", "bytes", "words", "shards")


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
        return self.of_documents("starts")

    def of_documents(self, what: str) -> NDArray[np.int64]:
        """A number a document: starts, bytes, words, and prompts or labels where there are any."""
        path = self.path(what)
        array = _open_array(path, "an array of the documents")
        if array.shape != (self.manifest["documents"],):
            found = f"{array.size:,} numbers, not one for each of {self.manifest['documents']:,} documents"
            raise UserError(f"the array is not the one that was written: {found}", place=path, way_out=AGAIN)
        return array

    def has(self, what: str) -> bool:
        return self.path(what).is_file()

    def path(self, what: str) -> Path:
        return self.folder / "documents" / f"{self.name}.{what}.npy"

    @cached_property
    def shards(self) -> list[NDArray[np.unsignedinteger]]:
        return [open_shard(self.folder / shard["file"], shard) for shard in self.manifest["shards"]]

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

    @cached_property
    def sources(self) -> list[Corpus]:
        """Of a mixture; a plain corpus is its only one."""
        parts = self.manifest.get("mixture")
        return [open_corpus(self.folder / part["folder"]) for part in parts] if parts else [self]

    @property
    def weights(self) -> list[float] | None:
        """How often training draws from each source; None for a plain corpus."""
        parts = self.manifest.get("mixture")
        return [part["weight"] for part in parts] if parts else None

    @property
    def splits(self) -> list[str]:
        return list(dict.fromkeys(name for source in self.sources for name in source.manifest["splits"]))

    @property
    def vocabulary(self) -> int:
        return self.manifest["tokenizer"]["vocabulary"]

    @property
    def hash(self) -> str:
        """Of everything the shards hold, by the manifest's hash of each."""
        if self.weights:
            return files.fingerprint([self.weights, [source.hash for source in self.sources]])
        return files.fingerprint([self.manifest["splits"], self.manifest["tokenizer"]["hash"]])

    def tokenizer(self) -> Tokenizer:
        return tokenizers.load(self.folder / "tokenizer")

    def split(self, name: str) -> Split:
        if self.weights:
            raise UserError(
                "this is a mixture: its sources have splits of their own",
                place=self.folder,
                way_out=f"name one of them, such as {self.sources[0].folder}",
            )
        if name not in self.manifest["splits"]:
            raise UserError(f"the corpus has no split {name!r} (it has {', '.join(self.splits)})", place=self.folder)
        return Split(self.folder, name, self.manifest["splits"][name])


def is_corpus(folder: Path) -> bool:
    return (folder / "corpus.json").is_file()


def open_corpus(folder: Path) -> Corpus:
    if not is_corpus(folder):
        made = f"gpt2lab prepare DATA --out {shlex.quote(str(folder))}"
        raise UserError("no corpus here: there is no corpus.json", place=folder, way_out=made)
    manifest = files.read_json(folder / "corpus.json")
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise UserError("this is no corpus.json of a known format", place=folder, way_out=AGAIN)
    if missing := list(_missing(manifest)):
        raise UserError(f"corpus.json lacks {', '.join(missing)}", place=folder / "corpus.json", way_out=AGAIN)
    return Corpus(folder, manifest)


def _missing(manifest: dict[str, Any]) -> Iterator[str]:
    wanted = [(manifest, KEYS, ""), (manifest.get("tokenizer", {}), KEYS_OF_TOKENIZER, "tokenizer.")]
    wanted += [(split, KEYS_OF_SPLIT, f"splits.{name}.") for name, split in manifest.get("splits", {}).items()]
    for there, keys, where in wanted:
        yield from (where + key for key in keys if key not in there)


def write_array(path: Path, array: NDArray[Any]) -> None:
    with files.new_file(path) as file:
        np.lib.format.write_array(file, array, allow_pickle=False)  # pyrefly: ignore[bad-argument-type]


def open_shard(path: Path, about: dict[str, Any]) -> NDArray[np.unsignedinteger]:
    """Size and header are checked on every open; the content by `corpus verify`."""
    shard = _open_array(path, "a shard", about)
    if shard.ndim != 1 or len(shard) != about["tokens"] or shard.dtype not in (np.uint16, np.uint32, np.int32):
        found = f"{shard.size:,} × {shard.dtype} in {path.stat().st_size:,} bytes"
        raise UserError(
            f"the shard is not the one that was written: {found}, not {about['tokens']:,} tokens",
            place=path,
            way_out=AGAIN,
        )
    return shard


def _open_array(path: Path, what: str, about: dict[str, Any] | None = None) -> NDArray[Any]:
    try:
        if about and "dtype" in about:  # bare tokens, perhaps after a header
            return np.memmap(path, about["dtype"], "r", about["offset"])
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError as error:
        raise UserError(f"{what} is missing", place=path, way_out=AGAIN) from error
    except (ValueError, EOFError) as error:
        raise UserError(f"{what} is damaged or cut short: {error}", place=path, way_out=AGAIN) from error
