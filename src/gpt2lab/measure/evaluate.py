"""A model, data and protocols become records."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gpt2lab.core import console, files
from gpt2lab.core.errors import UserError
from gpt2lab.measure import perplexity, records
from gpt2lab.measure.settings import Evaluation
from gpt2lab.model.gpt2 import GPT2
from gpt2lab.model.reading import find_model, read_language_model, tokenizer_of, weight_hash
from gpt2lab.text.corpus import is_corpus, open_corpus
from gpt2lab.text.opening import open_binary
from gpt2lab.text.tokenizer import Tokenizer

PROTOCOLS = ("perplexity/token-window", "perplexity/blocks")


def evaluate(
    source: str, protocols: list[str], data: str, settings: Evaluation, device: Any, tokenizer: str | None = None
) -> list[dict[str, Any]]:
    """One record a protocol, each also written to the model's results."""
    if unknown := [name for name in protocols if name not in PROTOCOLS]:
        raise UserError(f"there is no protocol {unknown[0]!r}", way_out=f"known: {', '.join(PROTOCOLS)}")
    folder = find_model(source)
    model = read_language_model(folder, device=device)
    identity = {"path": source, "weights": weight_hash(folder)}
    found = [
        {
            **_measure(name, model, tokenizer_of(folder, tokenizer), Path(data), settings),
            "model": identity,
            "data": _describe(Path(data)),
        }
        for name in protocols
    ]
    for record in found:
        records.write(_results_folder(Path(source), identity["weights"]), record)
    return found


def _measure(name: str, model: GPT2, tokenizer: Tokenizer, data: Path, settings: Evaluation) -> dict[str, Any]:
    if name == "perplexity/blocks":
        if not is_corpus(data):
            raise UserError(f"{name} is measured on a corpus", place=data, way_out="gpt2lab prepare DATA --out CORPUS")
        corpus = open_corpus(data)
        split = settings.data.split or next(
            split for split in ("test", "validation", "train") if split in corpus.splits
        )
        if split == "train":
            console.warn("this is the split that models are trained on; its perplexity says little about new text")
        if tokenizer.hash != corpus.manifest["tokenizer"]["hash"]:
            raise UserError(
                "the corpus was made with another tokenizer than the model", place=data, way_out="prepare it again"
            )
        return perplexity.blocks(model, corpus.split(split), perplexity.context_for(model, settings.evaluate))
    if is_corpus(data):
        raise UserError(
            f"{name} is defined on text, and this is a corpus of tokens",
            place=data,
            way_out="name the text the corpus was made from",
        )
    ids = tokenizer.encode(_text(data)).astype("int64")
    return perplexity.token_window(model, ids, settings.evaluate)


def _text(path: Path) -> str:
    """A text file exactly as it stands, also a compressed one."""
    with open_binary(path) as file:
        content = file.read()
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise UserError(
            f"not UTF-8: {error.reason}", place=f"{path}, line {line}", way_out="save it as UTF-8"
        ) from error


def _describe(data: Path) -> dict[str, Any]:
    return {"path": str(data), "hash": open_corpus(data).hash if is_corpus(data) else files.sha256(data)}


def _results_folder(source: Path, weights: str) -> Path:
    if (source / "run.json").is_file():
        return source / "results"
    return files.home() / "results" / weights[:16]
