"""Logits become the next id."""

from __future__ import annotations

import hashlib
import math

import torch
from torch import Tensor

from gpt2lab.generate.settings import SamplingSettings


def distribution(logits_BV: Tensor, settings: SamplingSettings) -> Tensor:
    """Probabilities after temperature, top-k and top-p, in that order."""
    if settings.temperature == 0:
        return torch.zeros_like(logits_BV).scatter(-1, logits_BV.argmax(-1, keepdim=True), 1.0)
    logits_BV = logits_BV.float() / settings.temperature
    if 0 < settings.top_k < logits_BV.shape[-1]:
        least = logits_BV.topk(settings.top_k).values[..., -1:]
        logits_BV = logits_BV.masked_fill(logits_BV < least, -math.inf)
    if settings.top_p < 1:
        falling, order = logits_BV.sort(descending=True, stable=True)
        before = falling.softmax(-1).cumsum(-1) - falling.softmax(-1)
        dropped = (before >= settings.top_p).index_fill(
            -1, torch.zeros(1, dtype=torch.long, device=order.device), False
        )
        logits_BV = logits_BV.masked_fill(torch.zeros_like(dropped).scatter(-1, order, dropped), -math.inf)
    return logits_BV.softmax(-1)


def draws_for(seed: int, prompt: str, sample: int) -> torch.Generator:
    """The random numbers of one sample: the same alone, in any batch, and for every model that is compared."""
    digest = hashlib.sha256(f"{seed}/{sample}/{prompt}".encode("utf-8", "replace")).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)


def pick(probabilities_BV: Tensor, generators: list[torch.Generator]) -> Tensor:
    """One id a row, by a uniform draw of its own laid on the row's cumulated probabilities."""
    uniform_B = torch.stack([torch.rand((), generator=generator, dtype=torch.float64) for generator in generators])
    cumulated = probabilities_BV.cpu().double().cumsum(-1)
    return torch.searchsorted(cumulated, (uniform_B * cumulated[:, -1])[:, None], right=True)[:, 0].clamp(
        max=probabilities_BV.shape[-1] - 1
    )
