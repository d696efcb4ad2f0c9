"""Rows that a training will have, where its data and its tokenizer lie here; what a plan prepares, the run finds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gpt2lab.core import hub
from gpt2lab.model.reading import HUB_NAMES
from gpt2lab.study import tasks
from gpt2lab.study.data import corpus_for
from gpt2lab.study.settings import TuneSettings
from gpt2lab.text import named
from gpt2lab.text.corpus import Corpus, is_corpus, open_corpus
from gpt2lab.text.sources import chosen_columns, open_source

SMALL = 64_000_000  # bytes on disk: what is prepared in seconds is prepared for a plan


def rows(settings: TuneSettings, tokenizer: str, block: int) -> int | None:
    """`tokenizer` is the recipe's, for a base that is not here itself."""
    corpus = _corpus(settings, tokenizer)
    if corpus is None or "train" not in corpus.splits:
        return None
    if settings.task == "labels":
        return len(corpus.split("train").starts)
    return tasks.kind_of_rows(corpus, settings.data.rows, block)(corpus.split("train")).rows


def _corpus(settings: TuneSettings, tokenizer: str) -> Corpus | None:
    source = settings.data.source
    if is_corpus(Path(source)):
        return open_corpus(Path(source))
    place = next((str(one) for one in (settings.base, tokenizer) if _is_here(one)), None)
    if place is None or settings.data.also or not _is_small_and_here(settings):
        return None
    return corpus_for(settings, place)


def _is_here(tokenizer: str) -> bool:
    return bool(tokenizer) and (Path(tokenizer).exists() or hub.is_cached(HUB_NAMES.get(tokenizer, tokenizer), "model"))


def _is_small_and_here(settings: TuneSettings) -> bool:
    data = settings.data
    chosen = named.SETS.get(data.source)
    if data.source.startswith("hub:") or (chosen and data.local is None and not hub.is_cached(chosen.hub, "dataset")):
        return False
    found = open_source(data.source, Path(data.local) if data.local else None, chosen_columns(data))
    return _size(found.describe()) <= SMALL


def _size(described: Any) -> int:
    """Of all files that a source describes."""
    if isinstance(described, dict):
        own = described.get("size")
        return own if isinstance(own, int) else sum(map(_size, described.values()))
    return sum(map(_size, described)) if isinstance(described, list) else 0
