"""Dropout whose random numbers cost little on a CPU, where PyTorch draws a whole one for each element.

Sixteen bits decide about an element: a rate is met to within 1/131,072.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

BITS = 16


def dropout(x: Tensor, rate: float, training: bool) -> Tensor:
    if x.device.type != "cpu" or torch.compiler.is_compiling() or not training or not 0 < rate < 1:
        return F.dropout(x, rate, training)
    return _Dropout.apply(x, rate)


def draw(shape: torch.Size) -> Tensor:
    """Sixteen random bits for each element, of the CPU's own random numbers."""
    drawn = torch.empty(-(-shape.numel() * BITS // 64), dtype=torch.int64).random_(-(2**63), None)
    return drawn.view(torch.int16)[: shape.numel()].view(shape)


def without(x: Tensor, bits: Tensor, rate: float) -> Tensor:
    """`x` with zeros where the bits say so, and nothing scaled."""
    stays = torch.ge(bits, round(rate * 2**BITS) - 2 ** (BITS - 1), out=torch.empty_like(x))
    return stays.mul_(x)


class _Dropout(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, rate: float) -> Tensor:
        ctx.rate = rate
        bits = draw(x.shape)
        ctx.save_for_backward(bits)
        return without(x, bits, rate).div_(1 - rate)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:  # pyrefly: ignore[bad-override]
        (bits,) = ctx.saved_tensors
        return without(grad, bits, ctx.rate).div_(1 - ctx.rate), None
