"""GPT-2's GELU with its slope in one go on a CPU, where PyTorch's own takes a slow tanh on the way and one more back.

GELU by tanh is x · σ(z) with z = x · (A + B · x²); its slope is σ + x · σ · (1 − σ) · (A + 3 · B · x²). All is computed
in fp32, a piece at a time that stays near the processor; the slope is kept in place of the input.
"""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

A = torch.tensor(math.sqrt(8 / math.pi), dtype=torch.float32, device="cpu")
B = 0.044715 * math.sqrt(8 / math.pi)
ONE = torch.ones_like(A)
PIECE = 2**19  # numbers; half and twice as many are slower


def gelu(x: Tensor) -> Tensor:
    plain = x.device.type != "cpu" or torch.compiler.is_compiling() or not torch.is_grad_enabled()
    if plain or not x.requires_grad or x.dtype not in (torch.float32, torch.bfloat16):
        return F.gelu(x, approximate="tanh")
    return _Gelu.apply(x)


class _Gelu(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        y, slope = _with_slope(x.contiguous())
        ctx.save_for_backward(slope)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> Tensor:  # pyrefly: ignore[bad-override]
        (slope,) = ctx.saved_tensors
        return grad * slope


def _with_slope(x: Tensor) -> tuple[Tensor, Tensor]:
    y, slope = torch.empty_like(x), torch.empty_like(x)
    for pieces in zip(*(every.view(-1).split(PIECE) for every in (x, y, slope))):
        _fill(*pieces)
    return y, slope


def _fill(x: Tensor, y: Tensor, slope: Tensor) -> None:
    exact = x.dtype == torch.float32
    share, *beside = torch.empty(1 if exact else 3, len(x), dtype=torch.float32, device="cpu")
    value, square = (y, slope) if exact else beside
    number = x if exact else value.copy_(x)
    torch.mul(number, number, out=square)
    torch.add(A, square, alpha=B, out=share).mul_(number).sigmoid_()
    torch.mul(number, share, out=value)
    torch.add(A, square, alpha=3 * B, out=square).mul_(value)
    torch.lerp(square, ONE, share, out=square)  # σ + (1 − σ) · square
    if not exact:
        y.copy_(value)
        slope.copy_(square)
