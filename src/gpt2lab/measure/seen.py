"""Whether a run is measured on what it was trained on: such a number tells what was memorised, not what was learned."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gpt2lab.core import console, files
from gpt2lab.measure.bench import Bench
from gpt2lab.text.corpus import is_corpus, open_corpus
from gpt2lab.text.sources import chosen_columns, open_source

TRAINED_ON = (None, "train")  # splits of a source's files


def say_if_seen(protocol: str, bench: Bench, split: str | None) -> bool:
    """Of a run's own data, all but what is held out. Where nothing says what a model saw, nothing is said."""
    run = bench.folder.parent / "run.json"
    if split not in ("all", "train") or not run.is_file():
        return False
    stored = files.read_json(run)
    corpus = Path(stored.get("corpus_folder", ""))
    if "corpus" not in stored or not _is_the_same(bench, stored["corpus"], corpus):
        return False
    if bench.settings.data.split == "train":  # as was asked for
        return True
    held_out = next((f" data.split={name}" for name in ("test", "validation") if _has(corpus, name)), None)
    console.warn(
        f"{bench.source} was trained on {bench.data}: this tells what it memorised"
        + (
            f"; held out was gpt2lab evaluate {bench.source} --protocol {protocol} --data {corpus}{held_out}"
            if held_out
            else ""
        )
    )
    return True


def _is_the_same(bench: Bench, trained: str, corpus: Path) -> bool:
    if is_corpus(Path(bench.data)):
        return open_corpus(Path(bench.data)).hash == trained
    if not is_corpus(corpus):  # gone
        return False
    here = open_source(bench.data, bench.local, chosen_columns(bench.settings.data)).describe()
    there = open_corpus(corpus).manifest["source"]
    return bool(_marks(here) & _marks(there))


def _marks(source: dict[str, Any]) -> set[str]:
    """Hashes of a source's files, without those of its held-out splits; or its name, where it is built in."""
    if "files" not in source:
        return {str(source.get("data"))}
    groups = source["files"] if isinstance(source["files"], dict) else {None: source["files"]}
    entries = [
        (facts.get("split", split), facts)
        for split, group in groups.items()
        if isinstance(group, list)
        for facts in group
    ]
    return {
        str(value)
        for split, facts in entries
        if split in TRAINED_ON
        for key, value in facts.items()
        if key.startswith("sha256")
    }


def _has(corpus: Path, split: str) -> bool:
    return is_corpus(corpus) and split in open_corpus(corpus).splits
