"""Several sources in one corpus, mixed by weight while training: each stays a plain corpus under `sources/`."""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gpt2lab.core import console, files, lock
from gpt2lab.core.errors import UserError
from gpt2lab.text.corpus import FORMAT, Corpus, is_corpus, open_corpus
from gpt2lab.text.prepare import TRAINED, prepare
from gpt2lab.text.settings import PrepareSettings


def prepare_mixture(
    data: Sequence[str], out: Path, tokenizer: str, settings: PrepareSettings, *, wait: bool = False, **options: Any
) -> Corpus:
    """Each source prepared after the other, with one tokenizer; interrupted and run again, it continues."""
    if len(settings.weights) != len(data):
        raise UserError(
            f"{len(data)} sources need as many weights, and there are {len(settings.weights)}",
            place="prepare.weights",
            way_out=f"for instance prepare.weights={','.join(['1'] * len(data))}",
        )
    wanted = {"data": list(data), "tokenizer": tokenizer, **settings.as_dict()}
    if is_corpus(out):
        return _finished(out, wanted)
    staging = out.parent / f".{out.name}.mixing"
    names = [f"{number}-{_plain(address)}" for number, address in enumerate(data)]
    with lock.locked(out.parent / f".{out.name}.lock", wait):
        if is_corpus(out):
            return _finished(out, wanted)
        for name, address in zip(names, data):
            console.say(f"source: {address}")
            prepare(address, staging / "sources" / name, tokenizer, settings, **options)
            if tokenizer in TRAINED:  # the first source's is everyone's
                tokenizer = str(staging / "sources" / name / "tokenizer")
        first = open_corpus(staging / "sources" / names[0])
        shutil.copytree(first.folder / "tokenizer", staging / "tokenizer", dirs_exist_ok=True)
        files.write_json(staging / "corpus.json", _manifest(first, names, settings.weights, wanted))
        files.rename(staging, out)
    return open_corpus(out)


def _manifest(first: Corpus, names: list[str], weights: tuple[float, ...], wanted: dict[str, Any]) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "mixture": [{"folder": f"sources/{name}", "weight": weight} for name, weight in zip(names, weights)],
        "tokenizer": first.manifest["tokenizer"],
        "source": {"data": wanted["data"]},
        "settings": wanted,
        "splits": {},
    }


def _finished(out: Path, wanted: dict[str, Any]) -> Corpus:
    corpus = open_corpus(out)
    if corpus.manifest["settings"] != wanted:
        raise UserError("another corpus is here", place=out, way_out="choose another --out, or remove this one")
    console.say(f"{out}: already prepared with these settings")
    return corpus


def _plain(address: str) -> str:
    """A name for a folder."""
    return re.sub(r"[^\w.-]+", "-", address.rstrip("/").rpartition("/")[2])[:40].strip("-.") or "source"
