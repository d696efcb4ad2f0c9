"""Shards that others tokenised become a corpus as they lie: checked, given a manifest, not copied.

Read are `.npy` (uint16 or uint32), nanoGPT's bare `.bin` (uint16) and llm.c's `.bin` (a header of 1,024 bytes).
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpt2lab.core import console, files
from gpt2lab.core.errors import UserError
from gpt2lab.core.settings import Settings
from gpt2lab.text.corpus import FORMAT, Corpus, open_shard, write_array
from gpt2lab.text.formats import texts_inside
from gpt2lab.text.hub_data import SplitName
from gpt2lab.text.hub_data import split_of as split_of_name
from gpt2lab.text.settings import ColumnSettings, PrepareSettings
from gpt2lab.text.tokenizer import Tokenizer

MADE_ELSEWHERE = "token shards made elsewhere"
LLMC_MAGIC = 20240520
LLMC_HEADER = 256  # int32s


def find_shards(data: str) -> list[Path]:
    """The token shards of a folder that is nothing else; none if it is something else."""
    folder = Path(data)
    if not folder.is_dir() or (folder / "corpus.json").is_file():
        return []
    shards = sorted(
        path for path in folder.iterdir() if path.suffix in (".npy", ".bin") and not path.name.startswith(".")
    )
    if shards and (texts := texts_inside(folder)):
        raise UserError(
            f"texts and token shards lie here together: {texts[0].relative_to(folder)} and {shards[0].name}",
            place=folder,
            way_out=f"name the texts alone, such as '{folder}/**/*{texts[0].suffix}', "
            "or move the shards to a folder of their own",
        )
    return shards


def adopt(shards: list[Path], out: Path, tokenizer: Tokenizer, wanted: dict[str, Any]) -> Corpus:
    by_split: dict[SplitName, list[Path]] = {}
    for path in shards:
        by_split.setdefault(split_of(path), []).append(path)
    lengths = np.array([len(token) for token in tokenizer.vocabulary.bytes_of])
    lengths[tokenizer.end_of_text] = 0
    with files.new_folder(out) as beside, console.progress("check shards", len(shards), "shards") as progress:
        splits = {}
        for name, paths in sorted(by_split.items(), key=lambda item: item[0]):
            splits[name] = _adopt_split(name, paths, beside, out, tokenizer, lengths, progress)
        (beside / "tokenizer").mkdir()
        tokenizer.save(beside / "tokenizer")
        about = {"hash": tokenizer.hash, "vocabulary": tokenizer.size, "end_of_text": tokenizer.end_of_text}
        manifest = {
            "format": FORMAT,
            **wanted,
            "tokenizer": about,
            "splits": splits,
            "labels": [],
            "left_out": {},
            "split_by": "the names of the shards",
        }
        files.write_json(beside / "corpus.json", manifest)
    return Corpus(out, manifest)


def warn_of_ignored(settings: PrepareSettings, columns: ColumnSettings, local: Path | None) -> None:
    """Shards stay as they lie, whatever is asked of texts."""
    ignored = [f"prepare.{name}" for name in _chosen(settings, PrepareSettings) if name != "weights"]
    ignored += [f"data.{name}" for name in _chosen(columns, ColumnSettings)]
    ignored += ["--from"] if local else []
    if ignored:
        console.warn(f"without effect on shards, which are used as they lie: {', '.join(ignored)}")


def is_adopted(manifest: dict[str, Any]) -> bool:
    return manifest["source"]["data"] == MADE_ELSEWHERE


def split_of(path: Path) -> SplitName:
    return split_of_name(path.name) or "train"


def describe(shards: list[Path]) -> dict[str, Any]:
    return {
        "data": MADE_ELSEWHERE,
        "files": {path.name: {"bytes": path.stat().st_size} for path in shards},
    }


def layout(path: Path) -> dict[str, Any]:
    """Where the tokens of a shard lie: dtype, bytes before them, and how many there are."""
    size = path.stat().st_size
    if path.suffix == ".npy":
        try:
            shard = np.load(path, mmap_mode="r", allow_pickle=False)
        except ValueError as error:
            raise UserError(f"not a shard of tokens: {error}", place=path) from error
        if shard.ndim != 1 or shard.dtype not in (np.uint16, np.uint32, np.int32):
            raise UserError(f"not a shard of tokens: it holds {shard.dtype} of shape {shard.shape}", place=path)
        return {"tokens": len(shard)}
    header = np.fromfile(path, "<i4", LLMC_HEADER)
    if len(header) == LLMC_HEADER and header[0] == LLMC_MAGIC:
        tokens, offset = int(header[2]), LLMC_HEADER * 4
        width = (size - offset) // max(1, tokens)
        if header[1] not in (1, 7) or width not in (2, 4) or size != offset + width * tokens:
            raise UserError(
                f"damaged or cut short: its header says {tokens:,} tokens, it has {size:,} bytes", place=path
            )
        return {"tokens": tokens, "offset": offset, "dtype": f"uint{8 * width}"}
    if size % 2 or not size:
        raise UserError(f"not a shard of 16-bit tokens: {size:,} bytes", place=path)
    return {"tokens": size // 2, "offset": 0, "dtype": "uint16"}


def _chosen(settings: Settings, kind: type[Settings]) -> list[str]:
    """The settings that are not as they are by themselves."""
    return [name for name, field in kind.model_fields.items() if getattr(settings, name) != field.default]


def _adopt_split(
    name: str,
    paths: list[Path],
    beside: Path,
    out: Path,
    tokenizer: Tokenizer,
    lengths: NDArray[np.int64],
    progress: Any,
) -> dict[str, Any]:
    shards, starts, sizes, tokens = [], [], [], 0
    for path in paths:
        about = {"file": os.path.relpath(path.resolve(), out.resolve()), **layout(path)}
        ids = open_shard(path, about)
        if int(ids.max(initial=0)) >= tokenizer.size:
            raise UserError(
                f"the token id {int(ids.max()):,} does not exist: the tokenizer's ids are 0 to {tokenizer.size - 1:,}",
                place=path,
                way_out="name the tokenizer the shards were made with: --tokenizer FOLDER",
            )
        starts.append(tokens + np.flatnonzero(ids == tokenizer.end_of_text))
        sizes.append(_bytes(ids, lengths))
        shards.append({**about, "sha256": files.sha256(path)})
        tokens += len(ids)
        progress.advance()
    found = np.concatenate(starts)
    if not len(found):
        raise UserError(
            f"no end-of-text (id {tokenizer.end_of_text:,}) in any shard of {name}",
            place=paths[0].parent,
            way_out="name the tokenizer the shards were made with: --tokenizer FOLDER",
        )
    if found[0] != 0:  # some put it after each document instead of before it
        found = np.concatenate([[0], found[found < tokens - 1]])
    write_array(beside / "documents" / f"{name}.starts.npy", found)
    return {
        "documents": len(found),
        "tokens": tokens,
        "bytes": sum(sizes),
        "words": None,
        "shards": shards,
    }


def _bytes(ids: NDArray[np.unsignedinteger], lengths: NDArray[np.int64], at_once: int = 10_000_000) -> int:
    return sum(int(lengths[ids[start : start + at_once]].sum()) for start in range(0, len(ids), at_once))
