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

A = torch.tensor(math.sqrt(8 / math.pi))
B = 0.044715 * A.item()
PIECE = 2**18  # numbers; half and twice as many are as fast


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
    room = torch.empty(4, min(PIECE, x.numel()))
    for x_piece, y_piece, slope_piece in zip(*(every.view(-1).split(PIECE) for every in (x, y, slope))):
        number, square, share, value = room[:, : len(x_piece)]
        number.copy_(x_piece)
        torch.mul(number, number, out=square)
        torch.add(A, square, alpha=B, out=share).mul_(number).sigmoid_()
        y_piece.copy_(torch.mul(number, share, out=value))
        value.addcmul_(value, share, value=-1)
        slope_piece.copy_(torch.add(A, square, alpha=3 * B, out=square).mul_(value).add_(share))
    return y, slope
