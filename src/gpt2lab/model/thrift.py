"""A linear layer behind something cheap, such as a norm or an activation, whose output is not kept for the way back.

It is made again there, from its input, which is kept anyway. Of the 16 widths a token that a block of GPT-2 would keep
this saves 6. Where few tokens pass at once they weigh little beside the weights, and a CPU keeps all.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from gpt2lab.model.linear import Linear, multiply

KEPT_UP_TO = 1536  # tokens

Cheap = Callable[[Tensor], Tensor]


def linear_after(cheap: Cheap, x: Tensor, linear: nn.Module) -> Tensor:
    """`linear(cheap(x))`. Adapters, frozen layers and autocast take the plain path; a compiler does this by itself."""
    thrifty = type(linear) is Linear and linear.weight.requires_grad and torch.is_grad_enabled()
    few = x.device.type == "cpu" and x.shape[:-1].numel() <= KEPT_UP_TO
    if not thrifty or few or torch.compiler.is_compiling() or torch.is_autocast_enabled(x.device.type):
        return linear(cheap(x))
    return _LinearAfter.apply(cheap, x, linear.weight, linear.bias, *_moving(cheap))


def _moving(cheap: Cheap) -> list[nn.Parameter]:
    return [p for p in cheap.parameters() if p.requires_grad] if isinstance(cheap, nn.Module) else []


class _LinearAfter(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, cheap: Cheap, x: Tensor, weight: Tensor, bias: Tensor | None, *_moving: Tensor) -> Tensor:
        ctx.cheap = cheap
        ctx.save_for_backward(x, weight)
        return multiply(cheap(x), weight, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:  # pyrefly: ignore[bad-override]
        x, weight = ctx.saved_tensors
        _, wants_x, _, wants_bias, *_ = ctx.needs_input_grad
        with torch.enable_grad():
            x = x.detach().requires_grad_(wants_x)
            inside = ctx.cheap(x)
        rows = grad.flatten(0, -2)
        grad_weight = rows.t() @ inside.detach().flatten(0, -2)
        grad_bias = rows.sum(0) if wants_bias else None
        sources = [*([x] if wants_x else []), *_moving(ctx.cheap)]
        found = list(torch.autograd.grad(inside, sources, multiply(grad, weight.t()))) if sources else []
        grad_x = found.pop(0) if wants_x else None
        return None, grad_x, grad_weight, grad_bias, *found
