"""`labels`: how well a classifier names the class of texts. Every text counts once, whatever its length."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from gpt2lab.core import console
from gpt2lab.core.errors import UserError
from gpt2lab.measure import class_metrics, labelled, precision
from gpt2lab.measure.classifying import log_probabilities
from gpt2lab.measure.intervals import wilson
from gpt2lab.measure.labelled import LabelledTexts
from gpt2lab.measure.records import circumstances
from gpt2lab.measure.settings import Evaluation
from gpt2lab.model.gpt2 import GPT2, GPT2Classifier
from gpt2lab.text.tokenizer import Tokenizer

PROTOCOL = "labels@1"
COMPARED = 500  # texts whose class is also asked for in fp32, where another precision is measured
NAMED = 5  # classes without a text


def measure(
    model: GPT2 | GPT2Classifier,
    tokenizer: Tokenizer,
    data: str | Path,
    settings: Evaluation,
    *,
    local: Path | None = None,
) -> dict[str, Any]:
    """The body of a record. In bf16 the model's weights are cast where they are."""
    classifier = needs_classifier(model)
    longest, limit = longest_text(classifier, settings), settings.evaluate.limit
    texts = labelled.read(str(data), tokenizer, classifier.config.labels, longest, settings.data, local).first(limit)
    if not len(texts):
        raise UserError("there is no text to classify", place=data, way_out="each row needs a text and a label")
    _say_what_is_missing(texts, longest, classifier.config.labels)
    chosen, budget = settings.evaluate.precision, settings.evaluate.token_budget
    exact = None if chosen == "fp32" else _classified(classifier, texts.first(COMPARED), budget)[0]
    begin = time.perf_counter()
    log_p, tokens = _classified(in_precision(classifier, chosen), texts, budget)
    seconds = time.perf_counter() - begin
    device = next(model.parameters()).device
    return {
        "protocol": PROTOCOL,
        **scores(log_p, texts.classes, classifier.config.labels),
        "counts": {
            "texts": len(texts),
            "tokens": tokens,
            "truncated": int(texts.cut.sum()),
            "left_out": texts.left_out,
            **({} if exact is None else _changed(exact, log_p)),
        },
        "settings": {
            "longest": longest,
            "split": texts.split,
            "precision": chosen,
            "text": settings.data.text and list(settings.data.text),
            "label": settings.data.label,
            "limit": limit,
        },
        "seconds": seconds,
        "circumstances": circumstances(device, chosen, seconds, tokens),
        "items": _items(log_p, texts.classes, classifier.config.labels),
    }


def needs_classifier(model: GPT2 | GPT2Classifier) -> GPT2Classifier:
    if isinstance(model, GPT2Classifier):
        return model
    raise UserError(
        "this is a language model, and a classifier is needed",
        way_out="gpt2lab finetune --base MODEL --task labels --data CORPUS --out RUN makes one",
    )


def longest_text(model: GPT2Classifier, settings: Evaluation) -> int:
    """Tokens of a text that are read; what goes beyond is cut off on the right, as in training."""
    wanted = settings.evaluate.context or model.window
    if wanted > model.window:
        raise UserError(f"evaluate.context is {wanted}, and this model can see at most {model.window} tokens")
    return min(wanted, settings.data.max_tokens or wanted)


def in_precision(model: GPT2Classifier, wanted: str) -> GPT2Classifier:
    """The blocks' weights; embeddings and the head stay in fp32."""
    for module in model.transformer.modules():
        if isinstance(module, nn.Linear | nn.LayerNorm):
            module.to(precision.TYPES[wanted])
    return model


def scores(log_p: NDArray[np.float64], true: NDArray[np.int64], names: Sequence[str]) -> dict[str, Any]:
    """Everything that is said of a classifier, from its log-probabilities alone."""
    predicted = log_p.argmax(axis=1)
    matrix = class_metrics.confusion(true, predicted, len(names))
    interval = wilson(int(matrix.trace()), len(true)).as_dict()
    right, nll = int(matrix.trace()), class_metrics.nll(log_p, true)
    return {
        "value": right / len(true),
        "interval": interval,
        "accuracy": right / len(true),
        "accuracy_interval": interval,
        "right": right,
        "macro_f1": class_metrics.macro_f1(matrix),
        "nll": float(nll.mean()),
        "sum_nll": float(nll.sum()),
        "classes": [{"name": name, **found} for name, found in zip(names, class_metrics.of_classes(matrix))],
        "confusion": matrix.tolist(),
        "calibration": class_metrics.calibration(log_p, true),
    }


def _changed(exact: NDArray[np.float64], rounded: NDArray[np.float64]) -> dict[str, Any]:
    """How many answers are others than in fp32, of the first so many texts."""
    others = exact.argmax(axis=1) != rounded[: len(exact)].argmax(axis=1)
    return {"changed_by_precision": {"texts": len(exact), "changed": int(others.sum())}}


def _classified(
    model: GPT2Classifier, texts: LabelledTexts, token_budget: int | None
) -> tuple[NDArray[np.float64], int]:
    tokens, found = 0, []

    def ids() -> Any:
        nonlocal tokens
        for number in range(len(texts)):
            read = texts.ids_of(number)
            tokens += len(read)
            yield read

    with console.progress("labels", len(texts), "texts") as progress:
        for log_p in log_probabilities(model, ids(), token_budget):
            found.append(log_p)
            progress.advance()
    return np.array(found), tokens


def _items(log_p: NDArray[np.float64], true: NDArray[np.int64], names: Sequence[str]) -> list[dict[str, Any]]:
    return [
        {
            "item": number,
            "label": names[label],
            "predicted": names[int(row.argmax())],
            "right": bool(row.argmax() == label),
            "nll": float(-row[label]),
            "probabilities": dict(zip(names, np.exp(row).tolist())),
        }
        for number, (row, label) in enumerate(zip(log_p, true.tolist()))
    ]


def _say_what_is_missing(texts: LabelledTexts, longest: int, names: Sequence[str]) -> None:
    if absent := [name for number, name in enumerate(names) if number not in texts.classes]:
        named = ", ".join(absent[:NAMED]) + (", …" if len(absent) > NAMED else "")
        console.warn(f"no text of {len(absent)} of the model's {len(names)} classes here: {named}")
    if truncated := int(texts.cut.sum()):
        console.warn(f"{console.counted(truncated, 'text')} of {len(texts):,} are cut to {longest} tokens")
    for reason, found in texts.left_out.items():
        console.warn(f"{console.counted(found['count'], 'row')} left out: {reason}, first {found['places'][0]}")
