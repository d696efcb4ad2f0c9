"""Several sources in one corpus, mixed by weight while training: each stays a plain corpus under `sources/`."""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gpt2lab.core import console, files, lock
from gpt2lab.core.errors import UserError
from gpt2lab.text.changes import changes
from gpt2lab.text.corpus import FORMAT, Corpus, is_corpus, open_corpus
from gpt2lab.text.prepare import TRAINED, another, describe, describe_evaluation_sets, describe_tokenizer, prepare
from gpt2lab.text.settings import ColumnSettings, PrepareSettings


def prepare_mixture(
    data: Sequence[str], out: Path, tokenizer: str, settings: PrepareSettings, *, wait: bool = False, **options: Any
) -> Corpus:
    """Each source prepared after the other, with one tokenizer; interrupted and run again, it continues."""
    if len(settings.weights) != len(data):
        raise UserError(
            f"{len(data)} sources need as many weights, and there are {len(settings.weights)}",
            place="prepare.weights",
            way_out=f"for instance prepare.weights={','.join(['1'] * len(data))}"
            + ("" if settings.weights else f"; a pattern stands for one source in quotes: '*{Path(data[0]).suffix}'"),
        )
    wanted = {"data": list(data), "tokenizer": tokenizer, **settings.as_dict()}

    def finished() -> Corpus:
        return _finished(out, wanted, options.get("columns"), options.get("local"))

    if is_corpus(out):
        return finished()
    staging = staging_of(out)
    names = [f"{number}-{_plain(address)}" for number, address in enumerate(data)]
    with lock.locked(out.parent / f".{out.name}.lock", wait):
        if is_corpus(out):
            return finished()
        files.refuse_taken(out)
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


def staging_of(out: Path) -> Path:
    """Where the sources lie until all of them are prepared."""
    return out.parent / f".{out.name}.mixing"


def _manifest(first: Corpus, names: list[str], weights: tuple[float, ...], wanted: dict[str, Any]) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "mixture": [{"folder": f"sources/{name}", "weight": weight} for name, weight in zip(names, weights)],
        "tokenizer": first.manifest["tokenizer"],
        "source": {"data": wanted["data"]},
        "settings": wanted,
        "splits": {},
    }


def _finished(out: Path, wanted: dict[str, Any], columns: ColumnSettings | None, local: Path | None) -> Corpus:
    corpus = open_corpus(out)
    changed = changes(corpus.manifest, {"settings": wanted, **describe_tokenizer(wanted["tokenizer"])})
    if not changed:
        compared = describe_evaluation_sets(wanted["contamination"])
        for source, address in zip(corpus.sources, wanted["data"]):
            changed += changes(source.manifest, {"source": describe(address, columns, local), **compared})
    if changed:
        raise another("another corpus is here", list(dict.fromkeys(changed)), out)
    console.say(f"{out}: already prepared with these settings")
    return corpus


def _plain(address: str) -> str:
    """A name for a folder."""
    return re.sub(r"[^\w.-]+", "-", address.rstrip("/").rpartition("/")[2])[:40].strip("-.") or "source"
