"""python benchmarks/prepare.py: text files to token shards, ours beside the usual script around tiktoken.

Both get the same files and one process a core, and take turns. The script is the common one: a pool of processes, one
document after another through tiktoken, ids put together to uint16 shards by the parent. Needs GPT2LAB_REAL_DATA.
"""

from __future__ import annotations

import json
import lzma
import multiprocessing
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

sys.path[0] = str(Path(__file__).parent.parent)

import numpy as np  # noqa: E402
import pyarrow as pa  # noqa: E402
import pyarrow.parquet as pq  # noqa: E402
from benchmarks.common import median, save, table, take_turns  # noqa: E402
from tests.vocabularies import as_tiktoken, gpt2  # noqa: E402

from gpt2lab.core import console, hardware  # noqa: E402
from gpt2lab.text.prepare import prepare  # noqa: E402
from gpt2lab.text.settings import PrepareSettings  # noqa: E402

ROUNDS = 3
COPIES = 4  # of the 86 MB of text, each with a first line of its own, so that starting processes does not decide
SHARD = 100_000_000
GIGABYTES_OF_10B_TOKENS = 44

_engine = None


def begin(folder: Path) -> None:
    global _engine  # noqa: PLW0603
    _engine = as_tiktoken(gpt2(folder))


def tokenize(text: str) -> np.ndarray:
    ids = [_engine.eot_token, *_engine.encode_ordinary(text)]
    return np.array(ids, np.uint16)


def script(paths: list[Path], read: Callable[[Path], Iterator[str]], out: Path, folder: Path, cores: int) -> None:
    shard, filled, count = np.empty(SHARD, np.uint16), 0, 0
    with multiprocessing.get_context("spawn").Pool(cores, begin, (folder,)) as pool:
        for path in paths:
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


def read_parquet(path: Path) -> Iterator[str]:
    for batch in pq.ParquetFile(path).iter_batches(columns=["text"]):
        yield from batch.column("text").to_pylist()


def read_jsonl_zst(path: Path) -> Iterator[str]:
    with pa.input_stream(str(path), compression="zstd") as stream:
        for line in stream.read().splitlines():
            yield json.loads(line)["text"]


def texts(folder: Path) -> list[str]:
    found = []
    for name in ("good_articles_2019", "short_articles_2021"):
        with lzma.open(folder / "wikipedia" / f"{name}.jsonl.xz", "rt", encoding="utf-8") as file:
            found += [json.loads(line)["text"] for line in file]
    return [f"Copy {copy}.\n{text}" for copy in range(COPIES) for text in found]


def write_sources(place: Path, documents: list[str]) -> None:
    size = len(documents) // COPIES
    for number in range(COPIES):
        part = documents[number * size : (number + 1) * size]
        pq.write_table(pa.table({"text": part}), place / f"part-{number}.parquet", row_group_size=1000)
        with pa.output_stream(str(place / f"part-{number}.jsonl.zst"), compression="zstd") as stream:
            stream.write("".join(json.dumps({"text": text}) + "\n" for text in part).encode())


def main() -> None:
    console.configure("quiet")
    folder, cores = Path(os.environ["GPT2LAB_REAL_DATA"]), hardware.cores()
    documents = texts(folder)
    megabytes = sum(len(text.encode()) for text in documents) / 1e6
    rows = []
    with tempfile.TemporaryDirectory() as base:
        place = Path(base)
        (place / "tokenizer").mkdir()
        gpt2(folder).save(place / "tokenizer")
        write_sources(place, documents)
        for form, read in (("parquet", read_parquet), ("jsonl.zst", read_jsonl_zst)):
            paths = sorted(place.glob(f"*.{form}"))

            def ours(number: int, form: str = form) -> Callable[[], object]:
                shutil.rmtree(place / "ours", ignore_errors=True)
                pattern, tokenizer = str(place / f"*.{form}"), str(place / "tokenizer")
                return lambda: prepare(pattern, place / "ours", tokenizer, PrepareSettings(), workers=cores)

            def theirs(
                number: int, read: Callable[[Path], Iterator[str]] = read, paths: list[Path] = paths
            ) -> Callable[[], object]:
                shutil.rmtree(place / "theirs", ignore_errors=True)
                (place / "theirs").mkdir()
                return lambda: script(paths, read, place / "theirs", folder, cores)

            spent = take_turns({"ours": ours, "script around tiktoken": theirs}, ROUNDS)
            for name, seconds in spent.items():
                rows.append(
                    {"form": form, "what": name, "mb_per_second": megabytes / median(seconds), "seconds": seconds}
                )
    by_name = {(row["form"], row["what"]): row["mb_per_second"] for row in rows}
    for row in rows:
        row["times_the_script"] = row["mb_per_second"] / by_name[row["form"], "script around tiktoken"]
    table(
        ("form", "what", "MB/s", "× script"),
        [(r["form"], r["what"], f"{r['mb_per_second']:.1f}", f"{r['times_the_script']:.1f}") for r in rows],
    )
    rate = by_name["parquet", "ours"]
    hours = GIGABYTES_OF_10B_TOKENS * 1000 / rate / 3600
    print(
        f"10B tokens (44 GB of text) at this rate: {hours:.2f} h on {cores} cores; × {cores}/64 on 64 if disks keep up"
    )
    save(
        "prepare",
        {
            "what": f"{megabytes:.0f} MB of English in {COPIES} files, {cores} processes, their start included",
            "rows": rows,
            "hours_for_10b_tokens": {
                "cores": cores,
                "hours": hours,
                "hours_on_64_cores_extrapolated": hours * cores / 64,
            },
        },
    )


if __name__ == "__main__":
    main()
