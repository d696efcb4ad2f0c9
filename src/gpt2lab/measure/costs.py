"""How `evaluate` measures what tuning costs: against a base, and for texts against the training set as well."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gpt2lab.core import console, files
from gpt2lab.core.errors import UserError
from gpt2lab.measure import forgetting, lineage, precision, samples, text_quality
from gpt2lab.measure.bench import Bench
from gpt2lab.model.gpt2 import GPT2
from gpt2lab.model.reading import config_hash, find_model, read_language_model, tokenizer_of, weight_hash
from gpt2lab.text.corpus import Corpus, open_corpus

WITH_BASE = ("forgetting", "text-quality")
WITH_TRAIN = ("text-quality",)


def refuse_idle(names: Sequence[str], base: str | None, train: str | None) -> None:
    """What is accepted must have an effect."""
    for option, given, users in (("--base", base, WITH_BASE), ("--train", train, WITH_TRAIN)):
        if given is not None and not set(users) & set(names):
            raise UserError(f"{option} has no effect on {', '.join(names)}", way_out=f"it is for {' and '.join(users)}")


def measure_forgetting(names: Sequence[str], bench: Bench) -> list[dict[str, Any]]:
    base = _base(bench)
    if tokenizer_of(find_model(_base_name(bench))).hash != bench.tokenizer.hash:
        raise UserError("the base and the tuned model have different tokenizers", place=_base_name(bench))
    found = forgetting.measure(bench.model, base, bench.tokenizer, bench.texts, bench.settings)
    if bench.base and lineage.is_another(bench.base, bench.source):
        console.warn(f"{bench.source} was not tuned from {bench.base}: this is no forgetting, and compares with none")
        found["settings"] = {**found["settings"], "base": "another than was tuned"}
    return [{**found, **_about_base(bench)} for _ in names]


def data_of_forgetting(name: str, bench: Bench) -> dict[str, Any]:
    texts = bench.texts
    about = {"path": bench.data, "hash": texts.hash, "split": texts.split, "form": texts.form}
    return {**about, "beside": _hashes_of_base(bench)}


def measure_text_quality(names: Sequence[str], bench: Bench) -> list[dict[str, Any]]:
    tokenizer = tokenizer_of(find_model(_base_name(bench)))
    found = samples.read(Path(bench.data))[: bench.settings.evaluate.limit]
    base = _base(bench)
    weights = _about_base(bench)["base"]["weights"]
    return [
        text_quality.measure(found, base, tokenizer, bench.settings.quality, base_weights=weights, train=_train(bench))
        for _ in names
    ]


def data_of_text_quality(name: str, bench: Bench) -> dict[str, Any]:
    train = _train(bench)
    beside = [*_hashes_of_base(bench), train and train.hash, bench.settings.quality.as_dict()]
    return {"path": bench.data, "hash": files.sha256(_samples_file(bench)), "beside": beside}


def _samples_file(bench: Bench) -> Path:
    path = Path(bench.data)
    if not path.is_file():
        raise UserError(
            "samples are read from a file", place=path, way_out="gpt2lab generate MODEL --json > SAMPLES.jsonl"
        )
    return path


def _base_name(bench: Bench) -> str:
    return bench.base or lineage.base_of(bench.source)


def _base(bench: Bench) -> GPT2:
    model = read_language_model(find_model(_base_name(bench)), device=bench.device)
    return precision.cast(model, bench.settings.evaluate.precision)


def _about_base(bench: Bench) -> dict[str, Any]:
    name = _base_name(bench)
    return {"base": {"path": name, "weights": weight_hash(find_model(name))}}


def _hashes_of_base(bench: Bench) -> list[str]:
    place = find_model(_base_name(bench))
    return [weight_hash(place), config_hash(place)]


def _train(bench: Bench) -> Corpus | None:
    return open_corpus(Path(bench.train)) if bench.train else None
