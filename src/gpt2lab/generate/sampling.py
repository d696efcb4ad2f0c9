"""Logits become the next id.

The settings work in transformers' order: repetition penalty, n-grams and ends (see `constraints.py`), then temperature,
top-k, top-p, min-p.

The draw is the largest of logit + noise, with Gumbel noise that is a pure function of seed, prompt, sample, step and
token. So a sample is the same alone and in any batch unless two candidates tie within rounding; and models that are
compared draw alike wherever they think alike, which a draw laid on cumulated probabilities would not.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence

import torch
from torch import Tensor

from gpt2lab.generate.settings import SamplingSettings

Draws = tuple[int, int]
COLD = 1e-30  # below it logits divided by the temperature leave fp32; long before it noise changes nothing
WIDE = 1024  # candidates that nearly always hold the share `top_p`; sorting a whole vocabulary takes milliseconds a row


def draws_for(seed: int, prompt: str, sample: int) -> Draws:
    """The key of one sample's random numbers: the same alone, in any batch, and for every model that is compared."""
    digest = hashlib.sha256(f"{seed}/{sample}/{prompt}".encode("utf-8", "replace")).digest()
    first, second = (int.from_bytes(digest[at : at + 4], "big", signed=True) for at in (0, 4))
    return first, second


def choose(logits_BV: Tensor, settings: SamplingSettings, draws: Sequence[Draws], steps: Sequence[int]) -> Tensor:
    """One id a row."""
    if settings.temperature < COLD:
        return logits_BV.argmax(-1)
    logits_BK, ids_BK = candidates(logits_BV, settings)
    numbers = torch.arange(logits_BK.shape[-1], device=logits_BK.device) if ids_BK is None else ids_BK
    best_B1 = (logits_BK + noise(draws, steps, numbers)).argmax(-1, keepdim=True)
    return (best_B1 if ids_BK is None else ids_BK.gather(-1, best_B1))[:, 0]


def distribution(logits_BV: Tensor, settings: SamplingSettings) -> Tensor:
    """The probabilities that `choose` draws from."""
    if settings.temperature < COLD:
        return torch.zeros_like(logits_BV).scatter(-1, logits_BV.argmax(-1, keepdim=True), 1.0)
    logits_BK, ids_BK = candidates(logits_BV, settings)
    probabilities = logits_BK.softmax(-1)
    return probabilities if ids_BK is None else torch.zeros_like(logits_BV).scatter(-1, ids_BK, probabilities)


def candidates(logits_BV: Tensor, settings: SamplingSettings) -> tuple[Tensor, Tensor | None]:
    """(logits, ids) of what may be drawn, from the likeliest down; or all logits and None where nothing is cut off."""
    logits_BV = logits_BV.float() / settings.temperature
    logits_BK, ids_BK, total_B1 = logits_BV, None, None
    if 0 < settings.top_k < logits_BV.shape[-1]:
        logits_BK, ids_BK = _likeliest(logits_BV, settings.top_k)
        total_B1 = _total(logits_BK)
    elif settings.top_p < 1:
        total_B1 = _total(logits_BV)
        logits_BK, ids_BK = _reaching(logits_BV, settings.top_p, total_B1)
    if settings.top_p < 1 and total_B1 is not None:
        p_BK = (logits_BK - total_B1).exp()
        dropped = _cumulated(p_BK) - p_BK >= settings.top_p
        dropped[:, 0] = False
        logits_BK = logits_BK.masked_fill(dropped, -math.inf)
    if settings.min_p > 0:
        least_B1 = logits_BK.amax(-1, keepdim=True) + math.log(settings.min_p)
        logits_BK = logits_BK.masked_fill(logits_BK < least_B1, -math.inf)
    return logits_BK, ids_BK


def _total(logits: Tensor) -> Tensor:
    """What shares are shares of, as a logarithm; MPS has no double precision."""
    exact = torch.float32 if logits.device.type == "mps" else torch.float64
    return logits.to(exact).logsumexp(-1, keepdim=True)


def _cumulated(p_BK: Tensor) -> Tensor:
    """A GPU refuses to, where algorithms must be deterministic, as in a probe of such a training."""
    if p_BK.device.type == "cuda" and torch.are_deterministic_algorithms_enabled():
        return p_BK.cpu().cumsum(-1).to(p_BK.device)
    return p_BK.cumsum(-1)


def _likeliest(logits_BV: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The `count` likeliest, and whatever ties with the last of them; among equals the lower id comes first."""
    least_B1 = logits_BV.topk(count).values[:, -1:]
    kept = int(((logits_BV >= least_B1) & (logits_BV > -math.inf)).sum(-1).max())
    logits_BK, ids_BK = logits_BV.topk(max(count, kept))
    logits_BK = logits_BK.masked_fill(logits_BK < least_B1, -math.inf)
    ids_BK, order = ids_BK.sort(-1)
    logits_BK, order = logits_BK.gather(-1, order).sort(dim=-1, descending=True, stable=True)
    return logits_BK, ids_BK.gather(-1, order)


def _reaching(logits_BV: Tensor, share: float, total_B1: Tensor) -> tuple[Tensor, Tensor]:
    """Enough of the likeliest to hold this share of the probability."""
    if logits_BV.shape[-1] > WIDE:
        logits_BK, ids_BK = _likeliest(logits_BV, WIDE)
        if bool(((logits_BK - total_B1).exp().sum(-1) > share).all()):
            return logits_BK, ids_BK
    return logits_BV.sort(dim=-1, descending=True, stable=True)


def noise(draws: Sequence[Draws], steps: Sequence[int], ids: Tensor) -> Tensor:
    """Gumbel noise of every row at these ids: of all ids the same for each row, or a row of its own for each."""
    key_B3 = torch.tensor([(*key, step) for key, step in zip(draws, steps)], dtype=torch.int32).to(ids.device)
    first_B1, second_B1, step_B1 = key_B3.split(1, dim=-1)
    here_B1 = _mixed(first_B1 ^ _mixed(step_B1 + second_B1))
    bits_BK = _mixed(_mixed(ids.int() ^ here_B1) + second_B1) & 0x7FFFFFFF
    # 1 − u, so that the small numbers that decide, near u = 1, have all their digits.
    rest_BK = (bits_BK.float() + 0.5).mul_(2.0**-31).clamp_(max=1 - 2.0**-24)
    return rest_BK.neg_().log1p_().neg_().log_().neg_()


def _mixed(x: Tensor) -> Tensor:
    """Every bit of a 32-bit number into every other: xor with shifts, between products with odd constants."""
    x = x ^ ((x >> 16) & 0xFFFF)
    x = x * 0x7FEB352D
    x = x ^ ((x >> 15) & 0x1FFFF)
    x = x * -2073254261  # 0x846CA68B
    return x ^ ((x >> 16) & 0xFFFF)
