"""Perplexity under named protocols: exp(ΣNLL / Σtokens), one division at the end, never a mean of means."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from gpt2lab.core import console
from gpt2lab.core.errors import UserError
from gpt2lab.measure.records import circumstances
from gpt2lab.measure.settings import EvaluateSettings
from gpt2lab.model.gpt2 import GPT2, check_ids
from gpt2lab.text.batches import UNSCORED, Blocks
from gpt2lab.text.corpus import Split
from gpt2lab.train.objectives import token_losses
from gpt2lab.train.validation import summed_loss


@dataclass(frozen=True)
class Window:
    """Tokens [start, stop) pass through the model; targets from `first` on are scored."""

    start: int
    stop: int
    first: int


def windows(tokens: int, context: int, stride: int) -> list[Window]:
    """Every token but the first is scored once, by the first window that reaches it."""
    step = min(stride, context - 1)
    found, scored = [], 1
    while scored < tokens:
        start = len(found) * step
        stop = min(start + context, tokens)
        found.append(Window(start, stop, max(scored, start + 1)))
        scored = stop
    return found


@torch.inference_mode()
def token_window(model: GPT2, ids: NDArray[np.int64], settings: EvaluateSettings) -> dict[str, Any]:
    if len(ids) < 2:
        raise UserError(
            f"the text has {console.counted(len(ids), 'token')}, and perplexity needs at least 2",
            way_out="use a longer text",
        )
    check_ids(torch.from_numpy(ids), model.config)
    context = context_for(model, settings)
    stride = settings.stride or max(1, context // 2)
    plan = windows(len(ids), context, stride)
    device = next(model.parameters()).device
    total, scored, begin = 0.0, 0, time.perf_counter()
    with console.progress("perplexity", len(ids) - 1, "tokens") as progress:
        for start in range(0, len(plan), settings.batch):
            inputs, targets = _as_batch(ids, plan[start : start + settings.batch])
            losses = token_losses(model, inputs.to(device), targets.to(device)).cpu().double()
            total, scored = total + losses.sum().item(), scored + len(losses)
            progress.advance(len(losses))
    assert scored == len(ids) - 1
    return _result(
        "perplexity/token-window@1",
        total,
        scored,
        {"context": context, "stride": stride, "start_token": None},
        circumstances(device, "fp32", time.perf_counter() - begin, scored),
    )


def context_for(model: GPT2, settings: EvaluateSettings) -> int:
    wanted, most = settings.context or model.config.context, model.config.context
    if not 2 <= wanted <= most:
        raise UserError(f"evaluate.context is {wanted}, and this model can see 2 to {most} tokens")
    return wanted


def blocks(model: GPT2, split: Split, block: int) -> dict[str, Any]:
    rows = Blocks(split, block)
    begin = time.perf_counter()
    total, scored = summed_loss(model, rows)
    device = next(model.parameters()).device
    return _result(
        "perplexity/blocks@1",
        total,
        scored,
        {"block": block, "split": split.name},
        circumstances(device, "fp32", time.perf_counter() - begin, scored),
    )


def _as_batch(ids: NDArray[np.int64], part: list[Window]) -> tuple[torch.Tensor, torch.Tensor]:
    width = max(window.stop - window.start for window in part) - 1
    inputs = np.zeros((len(part), width), np.int64)
    targets = np.full((len(part), width), UNSCORED, np.int64)
    for row, window in enumerate(part):
        length = window.stop - window.start - 1
        inputs[row, :length] = ids[window.start : window.stop - 1]
        targets[row, window.first - window.start - 1 : length] = ids[window.first : window.stop]
    return torch.from_numpy(inputs), torch.from_numpy(targets)


def _result(
    protocol: str, total: float, scored: int, settings: dict[str, Any], measured: dict[str, Any]
) -> dict[str, Any]:
    return {
        "protocol": protocol,
        "value": math.exp(total / scored),
        "interval": None,
        "interval_note": "not computed by this version",
        "counts": {"tokens_scored": scored},
        "sum_nll": total,
        "settings": settings,
        "seconds": measured["seconds"],
        "circumstances": measured,
    }
