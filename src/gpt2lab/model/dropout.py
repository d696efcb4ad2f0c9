"""Dropout whose random numbers cost little on a CPU, where PyTorch draws a whole one for each element.

Sixteen bits decide about an element, so a rate is met to within 1/131,072. They are read as a bf16 number: an element
stays where it is above a threshold, which PyTorch compares and takes in one pass.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

PATTERNS = 2**16
MOST = 0.99  # above lie infinity and what is no number, which no threshold leaves out


def dropout(x: Tensor, rate: float, training: bool) -> Tensor:
    return _Dropout.apply(x, rate) if training and _ours(x, rate) else F.dropout(x, rate, training)


def add_dropped(x: Tensor, y: Tensor, rate: float, training: bool) -> Tensor:
    """`x + dropout(y)`."""
    return _AddDropped.apply(x, y, rate) if training and _ours(y, rate) else x + F.dropout(y, rate, training)


def drops(rate: float) -> bool:
    """Whether a share is left out that `without` can meet."""
    return 0 < rate <= MOST and not torch.compiler.is_compiling()


def draw(shape: torch.Size) -> Tensor:
    """Sixteen random bits for each element, read as bf16. One number of PyTorch's own says which."""
    start = int(torch.empty((), dtype=torch.int64, device="cpu").random_())
    drawn = np.random.SFC64(start).random_raw(1 + shape.numel() // 4)
    return torch.from_numpy(drawn).view(torch.bfloat16)[: shape.numel()].view(shape)


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
    def forward(ctx: Any, x: Tensor, rate: float) -> Tensor:
        noise = draw(x.shape)
        ctx.rate = rate
        ctx.save_for_backward(noise)
        return without(x, noise, rate).div_(1 - rate)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:  # pyrefly: ignore[bad-override]
        (noise,) = ctx.saved_tensors
        return without(grad, noise, ctx.rate).div_(1 - ctx.rate), None


class _AddDropped(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, y: Tensor, rate: float) -> Tensor:
        noise = draw(y.shape)
        ctx.rate = rate
        ctx.save_for_backward(noise)
        return torch.add(x, without(y, noise, rate), alpha=1 / (1 - rate))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None]:  # pyrefly: ignore[bad-override]
        (noise,) = ctx.saved_tensors
        return grad, without(grad, noise, ctx.rate).div_(1 - ctx.rate), None
