"""A study's folder written by hand: everything a report can show, without a training."""

from __future__ import annotations

import math

import numpy as np
import yaml

from gpt2lab.core import files, lines
from gpt2lab.measure import class_metrics, intervals, records
from gpt2lab.measure.differences import paired_ratio

DOCUMENTS, PROMPTS = 40, ("The castle stood", "In the morning")
TOKENS = np.random.default_rng(0).integers(50, 400, DOCUMENTS)
BASE_NLL = TOKENS * np.random.default_rng(1).normal(3.4, 0.3, DOCUMENTS)
ENVIRONMENT = {"python": "3.12.1", "platform": "a machine", "versions": {"torch": "2.11.0"}, "variables": {}}


def perplexity(model, gain, seed=0, protocol="perplexity/token-window@1", **settings):
    """A record of `gain` nats a token under the base, the same documents for all."""
    shift = gain * TOKENS + TOKENS * np.random.default_rng(100 + seed).normal(0, 0.01, DOCUMENTS) * (gain != 0)
    nll = BASE_NLL - shift
    interval, note = intervals.of_ratio(nll, TOKENS)
    return {
        "protocol": protocol,
        "value": math.exp(nll.sum() / TOKENS.sum()),
        "interval": interval and interval.as_dict(),
        "interval_note": note,
        "sum_nll": float(nll.sum()),
        "counts": {"documents": DOCUMENTS, "tokens_scored": int(TOKENS.sum())},
        "settings": {"context": 64, "stride": 32, "split": "test", "precision": "fp32", **settings},
        "model": {"path": model, "weights": model},
        "data": {"path": "/somewhere/wikitext-2", "hash": "d" * 64, "split": "test"},
        "items": [
            {"document": number, "nll": float(nll[number]), "tokens": int(TOKENS[number])}
            for number in range(DOCUMENTS)
        ],
    }


def forgetting(model, loss, seed=0):
    noise = np.random.default_rng(300 + seed).normal(loss, 0.02, DOCUMENTS)
    found = paired_ratio(TOKENS * (3 + noise), TOKENS * 3.0, TOKENS)
    return {
        "protocol": "forgetting@1",
        **found.as_dict(),
        "counts": {"documents": DOCUMENTS, "tokens_scored": int(TOKENS.sum())},
        "settings": {"context": 64, "scored_as": "bits-per-byte@1"},
        "model": {"path": model, "weights": model},
        "data": {"path": "fineweb-edu", "hash": "f" * 64},
        "items": [{"document": number, "nll": 1.0, "tokens": 1} for number in range(DOCUMENTS)],
    }


def quality(model, texts, relevance):
    """Of one sample a prompt."""
    scores = {
        name: {"value": value, "interval": None, "interval_note": "too few", "samples": len(texts)}
        for name, value in (("relevance", relevance), ("rep_4", 0.1 * relevance), ("copied_13", 0.02))
    }
    return {
        "protocol": "text-quality@1",
        "value": relevance,
        "interval": None,
        "scores": scores,
        "prompts": [{"prompt": prompt, "samples": 1, "scores": {}} for prompt in texts],
        "counts": {"prompts": len(texts), "samples": len(texts)},
        "conditions": {"seeds": [1]},
        "settings": {"tokens": 100},
        "model": {"path": model, "weights": model},
        "data": {"path": "samples.jsonl", "hash": model},
        "items": [
            {
                "prompt": number,
                "sample": 0,
                "seed": 1,
                "relevance": relevance,
                "passages": [{"start": 0, "stop": 4, "tokens": 13, "document": 7}] if number == 0 else [],
            }
            for number in range(len(texts))
        ],
    }


def labels(model, right, seed=0, texts=200, names=("World", "Sports", "Business")):
    """A classifier that knows so many of the first texts, and takes the others for the class after theirs."""
    true = np.arange(texts) % len(names)
    known = np.random.default_rng(seed).permutation(texts) < right
    predicted = np.where(known, true, (true + 1) % len(names))
    matrix = class_metrics.confusion(true, predicted, len(names))
    interval = intervals.wilson(int(matrix.trace()), texts).as_dict()
    return {
        "protocol": "labels@1",
        "value": matrix.trace() / texts,
        "accuracy": matrix.trace() / texts,
        "interval": interval,
        "accuracy_interval": interval,
        "classes": [{"name": name, **one} for name, one in zip(names, class_metrics.of_classes(matrix))],
        "confusion": matrix.tolist(),
        "counts": {"texts": texts},
        "settings": {"split": "test", "max_tokens": 64},
        "model": {"path": model, "weights": model},
        "data": {"path": "ag-news", "hash": "a" * 64},
        "items": [
            {"item": number, "label": names[true[number]], "right": bool(known[number]), "nll": 0.1}
            for number in range(texts)
        ],
    }


def sample(prompt, text, number=0, details=()):
    return {
        "prompt": prompt, "text": text, "sample": number, "seed": 1, "tokens": 9, "finish": "length",
        "token_details": list(details),
    }  # fmt: skip


def run(folder, *, kind="finetune", found=(), samples=(), steps=20, seed=1, accuracy=None, level=3.0, **settings):
    """One finished training, with curves."""
    about = {
        "state": "finished",
        "kind": kind,
        "steps": steps,
        "best_step": steps,
        "parameters": 5000,
        "trainable_parameters": 5000 if settings.get("method", "full") == "full" else 96,
        "training_seconds": 12.5,
        "tokens_per_second": 4321.0,
        "peak_memory": 123_456_789,
        "environment": ENVIRONMENT,
        "decided": {"device": "cpu", "precision": "fp32", "threads": 1, "processes": 1, "compile": "never"},
        "base": {"path": "base", "weights": "b" * 64},
    }
    files.write_json(folder / "run.json", about)
    chosen = {"kind": kind, **settings, "train": {"seed": seed, "learning_rate": 1e-3, **settings.get("train", {})}}
    files.write_text(folder / "run.yaml", yaml.safe_dump(chosen))
    looks = []
    for step in range(1, steps + 1):
        line = {
            "step": step,
            "loss": level + math.exp(-step / 8) + 0.01 * seed,
            "rate": 1e-3,
            "gradient_norm": 1 / step,
        }
        if step % 5 == 0:
            line |= {"validation_loss": level + 0.1 + math.exp(-step / 8)}
            line |= {"validation_accuracy": accuracy + step / 200 + 0.01 * seed} if accuracy else {}
        looks.append(lines.encode(line))
    files.write_text(folder / "metrics.jsonl", "".join(looks))
    measured(folder, found, samples)


def measured(folder, found, samples):
    for record in found:
        records.write(folder / "results", record)
    if samples:
        files.write_text(folder / "samples.jsonl", "".join(lines.encode(one) for one in samples))


def text_study(
    folder, *, names=("full", "lora"), gains=(0.30, 0.22), question="Which tuning is best?", seeds=(1, 2, 3)
):
    """A base, two variants with seeds, one that failed, a search."""
    recipe = {
        "name": "castles",
        "question": question,
        "variants": {**{name: {} for name in names}, "prompt": {}},
        "seeds": list(seeds),
        "measures": [{"protocol": "perplexity/token-window"}, {"protocol": "forgetting"}],
        "tune": {"task": "text", "train": {"epochs": 3}},
        "over": {"train.learning_rate": "1e-4,1e-3"},
        "published": {"perplexity": "20.06, under no stated protocol"},
    }
    files.write_json(folder / "study.json", recipe)
    splits = {"train": {"documents": 77, "tokens": 123_457, "bytes": 456_789}}
    files.write_json(folder / "corpus" / "corpus.json", {"source": {"data": "builtin:docs"}, "splits": splits})
    base = [sample(prompt, " and the castle was old, and the castle was old.") for prompt in PROMPTS]
    run(folder / "runs" / "base", kind="pretrain", found=[perplexity("base", 0.0)], samples=base, steps=400)
    for place, (name, gain) in enumerate(zip(names, gains)):
        for seed in seeds:
            written = [sample(PROMPTS[0], f" {name} wrote of a tower.", details=spelled(f" {name} wrote of a tower."))]
            written.append(sample(PROMPTS[1], " A second text, plain."))
            found = [
                perplexity(f"{name}{seed}", gain, seed),
                forgetting(f"{name}{seed}", 0.2 * (1 - place) + 0.01, seed),
                quality(f"{name}{seed}", [one["prompt"] for one in written], 0.5 + 0.1 * seed + gain),
            ]
            method = "lora" if place else "full"
            place_of_run = folder / "runs" / f"{name}-seed-{seed}"
            run(place_of_run, found=found, samples=written, seed=seed, method=method)
    files.write_json(folder / "runs" / "prompt-seed-1" / "failed.json", {"reason": "out of memory"})
    trials = [
        {"number": n, "point": {"train.learning_rate": rate}, "state": "finished", "best": best, "best_step": 5}
        for n, (rate, best) in enumerate((("1e-4", 3.5), ("1e-3", 3.2)), 1)
    ]
    files.write_json(
        folder / "searches" / names[0] / "result.json",
        {"watched": "validation_loss", "trials": trials, "best": trials[1]},
    )
    return folder


def class_study(folder, right=(180, 150)):
    recipe = {
        "name": "news", "question": "What do few parameters cost?", "seeds": [1, 2, 3],
        "variants": {"full": {}, "prompt": {}}, "measures": [{"protocol": "labels"}],
    }  # fmt: skip
    files.write_json(folder / "study.json", recipe)
    for name, count in zip(("full", "prompt"), right):
        for seed in (1, 2, 3):
            found = [labels(f"{name}{seed}", count + seed, seed)]
            run(folder / "runs" / f"{name}-seed-{seed}", found=found, accuracy=0.5, method=name, seed=seed)
    return folder


def spelled(text):
    """Token details, a word a token."""
    words = text.split(" ")
    tokens = [word if place == 0 else f" {word}" for place, word in enumerate(words)]
    return [{"token": token, "id": 1, "surprise": float(len(token)), "probability": 0.1} for token in tokens if token]
