"""Causal attention on a CPU in bf16, or with dropout, by plain matrix products over blocks of queries.

PyTorch's fused attention runs far below the rate of bf16 matrix products there, and knows no dropout
(benchmarks/NOTES.md has the figures). A block of queries multiplies with the keys it can see and no others, which saves
nearly half of the work.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from gpt2lab.model.dropout import Drop, drops, without

BLOCK = 128  # queries at a time; 256 is as fast, 512 slower
KEPT_UP_TO = 512  # tokens; for longer rows the weights are computed again on the way back, to save their memory
KEPT_PER_BLOCK = 2  # tensors: weights and noise, or None
FAST_SOFTMAX = 32  # in bf16, for a multiple of so many keys; for others the way over fp32 is twice as fast


def causal_attention(q_BHTD: Tensor, k_BHTD: Tensor, v_BHTD: Tensor, drop: Drop, scale: float) -> Tensor:
    """Scores are rounded to bf16 here, as autocast does: enough to train with, and never used to measure."""
    if by_blocks(q_BHTD, drop.rate):
        return _ByBlocks.apply(q_BHTD, k_BHTD, v_BHTD, drop, scale)
    return F.scaled_dot_product_attention(q_BHTD, k_BHTD, v_BHTD, None, drop.rate, True, scale=scale)


def by_blocks(x: Tensor, dropout: float) -> bool:
    """Whether plain products are the way for such numbers."""
    ours = drops(dropout) or (x.dtype == torch.bfloat16 and not dropout)
    return ours and torch.is_grad_enabled() and x.device.type == "cpu"


class _ByBlocks(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, q_BHTD: Tensor, k_BHTD: Tensor, v_BHTD: Tensor, drop: Drop, scale: float) -> Tensor:
        batch, heads, length, width = q_BHTD.shape
        q, k, v = q_BHTD.flatten(0, 1), k_BHTD.flatten(0, 1), v_BHTD.flatten(0, 1)
        y_BHTD = q.new_empty(batch, length, heads, width).transpose(1, 2)  # as the next layer takes it, without a copy
        kept = seen(q, k, v, y_BHTD, drop, scale)
        ctx.dropout, ctx.scale = drop.rate, scale
        ctx.save_for_backward(q, k, v, *kept)
        return y_BHTD

    @staticmethod
    @once_differentiable
    def backward(  # pyrefly: ignore[bad-override]
        ctx: Any, grad_BHTD: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, None, None]:
        q, k, v, *kept = ctx.saved_tensors
        grads = q.new_empty(3, *q.shape)
        way_back(grad_BHTD.reshape(q.shape), list(grads), q, k, v, kept, ctx.dropout, ctx.scale)
        grad_q, grad_k, grad_v = grads.unflatten(1, grad_BHTD.shape[:2])
        return grad_q, grad_k, grad_v, None, None


def seen(q: Tensor, k: Tensor, v: Tensor, y: Tensor, drop: Drop, scale: float) -> list[Tensor | None]:
    """Fills `y` with what each query of (B·H, T, D) sees. For the way back: weights and noise of blocks."""
    kept = []
    for start, stop in blocks(q.shape[1]):
        p = _weights(q, k, start, stop, scale)
        kept += [p if q.shape[1] <= KEPT_UP_TO else None, drop.noise.take(p.shape) if drop.rate else None]
        if drop.rate:
            p = without(p, kept[-1], drop.rate)
        _product(p, _part(v, 0, stop), _part(y, start, stop), 1 / (1 - drop.rate))
    return kept


def way_back(
    grad: Tensor,
    grads: Sequence[Tensor],
    q: Tensor,
    k: Tensor,
    v: Tensor,
    kept: list[Tensor | None],
    dropout: float,
    scale: float,
) -> None:
    """Fills `grads` with the gradients of queries, keys and values, from that of what was seen."""
    grad_q, grad_k, grad_v = grads
    stays = 1 / (1 - dropout)
    for start, stop in reversed(blocks(q.shape[1])):
        noise, p = kept.pop(), kept.pop()
        if p is None:
            p = _weights(q, k, start, stop, scale)
        grad_block, p_seen = _part(grad, start, stop), p
        grad_p = _scaled(grad_block, _part(v, 0, stop).mT, stays)
        if noise is not None:
            noise = noise.to(p.dtype)
            grad_p, p_seen = (without(every, noise, dropout) for every in (grad_p, p))
        grad_s = torch._softmax_backward_data(grad_p, p, -1, p.dtype)
        _product(grad_s, _part(k, 0, stop), _part(grad_q, start, stop), scale)
        if stop == q.shape[1]:  # the last block sees all keys
            _product(grad_s.mT, _part(q, start, stop), grad_k, scale)
            _product(p_seen.mT, grad_block, grad_v, stays)
        else:
            grad_k[:, :stop] += _scaled(grad_s.mT, q[:, start:stop], scale)
            grad_v[:, :stop] += _scaled(p_seen.mT, grad_block, stays)


def _part(x: Tensor, start: int, stop: int) -> Tensor:
    """Of these places. Of all it is what it was: a view costs as much as a small product."""
    return x if stop - start == x.shape[-2] else x[..., start:stop, :]


def _product(a: Tensor, b: Tensor, into: Tensor, scale: float = 1.0) -> None:
    """Matrices one by one, (B·H, T, D); the place for them may be laid out as the next layer likes it."""
    if into.dim() == 3 and into.is_contiguous():
        _scaled(a, b, scale, out=into)
    else:
        into.copy_(_scaled(a, b, scale).view(into.shape))


def _scaled(a: Tensor, b: Tensor, scale: float, out: Tensor | None = None) -> Tensor:
    into = a.new_empty(len(a), a.shape[1], b.shape[2]) if out is None else out
    return torch.baddbmm(into, a, b, beta=0, alpha=scale, out=into)


def blocks(length: int) -> list[tuple[int, int]]:
    return [(start, min(start + BLOCK, length)) for start in range(0, length, BLOCK)]


def _weights(q: Tensor, k: Tensor, start: int, stop: int, scale: float) -> Tensor:
    """How much each query of the block looks at each key up to its own."""
    hidden = (_hidden if torch.compiler.is_compiling() else _kept_hidden)(start, stop, q.dtype)
    scores = torch.baddbmm(hidden, _part(q, start, stop), _part(k, 0, stop).mT, alpha=scale)
    if q.dtype != torch.bfloat16 or stop % FAST_SOFTMAX == 0:
        return scores.softmax(-1)
    return scores.softmax(-1, dtype=torch.float32).bfloat16()


def _hidden(start: int, stop: int, dtype: torch.dtype) -> Tensor:
    """What is added to scores: −∞ for keys that come after a query."""
    return torch.full((stop - start, stop), -math.inf, dtype=dtype, device="cpu").triu(start + 1)


_kept_hidden = lru_cache(64)(_hidden)
