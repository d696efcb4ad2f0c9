"""Perplexity under named protocols: exp(ΣNLL / Σtokens), one division at the end, never a mean of means."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from gpt2lab.core import console
from gpt2lab.core.errors import Failed, UserError
from gpt2lab.measure import intervals, plans, precision
from gpt2lab.measure.likelihood import DAMAGED, Question, score
from gpt2lab.measure.plans import Plan
from gpt2lab.measure.records import circumstances
from gpt2lab.measure.settings import EvaluateSettings, Evaluation
from gpt2lab.measure.streams import Stream, owners
from gpt2lab.measure.windows import Window
from gpt2lab.model.gpt2 import GPT2, check_ids
from gpt2lab.text.batches import Integers
from gpt2lab.text.corpus import Split
from gpt2lab.train.processes import ALONE, Team

TOKENS_IN_MEMORY = 4_000_000  # of windows that are asked together
SEED = 0  # of the intervals
MOST_NATS = 700  # whose exponential is still a number

Transform = Literal["exp", "none"]


@dataclass(frozen=True)
class Sums:
    """What was added up, a number a document."""

    nll: NDArray[np.float64]
    weights: NDArray[np.float64]  # what the scored tokens count together: their number, but for huggingface's windows
    tokens: Integers

    def of(self, documents: NDArray[np.intp]) -> Sums:
        return Sums(self.nll[documents], self.weights[documents], self.tokens[documents])


def measure(model: GPT2, plan: Plan, *, token_budget: int | None = None, team: Team = ALONE) -> dict[str, Any]:
    """The body of a record; its items are documents."""
    begin = time.perf_counter()
    sums = sums_by_document(model, plan, token_budget=token_budget, team=team)
    seconds = time.perf_counter() - begin
    scored = int(sums.tokens.sum())
    there = np.flatnonzero(sums.tokens)  # a document of one token that begins a stream has none that is scored
    if not len(there):
        raise UserError("no token was scored", way_out="use a longer text")
    sizes = {what: values[there] for what, values in plan.sizes.items()}
    device = model.transformer.wte.weight.device
    return {
        "protocol": plan.protocol,
        **_ratio(*_parts(plan.per, sums.of(there), sizes)),
        "counts": {
            "documents": len(there),
            "tokens_scored": scored,
            **{what: int(values.sum()) for what, values in sizes.items()},
            "left_out": plan.left_out,
        },
        "sum_nll": float(sums.nll.sum()),
        "sum_weights": float(sums.weights.sum()),
        **_also(plan.per, sums.of(there), sizes),
        "settings": {**plan.settings, "precision": precision.of(model)},
        "seed": SEED,
        "seconds": seconds,
        "circumstances": circumstances(device, precision.of(model), seconds, scored),
        "items": _items(sums, sizes, there),
    }


def sums_by_document(model: GPT2, plan: Plan, *, token_budget: int | None = None, team: Team = ALONE) -> Sums:
    starts = np.asarray(plan.stream.starts)
    nll, weights = np.zeros(len(starts)), np.zeros(len(starts))
    tokens = np.zeros(len(starts), np.int64)
    count = sum(1 for _ in plan.windows())
    with console.progress(plan.protocol, count, "windows") as progress:
        for together in _some(plan.windows()):
            questions = [_question(plan, window, model) for window in together]
            answers = score(model, questions, token_budget=token_budget, team=team, progress=progress)
            for window, (answer,) in zip(together, answers):
                assert not answer.truncated
                document = owners(starts, np.arange(window.first, window.stop))
                np.subtract.at(nll, document, window.weight * answer.log_likelihoods)
                np.add.at(weights, document, window.weight)
                np.add.at(tokens, document, 1)
    return Sums(nll, weights, tokens)


def token_window(model: GPT2, ids: Integers, settings: EvaluateSettings) -> dict[str, Any]:
    """Of a stream of tokens that is one document."""
    stream = Stream(ids, np.zeros(1, np.int64))
    plan = plans.token_window(stream, model.window, Evaluation(evaluate=settings))
    return measure(model, plan, token_budget=settings.token_budget)


def blocks(model: GPT2, split: Split, block: int) -> dict[str, Any]:
    """Of a corpus' split, as training validates."""
    about = {"split": split.name, "max_tokens": None, "limit": None}
    return measure(model, plans.blocks(split, block, about))


def _some(windows: Iterator[Window]) -> Iterator[list[Window]]:
    """As many as fit into memory together; the first tells how long they are."""
    for first in windows:
        size = max(1, TOKENS_IN_MEMORY // (first.stop - first.start))
        yield [first, *islice(windows, size - 1)]


def _question(plan: Plan, window: Window, model: GPT2) -> Question:
    ids = plan.stream.read(window.start, window.stop)
    check_ids(torch.from_numpy(ids), model.config, f"token {window.start:,} and after it")
    border = window.first - window.start
    return Question(ids[:border], [ids[border:]])


def point(plan: Plan, sums: Sums) -> float:
    """The value alone, without its interval: exp(ΣNLL / Σ), or bits a byte."""
    numerators, denominators, transform = _parts(plan.per, sums, plan.sizes)
    ratio = float(numerators.sum() / denominators.sum())
    return math.exp(min(ratio, MOST_NATS)) if transform == "exp" else ratio


def _parts(per: str, sums: Sums, sizes: dict[str, Integers]) -> tuple[NDArray[Any], NDArray[Any], Transform]:
    """What is divided by what, and what becomes of it."""
    if per == "bytes":
        return sums.nll / math.log(2), sizes["bytes"], "none"
    return sums.nll, sizes["words"] if per == "words" else sums.weights, "exp"


def _also(per: str, sums: Sums, sizes: dict[str, Integers]) -> dict[str, Any]:
    """What the same sums give divided by something else."""
    found = {}
    if per != "tokens":
        found["perplexity_of_tokens"] = _ratio(sums.nll, sums.weights, "exp")
    if per == "words":
        found["byte_perplexity"] = _ratio(sums.nll, sizes["bytes"], "exp")
        found["bits_per_byte"] = _ratio(sums.nll / math.log(2), sizes["bytes"], "none")
    return {"also": found} if found else {}


def _ratio(numerators: NDArray[Any], denominators: NDArray[Any], transform: Transform) -> dict[str, Any]:
    ratio = float(numerators.sum() / denominators.sum())
    if ratio >= MOST_NATS:
        raise Failed(f"the mean negative log-likelihood is {ratio:g}, which has no perplexity", way_out=DAMAGED)
    interval, note = intervals.of_ratio(numerators, denominators.astype(np.float64), transform=transform, seed=SEED)
    return {
        "value": math.exp(ratio) if transform == "exp" else ratio,
        "interval": interval and interval.as_dict(),
        "interval_note": note,
    }


def _items(sums: Sums, sizes: dict[str, Integers], there: NDArray[np.intp]) -> list[dict[str, Any]]:
    """Documents by their number in the data, from 0."""
    return [
        {
            "document": int(document),
            "nll": float(sums.nll[document]),
            "tokens": float(sums.weights[document])
            if sums.weights[document] != sums.tokens[document]
            else int(sums.tokens[document]),
            **{what: int(values[place]) for what, values in sizes.items()},
        }
        for place, document in enumerate(there)
    ]
