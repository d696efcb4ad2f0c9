"""Dropout whose random numbers cost little on a CPU, where PyTorch draws a whole one for each element.

Sixteen bits decide about an element, so a rate is met to within 1/131,072. They are read as a bf16 number: an element
stays where it is above a threshold, which PyTorch compares and takes in one pass. To begin a stream of numbers costs as
much as to draw a hundred thousand, so all of a block are of one.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

PATTERNS = 2**16
MOST = 0.99  # above lie infinity and what is no number, which no threshold leaves out


class Noise:
    """A stream of random numbers. One of PyTorch's own says which, once the first are asked for."""

    def __init__(self) -> None:
        self._bits: np.random.SFC64 | None = None

    def take(self, shape: torch.Size) -> Tensor:
        """Sixteen random bits for each element, read as bf16."""
        if self._bits is None:
            self._bits = np.random.SFC64(int(torch.empty((), dtype=torch.int64, device="cpu").random_()))
        drawn = self._bits.random_raw(1 + shape.numel() // 4).view(np.int16)
        return torch.from_numpy(drawn[: shape.numel()].reshape(shape)).view(torch.bfloat16)


class Drop(NamedTuple):
    """Which share is left out, and by which random numbers."""

    rate: float
    noise: Noise

    @classmethod
    def when(cls, training: bool, rate: float, noise: Noise) -> Drop:
        return cls(rate if training else 0.0, noise)


def dropout(x: Tensor, drop: Drop) -> Tensor:
    return _Dropout.apply(x, drop) if _ours(x, drop.rate) else F.dropout(x, drop.rate, drop.rate > 0)


def add_dropped(x: Tensor, y: Tensor, drop: Drop) -> Tensor:
    """`x + dropout(y)`."""
    return _AddDropped.apply(x, y, drop) if _ours(y, drop.rate) else x + F.dropout(y, drop.rate, drop.rate > 0)


def drops(rate: float) -> bool:
    """Whether a share is left out that `without` can meet."""
    return 0 < rate <= MOST and not torch.compiler.is_compiling()


def without(x: Tensor, noise: Tensor, rate: float) -> Tensor:
    """`x` with zeros where the noise says so, and nothing scaled."""
    return torch.ops.aten.threshold_backward(x, noise.to(x.dtype), _threshold(rate))


@lru_cache
def _threshold(rate: float) -> float:
    """What `rate` of all patterns do not exceed."""
    every = torch.arange(PATTERNS, device="cpu").to(torch.int16).view(torch.bfloat16)
    return float(every.float().sort().values[round(rate * PATTERNS) - 1])


def _ours(x: Tensor, rate: float) -> bool:
    return x.device.type == "cpu" and drops(rate)


class _Dropout(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, drop: Drop) -> Tensor:
        noise = drop.noise.take(x.shape)
        ctx.rate = drop.rate
        ctx.save_for_backward(noise)
        return without(x, noise, drop.rate).div_(1 - drop.rate)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:  # pyrefly: ignore[bad-override]
        (noise,) = ctx.saved_tensors
        return without(grad, noise, ctx.rate).div_(1 - ctx.rate), None


class _AddDropped(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, y: Tensor, drop: Drop) -> Tensor:
        noise = drop.noise.take(y.shape)
        ctx.rate = drop.rate
        ctx.save_for_backward(noise)
        return torch.add(x, without(y, noise, drop.rate), alpha=1 / (1 - drop.rate))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None]:  # pyrefly: ignore[bad-override]
        (noise,) = ctx.saved_tensors
        return grad, without(grad, noise, ctx.rate).div_(1 - ctx.rate), None
