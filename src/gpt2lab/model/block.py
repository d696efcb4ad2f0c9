"""One block of GPT-2: attention and MLP, each behind a norm and added to what came in.

A batch comes as (B, T, C) or, where the mask is `Unpadded`, as the real tokens of all rows, (N, C). Letters in tensor
names as in `gpt2.py`.
"""

from __future__ import annotations

import math
from typing import Protocol

import torch.nn.functional as F
from torch import Tensor, nn

from gpt2lab.model.attention import by_blocks, causal_attention
from gpt2lab.model.config import GPT2Config
from gpt2lab.model.dropout import Drop, Noise, add_dropped, drops
from gpt2lab.model.gelu import gelu
from gpt2lab.model.last_look import last_look
from gpt2lab.model.linear import Linear
from gpt2lab.model.text_attention import text_attention
from gpt2lab.model.thrift import linear_after
from gpt2lab.model.unpadded import Unpadded

ACTIVATION_FUNCTIONS = {
    "gelu_new": gelu,
    "gelu_pytorch_tanh": gelu,
    "gelu_fast": gelu,
    "gelu": F.gelu,
    "relu": F.relu,
    "silu": F.silu,
    "swish": F.silu,
}


class Cache(Protocol):
    """Keys and values of the tokens seen so far; `generate/cache.py` has one."""

    length: int
    visible: Tensor | None  # of what it holds, where rows differ in what they may see: (B, 1, T, S)

    def extend(self, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]: ...


Mask = Tensor | Unpadded | None


class Attention(nn.Module):
    def __init__(self, config: GPT2Config, layer: int) -> None:
        super().__init__()
        self.layer = layer
        self.heads = config.heads
        self.dropout = config.attention_dropout
        scale = 1 / math.sqrt(config.width // config.heads) if config.scale_attention else 1.0
        self.scale = scale / (layer + 1) if config.scale_attention_by_layer else scale
        self.c_attn = Linear(config.width, 3 * config.width)
        self.c_proj = Linear(config.width, config.width)

    def forward(
        self,
        norm: nn.Module,
        x: Tensor,
        mask: Mask,
        causal: bool,
        cache: Cache | None,
        wanted_N: Tensor | None,
        noise: Noise,
    ) -> Tensor:
        drop = Drop.when(self.training, self.dropout, noise)
        y = self._last_look(norm, x, mask, wanted_N, drop)
        if y is None:
            y = _only(wanted_N, self._whole_look(norm, x, mask, causal, cache, drop))
        return self.c_proj(y)

    def _last_look(self, norm: nn.Module, x: Tensor, mask: Mask, wanted_N: Tensor | None, drop: Drop) -> Tensor | None:
        """Where all that is wanted is the last token of each text, no other has to ask; of adapted layers, all do."""
        if wanted_N is None or not isinstance(mask, Unpadded) or type(self.c_attn) is not Linear:
            return None
        texts_B = mask.whose(wanted_N)
        if texts_B is None or (drop.rate and not drops(drop.rate)):
            return None
        weight, bias = self.c_attn.weight, self.c_attn.bias
        return last_look(norm(x), mask, weight, bias, self.heads, drop, self.scale).index_select(0, texts_B)

    def _whole_look(
        self, norm: nn.Module, x: Tensor, mask: Mask, causal: bool, cache: Cache | None, drop: Drop
    ) -> Tensor:
        qkv = linear_after(norm, x, self.c_attn)
        if not isinstance(mask, Unpadded):
            return self._looked(qkv, mask, causal, cache, drop)
        if mask.causal and by_blocks(qkv, drop.rate):
            return text_attention(qkv, self.heads, mask.by_head, drop, self.scale)
        return mask.looked(qkv, lambda rows, seen: self._looked(rows, seen, seen is None, None, drop))

    def _looked(self, qkv_BTC: Tensor, mask: Tensor | None, causal: bool, cache: Cache | None, drop: Drop) -> Tensor:
        q, k, v = (self._by_head(part) for part in qkv_BTC.chunk(3, dim=-1))
        if cache is not None:
            k, v = cache.extend(self.layer, k, v)
        if causal:
            y_BHTD = causal_attention(q, k, v, drop, self.scale)
        else:
            mask = cache.visible if cache is not None and mask is None else mask
            y_BHTD = F.scaled_dot_product_attention(q, k, v, mask, drop.rate, scale=self.scale)
        return y_BHTD.transpose(1, 2).flatten(2)

    def _by_head(self, x_BTC: Tensor) -> Tensor:
        return x_BTC.unflatten(-1, (self.heads, -1)).transpose(1, 2)


class MLP(nn.Module):
    def __init__(self, config: GPT2Config) -> None:
        super().__init__()
        self.activation = ACTIVATION_FUNCTIONS[config.activation]
        self.c_fc = Linear(config.width, config.inner_width)
        self.c_proj = Linear(config.inner_width, config.width)

    def forward(self, norm: nn.Module, x: Tensor) -> Tensor:
        return linear_after(self.activation, linear_after(norm, x, self.c_fc), self.c_proj)


class Block(nn.Module):
    def __init__(self, config: GPT2Config, layer: int) -> None:
        super().__init__()
        self.dropout = config.residual_dropout
        self.ln_1 = nn.LayerNorm(config.width, eps=config.norm_epsilon)
        self.attn = Attention(config, layer)
        self.ln_2 = nn.LayerNorm(config.width, eps=config.norm_epsilon)
        self.mlp = MLP(config)

    def forward(
        self, x: Tensor, mask: Mask, causal: bool, cache: Cache | None, wanted_N: Tensor | None = None
    ) -> Tensor:
        drop = Drop.when(self.training, self.dropout, Noise())
        y = self.attn(self.ln_1, x, mask, causal, cache, wanted_N, drop.noise)
        x = add_dropped(_only(wanted_N, x), y, drop)
        return add_dropped(x, self.mlp(self.ln_2, x), drop)


def _only(wanted_N: Tensor | None, x: Tensor) -> Tensor:
    """(N, C) of the wanted places."""
    return x if wanted_N is None else x.flatten(0, -2).index_select(0, wanted_N)
