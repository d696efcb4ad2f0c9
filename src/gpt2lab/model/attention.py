"""Causal attention on a CPU in bf16, or with dropout, by plain matrix products over blocks of queries.

PyTorch's fused attention runs far below the rate of bf16 matrix products there, and knows no dropout
(benchmarks/NOTES.md has the figures). A block of queries multiplies with the keys it can see and no others, which saves
nearly half of the work.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from gpt2lab.model.dropout import draw, without

BLOCK = 128  # queries at a time; 256 is as fast, 512 slower
KEPT_UP_TO = 512  # tokens; for longer rows the weights are computed again on the way back, to save their memory


def causal_attention(q_BHTD: Tensor, k_BHTD: Tensor, v_BHTD: Tensor, dropout: float, scale: float) -> Tensor:
    """Scores are rounded to bf16 here, as autocast does: enough to train with, and never used to measure."""
    drops = 0 < dropout < 1 and not torch.compiler.is_compiling()
    ours = drops or (q_BHTD.dtype == torch.bfloat16 and not dropout)
    if ours and torch.is_grad_enabled() and q_BHTD.device.type == "cpu":
        return _ByBlocks.apply(q_BHTD, k_BHTD, v_BHTD, dropout, scale)
    return F.scaled_dot_product_attention(q_BHTD, k_BHTD, v_BHTD, None, dropout, True, scale=scale)


class _ByBlocks(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, q_BHTD: Tensor, k_BHTD: Tensor, v_BHTD: Tensor, dropout: float, scale: float) -> Tensor:
        q, k, v = q_BHTD.flatten(0, 1), k_BHTD.flatten(0, 1), v_BHTD.flatten(0, 1)
        batch, heads, length, width = q_BHTD.shape
        y = q.new_empty(batch, length, heads, width).transpose(1, 2)  # as the next layer takes it, without a copy
        kept, ctx.bits = [], []
        for start, stop in _blocks(q.shape[1]):
            p = _weights(q, k, start, stop, scale)
            if q.shape[1] <= KEPT_UP_TO:
                kept.append(p)
            if dropout:
                ctx.bits.append(draw(p.shape))
                p = without(p, ctx.bits[-1], dropout)
            y[:, :, start:stop] = torch.bmm(p, v[:, :stop]).unflatten(0, (batch, heads))
        ctx.scale, ctx.dropout = scale, dropout
        ctx.save_for_backward(q, k, v, *kept)
        return y.div_(1 - dropout) if dropout else y

    @staticmethod
    @once_differentiable
    def backward(  # pyrefly: ignore[bad-override]
        ctx: Any, grad_BHTD: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, None, None]:
        q, k, v, *kept = ctx.saved_tensors
        grad = (grad_BHTD / (1 - ctx.dropout) if ctx.dropout else grad_BHTD).reshape(q.shape)
        grad_q, grad_k, grad_v = torch.empty_like(q), torch.empty(0), torch.empty(0)
        for index, (start, stop) in reversed(list(enumerate(_blocks(q.shape[1])))):
            p = kept[index] if kept else _weights(q, k, start, stop, ctx.scale)
            grad_block = grad[:, start:stop]
            grad_p = torch.bmm(grad_block, v[:, :stop].mT)
            p_seen = p
            if ctx.dropout:
                grad_p, p_seen = (without(every, ctx.bits[index], ctx.dropout) for every in (grad_p, p))
            grad_s = torch._softmax_backward_data(grad_p, p, -1, p.dtype)
            grad_s *= ctx.scale
            grad_q[:, start:stop] = torch.bmm(grad_s, k[:, :stop])
            to_k, to_v = torch.bmm(grad_s.mT, q[:, start:stop]), torch.bmm(p_seen.mT, grad_block)
            if stop == q.shape[1]:  # the last block sees all keys
                grad_k, grad_v = to_k, to_v
            else:
                grad_k[:, :stop] += to_k
                grad_v[:, :stop] += to_v
        shape = grad_BHTD.shape
        return grad_q.view(shape), grad_k.view(shape), grad_v.view(shape), None, None


def _blocks(length: int) -> Iterator[tuple[int, int]]:
    return ((start, min(start + BLOCK, length)) for start in range(0, length, BLOCK))


def _weights(q: Tensor, k: Tensor, start: int, stop: int, scale: float) -> Tensor:
    """How much each query of the block looks at each key up to its own."""
    hidden = torch.full((stop - start, stop), -math.inf, dtype=q.dtype).triu(start + 1)
    return torch.baddbmm(hidden, q[:, start:stop], k[:, :stop].mT, alpha=scale).softmax(-1)
