"""The usual script around tiktoken, which `prepare` is measured beside: files in, uint16 shards out.

A pool of processes, one document after another through tiktoken, ids put together to shards by the parent.
"""

from __future__ import annotations

import json
import multiprocessing
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import tiktoken
from tiktoken.load import data_gym_to_mergeable_bpe_ranks

PATTERN = r"""'(?:[sdmt]|ll|ve|re)| ?\p{L}++| ?\p{N}++| ?[^\s\p{L}\p{N}]++|\s++$|\s+(?!\S)|\s"""
END_OF_TEXT = 50256
SHARD = 100_000_000

_engine = None


def begin(folder: Path) -> None:
    """As tiktoken itself makes its `gpt2`, from files that are here."""
    global _engine  # noqa: PLW0603
    ranks = data_gym_to_mergeable_bpe_ranks(str(folder / "vocab.bpe"), str(folder / "encoder.json"))
    special = {"<|endoftext|>": END_OF_TEXT}
    _engine = tiktoken.Encoding("gpt2", pat_str=PATTERN, mergeable_ranks=ranks, special_tokens=special)


def tokenize(text: str) -> np.ndarray:
    return np.array([END_OF_TEXT, *_engine.encode_ordinary(text)], np.uint16)


def main(files: list[Path], out: Path, folder: Path, cores: int) -> None:
    shard, filled, count = np.empty(SHARD, np.uint16), 0, 0
    with multiprocessing.get_context("spawn").Pool(cores, begin, (folder,)) as pool:
        for path in files:
            for found in pool.imap(tokenize, read(path), chunksize=16):
                ids = found
                while len(ids):
                    taken = ids[: SHARD - filled]
                    shard[filled : filled + len(taken)] = taken
                    filled += len(taken)
                    ids = ids[len(taken) :]
                    if filled == SHARD:
                        np.save(out / f"shard-{count}.npy", shard)
                        filled, count = 0, count + 1
    np.save(out / f"shard-{count}.npy", shard[:filled])


def read(path: Path) -> Iterator[str]:
    return read_parquet(path) if path.suffix == ".parquet" else read_jsonl_zst(path)


def read_parquet(path: Path) -> Iterator[str]:
    for batch in pq.ParquetFile(path).iter_batches(columns=["text"]):
        yield from batch.column("text").to_pylist()


def read_jsonl_zst(path: Path) -> Iterator[str]:
    with pa.input_stream(str(path), compression="zstd") as stream:
        for line in stream.read().splitlines():
            yield json.loads(line)["text"]


if __name__ == "__main__":
    place, form, made, vocabulary, processes = sys.argv[1:]
    main(sorted(Path(place).glob(f"*.{form}")), Path(made), Path(vocabulary), int(processes))
