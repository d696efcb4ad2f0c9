"""One split on its way to disk: shards written as they grow, and the arrays that say what stands where in them."""

from __future__ import annotations

import hashlib
import io
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpt2lab.core import files
from gpt2lab.text.corpus import write_array
from gpt2lab.text.parts import Columns

PER_DOCUMENT = ("bytes", "words", "prompts", "labels")
Ids = NDArray[np.unsignedinteger]


class SplitWriter:
    """One stream of tokens, cut in shards, and a number a document in each column."""

    def __init__(self, folder: Path, name: str, shard_tokens: int) -> None:
        self.folder, self.name, self.shard_tokens = folder, name, shard_tokens
        self.columns: dict[str, list[NDArray[np.int64]]] = {column: [] for column in ("starts", *PER_DOCUMENT)}
        self.shards: list[dict[str, Any]] = []
        self.documents = 0
        self.tokens = 0
        self._open: Shard | None = None

    def add(self, ids: Ids, columns: Columns, continues: bool = False) -> None:
        """Documents after one another; if it `continues`, the first of them is the end of the one before."""
        lengths, starts = columns["lengths"], self.tokens + np.cumsum(columns["lengths"]) - columns["lengths"]
        new = {"starts": starts, **{name: columns[name] for name in PER_DOCUMENT if name in columns}}
        if continues and self.documents:
            for name in ("bytes", "words"):
                self.columns[name][-1][-1] += new[name][0]
            new = {name: values[1:] for name, values in new.items()}
        for name, values in new.items():
            if len(values):
                self.columns[name].append(values.copy())
        self.documents += len(lengths) - (continues and self.documents > 0)
        self.tokens += len(ids)
        while len(ids):
            shard = self._open = self._open or self._new_shard(ids.dtype)
            taken = ids[: self.shard_tokens - shard.tokens]
            shard.add(taken)
            ids = ids[len(taken) :]
            if shard.tokens == self.shard_tokens:
                self._finish_shard()

    def finish(self) -> dict[str, Any]:
        self._finish_shard()
        sums: dict[str, int] = {}
        for column, pieces in self.columns.items():
            values = np.concatenate([np.empty(0, np.int64), *pieces])
            sums[column] = int(values.sum())
            wanted = column in ("starts", "bytes", "words") or (
                values.any() if column == "prompts" else len(values) > 0
            )
            if wanted:
                write_array(self.folder / "documents" / f"{self.name}.{column}.npy", values)
        return {
            "documents": self.documents,
            "tokens": self.tokens,
            "bytes": sums["bytes"],
            "words": sums["words"],
            "shards": self.shards,
        }

    def _new_shard(self, kind: np.dtype) -> Shard:
        return Shard(self.folder / f"{self.name}-{len(self.shards):05d}.npy", kind, self.shard_tokens)

    def _finish_shard(self) -> None:
        if self._open:
            self.shards.append(self._open.finish())
            self._open = None


class Shard:
    """A file that is written as it grows. Its header promises a full shard and is corrected where fewer tokens came."""

    def __init__(self, path: Path, kind: np.dtype, full: int) -> None:
        self.path, self.kind, self.full, self.tokens = path, kind, full, 0
        self.hash = hashlib.sha256()
        self.closing = ExitStack()
        self.file = self.closing.enter_context(files.new_file(path))
        self._write(_header(kind, full))

    def add(self, ids: Ids) -> None:
        self._write(ids.data.cast("B"))
        self.tokens += len(ids)

    def finish(self) -> dict[str, Any]:
        if self.tokens < self.full:
            self.file.file.seek(0)
            self.file.write(_header(self.kind, self.tokens))
        self.closing.close()
        found = self.hash.hexdigest() if self.tokens == self.full else files.sha256(self.path)
        return {"file": self.path.name, "tokens": self.tokens, "sha256": found}

    def _write(self, data: bytes | memoryview) -> None:
        self.hash.update(data)
        self.file.write(data)


def _header(kind: np.dtype, tokens: int) -> bytes:
    """As long for few tokens as for many: numpy leaves room."""
    made = io.BytesIO()
    facts = {"descr": np.lib.format.dtype_to_descr(kind), "fortran_order": False, "shape": (tokens,)}
    np.lib.format.write_array_header_1_0(made, facts)
    return made.getvalue()
