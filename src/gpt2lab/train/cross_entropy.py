"""The head and its loss in one go: logits exist a few rows at a time, and their gradients are made on the way.

Full logits of 64 × 1024 tokens take 13 GB in fp32, and as much again for each of the copies that a plain
cross-entropy keeps for the way back.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from gpt2lab.model.linear import multiply

CHUNK_BYTES = {"cpu": 128e6, "cuda": 2e9}  # of fp32 logits: big enough to multiply fast


def summed_nll(x_NC: Tensor, weight_VC: Tensor, bias_V: Tensor | None, targets_N: Tensor) -> Tensor:
    """−Σ log p(target) over the rows that have a target, as fp32; `bias_V` hides ids that only pad the vocabulary."""
    if torch.is_autocast_enabled(x_NC.device.type):
        x_NC = x_NC.to(torch.get_autocast_dtype(x_NC.device.type))
    return _HeadAndLoss.apply(x_NC, weight_VC, bias_V, targets_N)


def chunk_rows(vocabulary: int, device: torch.device) -> int:
    return max(1, int(CHUNK_BYTES.get(device.type, 2e9) / (4 * vocabulary)))


@torch.no_grad()
def token_nll(x_NC: Tensor, weight_VC: Tensor, bias_V: Tensor | None, targets_N: Tensor) -> Tensor:
    """−log p(target) of each row, as fp32."""
    weight, bias = weight_VC.to(x_NC.dtype), None if bias_V is None else bias_V.to(x_NC.dtype)
    size = chunk_rows(len(weight_VC), x_NC.device)
    found = [torch.empty(0, device=x_NC.device)]
    for x, targets in zip(x_NC.split(size), targets_N.split(size)):
        logits = multiply(x, weight, bias)
        found.append(F.cross_entropy(logits.float(), targets, reduction="none"))
    return torch.cat(found)


class _HeadAndLoss(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x_NC: Tensor, weight_VC: Tensor, bias_V: Tensor | None, targets_N: Tensor) -> Tensor:
        wants_x, wants_weight = ctx.needs_input_grad[:2]
        weight = weight_VC.to(x_NC.dtype)
        bias = None if bias_V is None else bias_V.to(x_NC.dtype)
        total = torch.zeros((), dtype=torch.float32, device=x_NC.device)
        grad_x = torch.empty_like(x_NC) if wants_x else None
        grad_weight = torch.zeros_like(weight_VC) if wants_weight else None
        size = chunk_rows(len(weight_VC), x_NC.device)
        for start in range(0, len(x_NC), size):
            rows = slice(start, start + size)
            scored = targets_N[rows, None] >= 0
            nll, gradient = _chunk(x_NC[rows], weight, bias, targets_N[rows, None].clamp(min=0))
            total += (nll * scored).sum()
            if not (wants_x or wants_weight):
                continue
            if grad_x is not None:
                grad_x[rows] = multiply(gradient, weight.t())
                grad_x[rows] *= scored
            if grad_weight is not None:
                _add_product(grad_weight, gradient.t(), x_NC[rows] * scored)
            del gradient  # before the next chunk is made
        ctx.save_for_backward(grad_x, grad_weight)
        return total

    @staticmethod
    @once_differentiable
    def backward(  # pyrefly: ignore[bad-override]
        ctx: Any, grad_total: Tensor
    ) -> tuple[Tensor | None, Tensor | None, None, None]:
        grad_x, grad_weight = ctx.saved_tensors
        return (
            None if grad_x is None else grad_x.mul_(grad_total),
            None if grad_weight is None else grad_weight.mul_(grad_total),
            None,
            None,
        )


def _chunk(x_NC: Tensor, weight: Tensor, bias: Tensor | None, targets_N1: Tensor) -> tuple[Tensor, Tensor]:
    """−log p(target) of a few rows, and its gradient in their logits; all else that is large is gone on return."""
    log_p = torch.log_softmax(multiply(x_NC, weight, bias), dim=-1, dtype=torch.float32)
    nll = -log_p.gather(1, targets_N1)
    gradient = log_p.exp_().scatter_add_(1, targets_N1, torch.full_like(nll, -1.0))
    return nll, gradient.to(x_NC.dtype)


def _add_product(total: Tensor, left: Tensor, right: Tensor) -> None:
    if total.dtype == left.dtype:
        total.addmm_(left, right)
    elif left.dtype == torch.float16 and left.device.type == "cuda" and not torch.compiler.is_compiling():
        total += torch.mm(left, right, out_dtype=total.dtype)  # a sum over many targets alike may not fit into fp16
    else:
        total += left @ right
