"""Causal attention over texts of unequal length at once, by plain products, group after group of like length.

One gather takes queries, keys and values of all groups out of the tokens and lays them head by head; one takes what was
seen back. Padding asks and is asked like the first token; nobody reads what it saw, and its gradient is zero.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from gpt2lab.model.attention import KEPT_PER_BLOCK, blocks, seen, way_back
from gpt2lab.model.dropout import Drop


@dataclass(frozen=True)
class ByHead:
    """Where the heads of all groups' tokens stand in the groups' rows, and the other way round."""

    sources: Tensor  # for each place of the groups' (3, rows, heads, length) one of (tokens, 3, heads)
    seers: Tensor  # for each place of the groups' (rows, heads, length) one of (tokens, heads), or nothing
    slots: Tensor  # for each of (tokens, heads) its place in the groups' (rows, heads, length), or nothing
    parts: Tensor  # for each of (tokens, 3, heads) its place in the groups' (3, rows, heads, length), or nothing
    shapes: tuple[tuple[int, int], ...]  # of each group: its rows' heads, and their length

    def groups(self, x: Tensor, parts: int) -> list[list[Tensor]]:
        """Each group's parts, (rows · heads, length, D)."""
        sizes = [rows * length for rows, length in self.shapes for _ in range(parts)]
        found = iter(x[: sum(sizes)].split(sizes) if sizes else ())
        return [[next(found).view(rows, length, -1) for _ in range(parts)] for rows, length in self.shapes]


def by_head(groups: Sequence[tuple[Tensor, tuple[int, int]]], tokens: int, heads: int) -> ByHead:
    """From each group's slots, where its tokens stand in (rows, length); what comes after these is of no text."""
    head, part = torch.arange(heads), torch.arange(3)[:, None]
    slots, parts, place = [], [], 0
    for slots_N, (rows, length) in groups:
        slots_NH = place + (slots_N // length * (heads * length) + slots_N % length)[:, None] + head * length
        slots.append(slots_NH)
        parts.append(2 * place + slots_NH[:, None] + part * (rows * heads * length))
        place += rows * heads * length
    of_no_text = tokens - sum(map(len, slots))
    slots_M = torch.cat([*slots, torch.full((of_no_text, heads), place)]).flatten()
    parts_M = torch.cat([*parts, torch.full((of_no_text, 3, heads), 3 * place)]).flatten()
    seers = torch.full((place + 1,), len(slots_M)).index_copy(0, slots_M, torch.arange(len(slots_M)))
    sources = torch.zeros(3 * place + 1, dtype=torch.long).index_copy(0, parts_M, torch.arange(len(parts_M)))
    shapes = tuple((rows * heads, length) for _, (rows, length) in groups)
    return ByHead(sources[:-1], seers[:-1], slots_M, parts_M, shapes)


def text_attention(qkv_NC: Tensor, heads: int, places: ByHead, drop: Drop, scale: float) -> Tensor:
    """The groups' tokens stand one behind the other; what comes after them belongs to no text, and is zero."""
    return _Texts.apply(qkv_NC, heads, places, drop, scale)


class _Texts(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, qkv_NC: Tensor, heads: int, places: ByHead, drop: Drop, scale: float) -> Tensor:
        qkv = qkv_NC.unflatten(1, (3 * heads, -1)).flatten(0, 1).index_select(0, places.sources)
        y = qkv.new_empty(len(places.seers) + 1, qkv.shape[1])
        y[-1] = 0
        kept = []
        for (q, k, v), (y_group,) in zip(places.groups(qkv, 3), places.groups(y, 1)):
            kept += seen(q, k, v, y_group, drop, scale)
        ctx.heads, ctx.places, ctx.dropout, ctx.scale = heads, places, drop.rate, scale
        ctx.save_for_backward(qkv, *kept)
        return y.index_select(0, places.slots).unflatten(0, (-1, heads)).flatten(1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_NC: Tensor) -> tuple[Tensor, None, None, None, None]:  # pyrefly: ignore[bad-override]
        places: ByHead = ctx.places
        qkv, *kept = ctx.saved_tensors
        kept = iter(kept)
        grad = grad_NC.unflatten(1, (ctx.heads, -1)).flatten(0, 1)
        grad = torch.cat([grad, grad.new_zeros(1, grad.shape[1])]).index_select(0, places.seers)
        grads = qkv.new_empty(len(qkv) + 1, qkv.shape[1])
        grads[-1] = 0
        every = zip(places.shapes, places.groups(grad, 1), places.groups(grads, 3), places.groups(qkv, 3))
        for (_, length), (grad_group,), grads_group, (q, k, v) in every:
            here = list(islice(kept, KEPT_PER_BLOCK * len(blocks(length))))
            way_back(grad_group, grads_group, q, k, v, here, ctx.dropout, ctx.scale)
        return grads.index_select(0, places.parts).unflatten(0, (-1, 3 * ctx.heads)).flatten(1), None, None, None, None
