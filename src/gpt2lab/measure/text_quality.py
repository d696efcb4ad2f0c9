"""`text-quality`: what generated texts are like, without an outside model: one score a sample, averaged by prompt.

Relevance to the prompt under the base model, repetition, variety, copying from the training set, and form. All is
counted in the base's tokens, so that variants with other tokenizers compare; copying in the training set's.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from gpt2lab.core import console
from gpt2lab.core.errors import UserError
from gpt2lab.measure import copying, form, intervals, precision, repetition
from gpt2lab.measure.differences import Difference, paired_ratio
from gpt2lab.measure.records import circumstances
from gpt2lab.measure.relevance import relevance
from gpt2lab.measure.samples import Sample, conditions
from gpt2lab.measure.settings import QualitySettings
from gpt2lab.model.gpt2 import GPT2
from gpt2lab.text.batches import Integers
from gpt2lab.text.corpus import Corpus
from gpt2lab.text.tokenizer import Tokenizer

PROTOCOL = "text-quality@1"
SEED = 0  # of the intervals
ORDERS = (2, 3, 4)
VARIETY = (1, 2, 3)
COPIED = (8, 13)
MUST_AGREE = ("conditions", "settings", "tokenizer", "base")

Scores = dict[str, Any]


def measure(
    samples: Sequence[Sample],
    base: GPT2,
    tokenizer: Tokenizer,
    settings: QualitySettings,
    *,
    base_weights: str,
    train: Corpus | None = None,
) -> dict[str, Any]:
    """The body of a record; its items are samples. `train` is what the model that wrote them was trained on."""
    begin = time.perf_counter()
    if not any(sample.text for sample in samples):
        raise UserError("every sample is empty", way_out="generate longer ones, or with --ignore-eos")
    texts = [tokenizer.encode(sample.text).astype(np.int64) for sample in samples]
    scored: list[Scores] = [_repetition(text, settings) for text in texts]
    parts = [_relevance(samples, texts, base, tokenizer), _self_bleu(samples, texts), _form(samples, settings)]
    parts += [_copying(samples, train)] if train else []
    for part in parts:
        for scores, more in zip(scored, part, strict=True):
            scores.update(more)
    prompts = list(dict.fromkeys(sample.prompt for sample in samples))
    of_prompt = np.array([prompts.index(sample.prompt) for sample in samples])
    summary = {name: _mean(scored, of_prompt, name) for name in _names(scored)}
    device, tokens, seconds = base.transformer.wte.weight.device, sum(map(len, texts)), time.perf_counter() - begin
    return {
        "protocol": PROTOCOL,
        **summary["relevance"],
        "scores": summary,
        "pooled_distinct": {
            f"distinct_{n}": repetition.distinct([text.tolist() for text in texts], n, settings.pooled_tokens)
            for n in VARIETY
        },
        "prompts": [_of_prompt(prompt, scored, of_prompt == number) for number, prompt in enumerate(prompts)],
        "counts": {
            "prompts": len(prompts),
            "samples": len(samples),
            "tokens": tokens,
            "empty": sum(not len(text) for text in texts),
            "cut": sum(scores["cut"] or 0 for scores in scored),
        },
        "conditions": conditions(samples),
        "settings": settings.as_dict(),
        "tokenizer": tokenizer.hash,
        "base": base_weights,
        "train": train and {"path": str(train.folder), "hash": train.hash},
        "seed": SEED,
        "seconds": seconds,
        "circumstances": circumstances(device, precision.of(base), seconds, tokens),
        "items": [
            {"prompt": int(number), "sample": sample.number, "seed": sample.seed, **scores}
            for number, sample, scores in zip(of_prompt, samples, scored)
        ],
    }


def compare(a: Mapping[str, Any], b: Mapping[str, Any], score: str) -> Difference:
    """One score of a minus that of b, paired by prompt; refused unless both were made and measured alike."""
    for key in MUST_AGREE:
        if a[key] != b[key]:
            names = [name for name in a[key] if a[key][name] != b[key].get(name)] if isinstance(a[key], dict) else []
            raise UserError(
                f"these samples differ in their {key}{': ' + ', '.join(names) if names else ''}",
                way_out="generate both with the same prompts, seeds, decoding and token budget, and measure them alike",
            )
    if score.startswith(("copied", "longest_copied")) and a["train"] != b["train"]:
        raise UserError("these samples were compared with different training sets")
    here, there = ({row["prompt"]: row["scores"].get(score) for row in record["prompts"]} for record in (a, b))
    both = [prompt for prompt in here if here[prompt] is not None and there.get(prompt) is not None]
    if not both:
        raise UserError(f"no prompt has the score {score!r} in both results", way_out="choose another score")
    ours, theirs = ([scores[prompt] for prompt in both] for scores in (here, there))
    return paired_ratio(ours, theirs, np.ones(len(both)), seed=SEED, unit="prompt")


def _repetition(text: Integers, settings: QualitySettings) -> Scores:
    words = text.tolist()
    return {
        "tokens": len(words),
        **{f"rep_{n}": repetition.repeated(words, n) for n in ORDERS},
        "longest_repeated_run": repetition.longest_repeated_run(words) if words else None,
        **{f"distinct_{n}": repetition.distinct([words], n, settings.tokens) for n in VARIETY},
    }


def _relevance(samples: Sequence[Sample], texts: Sequence[Integers], base: GPT2, tokenizer: Tokenizer) -> list[Scores]:
    """Of all that are not empty."""
    found: list[Scores] = [dict.fromkeys(("relevance", "floor", "drift", "cut")) for _ in texts]
    there = [number for number, text in enumerate(texts) if len(text)]
    prompts = [tokenizer.encode(samples[number].prompt).astype(np.int64) for number in there]
    of_texts = relevance(base, prompts, [texts[number] for number in there], tokenizer.end_of_text)
    for number, one in zip(there, of_texts):
        found[number] = {"relevance": one.value, "floor": one.floor, "drift": one.drift, "cut": one.cut}
    return found


def _self_bleu(samples: Sequence[Sample], texts: Sequence[Integers]) -> list[Scores]:
    """Among the samples of each prompt."""
    found: list[Scores] = [{"self_bleu": None} for _ in texts]
    for prompt in dict.fromkeys(sample.prompt for sample in samples):
        numbers = [number for number, sample in enumerate(samples) if sample.prompt == prompt and len(texts[number])]
        for number, value in zip(numbers, repetition.self_bleu([texts[number].tolist() for number in numbers]) or []):
            found[number] = {"self_bleu": value}
    return found


def _form(samples: Sequence[Sample], settings: QualitySettings) -> list[Scores]:
    """Where the settings say which one."""
    if settings.opening is None or settings.closing is None:
        return [{} for _ in samples]
    bounds = (settings.opening, settings.closing, settings.fewest_words, settings.most_words)
    found = [form.of(sample.prompt + sample.text, *bounds) for sample in samples]
    return [{"closed": float(one.closed), "words": one.words, "fits": float(one.fits)} for one in found]


def _copying(samples: Sequence[Sample], train: Corpus) -> list[Scores]:
    """In the tokens of the training set, whatever the base's are; passages in characters of the text."""
    tokenizer = train.tokenizer()
    texts = [tokenizer.encode(sample.text).astype(np.int64) for sample in samples]
    found: list[Scores] = [
        {**{f"copied_{n}": None for n in COPIED}, "longest_copied": 0, "passages": []} for _ in texts
    ]
    for source in train.sources:
        split = source.split("train")
        with console.progress("copying", split.tokens, "tokens") as progress:
            copied = copying.find(texts, split, progress)
        for scores, one, text, sample in zip(found, copied, texts, samples):
            for n in COPIED:
                scores[f"copied_{n}"] = _larger(scores[f"copied_{n}"], one.share(n))
            scores["longest_copied"] = max(scores["longest_copied"], one.longest)
            scores["passages"] += copying.describe(one, text, sample.text, tokenizer, split)
    return found


def _names(scored: Sequence[Scores]) -> list[str]:
    return [name for name, value in scored[0].items() if name not in ("passages", "cut") and not isinstance(value, str)]


def _mean(scored: Sequence[Scores], of_prompt: Integers, name: str) -> dict[str, Any]:
    """Over all samples that have the score; the interval by prompts."""
    has = np.array([scores[name] is not None for scores in scored])
    values = np.array([scores[name] if scores[name] is not None else 0.0 for scores in scored], np.float64)
    sums, counts = np.bincount(of_prompt, values), np.bincount(of_prompt, has.astype(np.float64))
    there = counts > 0
    if not there.any():
        return {"value": None, "interval": None, "interval_note": "no sample has this score", "samples": 0}
    interval, note = intervals.of_ratio(sums[there], counts[there], transform="none", seed=SEED, unit="prompt")
    return {
        "value": float(sums.sum() / counts.sum()),
        "interval": interval and interval.as_dict(),
        "interval_note": note,
        "samples": int(counts.sum()),
    }


def _of_prompt(prompt: str, scored: Sequence[Scores], mine: np.ndarray) -> dict[str, Any]:
    """The mean of each score over the prompt's samples."""
    own = [scores for scores, is_mine in zip(scored, mine) if is_mine]
    means: dict[str, float | None] = {}
    for name in _names(scored):
        values = [scores[name] for scores in own if scores[name] is not None]
        means[name] = float(np.mean(values)) if values else None
    return {"prompt": prompt, "samples": len(own), "scores": means}


def _larger(one: float | None, other: float | None) -> float | None:
    return max((value for value in (one, other) if value is not None), default=None)
