"""Causal attention over texts of unequal length at once, by plain products, group after group of like length.

One gather takes queries, keys and values out of the tokens and lays them head by head; one takes what was seen back.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from gpt2lab.model.attention import KEPT_PER_BLOCK, blocks, seen, way_back


@dataclass(frozen=True)
class ByHead:
    """Where the heads of a group's tokens stand in its rows, and the other way round."""

    source: Tensor  # for each place of (3, rows, heads, length) what stands there, of (tokens, 3, heads)
    slots: Tensor  # for each of (tokens, heads) its place in (rows, heads, length)
    parts: Tensor  # for each of (tokens, 3, heads) its place in (3, rows, heads, length)
    shape: tuple[int, int, int]


def by_head(source: Tensor, slots: Tensor, shape: tuple[int, int], heads: int) -> ByHead:
    """From which token stands at each place of the rows, and where each token stands."""
    rows, length = shape
    part, head = torch.arange(3), torch.arange(heads)
    source_3BHL = (source.view(rows, 1, length) * 3 + part[:, None, None, None]) * heads + head[:, None]
    slots_NH = ((slots // length)[:, None] * heads + head) * length + (slots % length)[:, None]
    parts_N3H = slots_NH[:, None] + part[:, None] * (rows * heads * length)
    return ByHead(source_3BHL.flatten(), slots_NH.flatten(), parts_N3H.flatten(), (rows, heads, length))


def text_attention(qkv_NC: Tensor, heads: int, groups: Sequence[ByHead], dropout: float, scale: float) -> Tensor:
    """The groups' tokens stand one behind the other; what comes after them belongs to no text, and is zero."""
    return _Texts.apply(qkv_NC, heads, groups, dropout, scale)


class _Texts(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, qkv_NC: Tensor, heads: int, groups: Sequence[ByHead], dropout: float, scale: float) -> Tensor:
        parts_NHD = qkv_NC.unflatten(1, (3 * heads, -1))
        y_NHD = qkv_NC.new_zeros(len(qkv_NC), heads, parts_NHD.shape[2])
        saved = []
        for group, here in _spans(groups):
            qkv = parts_NHD[here].flatten(0, 1).index_select(0, group.source).unflatten(0, (3, *group.shape))
            y_BHTD = torch.empty_like(qkv[0])
            q, k, v = qkv.flatten(1, 2)
            saved += [qkv, *seen(q, k, v, y_BHTD, dropout, scale)]
            torch.index_select(y_BHTD.flatten(0, 2), 0, group.slots, out=y_NHD[here].flatten(0, 1))
        ctx.heads, ctx.groups, ctx.dropout, ctx.scale = heads, groups, dropout, scale
        ctx.save_for_backward(*saved)
        return y_NHD.flatten(1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_NC: Tensor) -> tuple[Tensor, None, None, None, None]:  # pyrefly: ignore[bad-override]
        grad_NHD = grad_NC.unflatten(1, (ctx.heads, -1))
        found_NHD = grad_NC.new_zeros(len(grad_NC), 3 * ctx.heads, grad_NHD.shape[2])
        saved = iter(ctx.saved_tensors)
        for group, here in _spans(ctx.groups):
            q, k, v = qkv = next(saved).flatten(1, 2)
            kept = list(islice(saved, KEPT_PER_BLOCK * len(blocks(group.shape[2]))))
            grad = torch.zeros_like(q)  # padding has none
            grad.flatten(0, 1).index_copy_(0, group.slots, grad_NHD[here].flatten(0, 1))
            grads = torch.empty_like(qkv)
            way_back(grad, grads, q, k, v, kept, ctx.dropout, ctx.scale)
            torch.index_select(grads.flatten(0, 2), 0, group.parts, out=found_NHD[here].flatten(0, 1))
        return found_NHD.flatten(1), None, None, None, None


def _spans(groups: Sequence[ByHead]) -> Iterator[tuple[ByHead, slice]]:
    """Each group, and which of the tokens are its own."""
    start = 0
    for group in groups:
        stop = start + len(group.slots) // group.shape[1]
        yield group, slice(start, stop)
        start = stop
