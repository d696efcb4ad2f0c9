"""What the last token of each text sees: of its last block a classifier needs no more.

Texts stand one behind the other. With one query a text nothing has to be padded: a token's score is its key times the
query of its text, and sums run over the tokens of a text.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from gpt2lab.model.dropout import Drop, dropout


def last_look(q_BC: Tensor, kv_NC: Tensor, asked_N: Tensor, heads: int, drop: Drop, scale: float) -> Tensor:
    """Each token is asked by the query of its number; those of no text, at the end, have none."""
    exact = torch.promote_types(q_BC.dtype, torch.float32)
    k_NHD, v_NHD = kv_NC[: len(asked_N)].to(exact).unflatten(1, (2, heads, -1)).unbind(1)
    q_BHD = q_BC.to(exact).unflatten(1, (heads, -1)) * scale
    score_NH = (k_NHD * q_BHD.index_select(0, asked_N)).sum(-1)
    share_NH = (score_NH - _highest(score_NH.detach(), asked_N, len(q_BC)).index_select(0, asked_N)).exp()
    share_NH = share_NH / _summed(share_NH, asked_N, len(q_BC)).index_select(0, asked_N)
    share_NH = dropout(share_NH, drop)
    return _summed(share_NH[:, :, None] * v_NHD, asked_N, len(q_BC)).flatten(1).to(q_BC.dtype)


def _highest(x_NH: Tensor, asked_N: Tensor, texts: int) -> Tensor:
    lowest_BH = x_NH.new_full((texts, x_NH.shape[1]), -math.inf)
    return lowest_BH.scatter_reduce(0, asked_N[:, None].expand_as(x_NH), x_NH, "amax")


def _summed(x: Tensor, asked_N: Tensor, texts: int) -> Tensor:
    return x.new_zeros(texts, *x.shape[1:]).index_add(0, asked_N, x)
