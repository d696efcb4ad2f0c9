"""python benchmarks/prepare.py: text files to token shards, ours beside the usual script around tiktoken (script.py).

Both are commands that get the same files and one process a core, and take turns; their start is part of the time, and
measured alone on a hundred documents. Needs GPT2LAB_REAL_DATA.
"""

from __future__ import annotations

import json
import lzma
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

sys.path[0] = str(Path(__file__).parent.parent)

import pyarrow as pa  # noqa: E402
import pyarrow.parquet as pq  # noqa: E402
from benchmarks.common import median, save, table, take_turns  # noqa: E402
from tests.vocabularies import gpt2  # noqa: E402

from gpt2lab.core import console, hardware  # noqa: E402
from gpt2lab.text import prepare as preparation  # noqa: E402
from gpt2lab.text.assembly import assemble  # noqa: E402
from gpt2lab.text.settings import PrepareSettings  # noqa: E402

OURS, THEIRS = "ours", "script around tiktoken"
ROUNDS = 3
COPIES = 24  # of the 86 MB of text, each with a first line of its own
FEW = 100  # documents, that cost no more than the start
GIGABYTES_OF_10B_TOKENS = 44
FORMS = ("parquet", "jsonl.zst")


def texts(folder: Path) -> list[str]:
    found = []
    for name in ("good_articles_2019", "short_articles_2021"):
        with lzma.open(folder / "wikipedia" / f"{name}.jsonl.xz", "rt", encoding="utf-8") as file:
            found += [json.loads(line)["text"] for line in file]
    return found


def write_source(place: Path, name: str, documents: list[str]) -> int:
    """As parquet and as compressed JSON lines; bytes of text."""
    pq.write_table(pa.table({"text": documents}), place / f"{name}.parquet", row_group_size=1000)
    with pa.output_stream(str(place / f"{name}.jsonl.zst"), compression="zstd") as stream:
        stream.write("".join(json.dumps({"text": text}) + "\n" for text in documents).encode())
    return sum(len(text.encode()) for text in documents)


def ours(source: Path, form: str, out: Path, folder: Path, cores: int) -> list[str]:
    files = ["prepare", str(source / f"*.{form}"), "--out", str(out / "corpus")]
    return [sys.executable, "-m", "gpt2lab", *files, "--tokenizer", str(folder), "--workers", str(cores), "--quiet"]


def theirs(source: Path, form: str, out: Path, folder: Path, cores: int) -> list[str]:
    return [sys.executable, str(Path(__file__).with_name("script.py")), *map(str, (source, form, out, folder, cores))]


def emptied(out: Path, command: list[str]) -> Callable[[], object]:
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir()
    os.sync()  # what the one before wrote is no burden of this one
    return partial(subprocess.run, command, check=True, stdout=subprocess.DEVNULL)


def seconds(source: Path, form: str, out: Path, folder: Path, cores: int) -> dict[str, list[float]]:
    commands = {OURS: ours(source, form, out, folder, cores), THEIRS: theirs(source, form, out, folder, cores)}
    return take_turns({name: lambda _, line=line: emptied(out, line) for name, line in commands.items()}, ROUNDS)


def assembling(source: Path, out: Path, folder: Path, cores: int) -> float:
    """Seconds that one process needs to put the parts together, after all cores have made them."""
    spent = []

    def timed(*arguments: Any) -> dict[str, Any]:
        start = time.perf_counter()
        made = assemble(*arguments)
        spent.append(time.perf_counter() - start)
        return made

    shutil.rmtree(out, ignore_errors=True)
    preparation.assemble = timed
    preparation.prepare(str(source / f"*.{FORMS[0]}"), out, str(folder), PrepareSettings(), workers=cores)
    preparation.assemble = assemble
    return spent[0]


def main() -> None:
    console.configure("quiet")
    folder, cores = Path(os.environ["GPT2LAB_REAL_DATA"]), hardware.cores()
    documents = texts(folder)
    rows = []
    with tempfile.TemporaryDirectory() as base:
        place = Path(base)
        for name in ("few", "all", "tokenizer"):
            (place / name).mkdir()
        gpt2(folder).save(place / "tokenizer")
        shutil.copy(folder / "gpt2-bpe" / "vocab.bpe", place / "tokenizer")
        shutil.copy(folder / "gpt2-bpe" / "encoder.json", place / "tokenizer")
        write_source(place / "few", "part", documents[:FEW])
        copies = ([f"Copy {number}.\n{text}" for text in documents] for number in range(COPIES))
        size = sum(write_source(place / "all", f"part-{number:02d}", copy) for number, copy in enumerate(copies)) / 1e6
        for form in FORMS:
            start = seconds(place / "few", form, place / "out", place / "tokenizer", cores)
            spent = seconds(place / "all", form, place / "out", place / "tokenizer", cores)
            for name in (OURS, THEIRS):
                rows.append(
                    {
                        "form": form,
                        "what": name,
                        "mb_per_second": size / median(spent[name]),
                        "seconds": spent[name],
                        "start_seconds": median(start[name]),
                        "mb_per_second_without_start": size / (median(spent[name]) - median(start[name])),
                        "times_the_script": median(spent[THEIRS]) / median(spent[name]),
                    }
                )
        together = median([assembling(place / "all", place / "out", place / "tokenizer", cores) for _ in range(ROUNDS)])
    report(rows, size, cores, together)


def report(rows: list[dict], megabytes: float, cores: int, together: float) -> None:
    table(
        ("form", "what", "MB/s", "start", "MB/s without start", "× script"),
        [
            (
                row["form"],
                row["what"],
                f"{row['mb_per_second']:.1f}",
                f"{row['start_seconds']:.1f} s",
                f"{row['mb_per_second_without_start']:.1f}",
                f"{row['times_the_script']:.1f}",
            )
            for row in rows
        ],
    )
    start, whole = rows[0]["start_seconds"], median(rows[0]["seconds"])
    times = GIGABYTES_OF_10B_TOKENS * 1e3 / megabytes
    alone, shared = times * together, times * (whole - start - together)
    hours, hours_on_64 = ((start + alone + shared * cores / n) / 3600 for n in (cores, 64))
    print(f"putting the parts together takes {together:.1f} s of {whole:.1f} s, in one process")
    print(f"10B tokens (44 GB of text) from parquet at this rate: {hours:.2f} h on {cores} cores")
    print(
        f"extrapolated to 64 such cores, if the disk keeps up: {hours_on_64:.3f} h, {alone / 3600:.3f} h in one process"
    )
    save(
        "prepare",
        {
            "what": f"{megabytes:.0f} MB of English in {COPIES} files, {cores} processes, their start included",
            "caution": f"{COPIES} copies of one text: fastokens remembers words; new text takes about a tenth longer",
            "rows": rows,
            "seconds_to_put_parts_together": together,
            "hours_for_10b_tokens": {
                "cores": cores,
                "hours": hours,
                "hours_on_64_cores_extrapolated": hours_on_64,
            },
        },
    )


if __name__ == "__main__":
    main()
