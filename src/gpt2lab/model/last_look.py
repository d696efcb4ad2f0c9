"""What the last token of each text sees: of its last block a classifier needs no more.

One query a text asks, so no token needs a key or a value of its own. A score is `q · K x`, which is `Kᵀ q · x`: queries
go through the weights, and meet the tokens as they came in. What is seen is `Σ share · V x`, which is `V Σ share · x`:
tokens are added up, and the sums go through the weights. The bias of keys moves all scores of a text alike, which a
softmax does not see. But for the query itself, all of it is in fp32 or better.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from gpt2lab.model.dropout import Drop, without
from gpt2lab.model.linear import linear
from gpt2lab.model.unpadded import Unpadded


def last_look(
    x_NC: Tensor, real: Unpadded, weight: Tensor, bias: Tensor, heads: int, drop: Drop, scale: float
) -> Tensor:
    """(B, C) of the texts, in the order in which they stand. Weights and bias are of query, key and value."""
    for_q, for_k, for_v = weight.unflatten(0, (3, -1)).unbind()
    bias_q, _, bias_v = bias.unflatten(0, (3, -1)).unbind()
    exact = torch.promote_types(x_NC.dtype, torch.float32)
    k_HDC, v_HDC = (every.to(exact).unflatten(0, (heads, -1)) for every in (for_k, for_v))
    q_BC = linear(x_NC.index_select(0, real.last), for_q, bias_q).to(exact) * scale
    asks_BHC = (q_BC.unflatten(1, (heads, -1)).transpose(0, 1) @ k_HDC).transpose(0, 1).contiguous()
    seen_BHC, shares_BH1 = _Look.apply(x_NC, asks_BHC, real, drop)
    y_BHD = (seen_BHC.transpose(0, 1) @ v_HDC.mT).transpose(0, 1)
    return (y_BHD + shares_BH1 * bias_v.to(exact).unflatten(0, (heads, -1))).flatten(1).to(x_NC.dtype)


class _Look(torch.autograd.Function):
    """For each head the sum of a text's tokens by their shares, (B, H, C), and the sum of these, (B, H, 1)."""

    @staticmethod
    def forward(ctx: Any, x_NC: Tensor, asks_BHC: Tensor, real: Unpadded, drop: Drop) -> tuple[Tensor, Tensor]:
        x_PC = x_NC.index_select(0, real.sources).to(asks_BHC.dtype)
        seen_BHC, shares_BH1 = torch.empty_like(asks_BHC), asks_BHC.new_ones(*asks_BHC.shape[:2], 1)
        kept = []
        every = zip(real.groups, real.rows_by_group(x_PC), *map(real.texts_by_group, (asks_BHC, seen_BHC, shares_BH1)))
        for group, x, asks, seen, shares in every:
            share = torch.bmm(asks, x.mT).masked_fill_(group.padding[:, None], -math.inf).softmax(-1)
            noise = drop.noise.take(share.shape) if drop.rate else None
            kept += [share, noise]
            if noise is not None:
                share = _thinned(share, noise, drop.rate)
                torch.sum(share, -1, keepdim=True, out=shares)
            torch.bmm(share, x, out=seen)
        ctx.real, ctx.rate, ctx.dtype = real, drop.rate, x_NC.dtype
        ctx.save_for_backward(x_PC, asks_BHC, *kept)
        return seen_BHC, shares_BH1

    @staticmethod
    @once_differentiable
    def backward(  # pyrefly: ignore[bad-override]
        ctx: Any, of_seen: Tensor, of_shares: Tensor
    ) -> tuple[Tensor, Tensor, None, None]:
        """`of` says whose gradient it is."""
        real: Unpadded = ctx.real
        x_PC, asks_BHC, *kept = ctx.saved_tensors
        of_x, of_asks = x_PC.new_empty(len(x_PC) + 1, x_PC.shape[1]), torch.empty_like(asks_BHC)
        of_x[-1] = 0  # what only fills up a step
        by_text = map(real.texts_by_group, (asks_BHC, of_asks, of_seen, of_shares))
        every = zip(*map(real.rows_by_group, (x_PC, of_x[:-1])), *by_text, kept[::2], kept[1::2])
        for x, of_rows, asks, of_ask, of_sum, of_total, share, noise in every:
            of_share, used = torch.bmm(of_sum, x.mT).add_(of_total), share
            if noise is not None:
                of_share, used = (_thinned(shares, noise, ctx.rate) for shares in (of_share, share))
            of_score = torch._softmax_backward_data(of_share, share, -1, share.dtype)
            torch.bmm(of_score, x, out=of_ask)
            torch.bmm(of_score.mT, asks, out=of_rows)
            of_rows.baddbmm_(used.mT, of_sum)
        return of_x.index_select(0, real.slots).to(ctx.dtype), of_asks, None, None


def _thinned(shares: Tensor, noise: Tensor, rate: float) -> Tensor:
    """By dropout; what stays makes up for what goes."""
    return without(shares, noise, rate).div_(1 - rate)
