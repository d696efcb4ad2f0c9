"""Weights laid out once for many products, which is what writing and measuring do.

On a CPU, `linear` reads weights for one row well and for eight badly; oneDNN's own layout is read well for both, and is
ahead for a thousand rows too. With bf16 weights half as much is read. What is no product stays in fp32: norms, residual
stream, and the attention, whose bf16 kernel takes many times as long there for one query as the fp32 one
(benchmarks/NOTES.md).
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from gpt2lab.model.block import MLP, Attention
from gpt2lab.model.config import GPT2Config
from gpt2lab.model.gpt2 import GPT2, Transformer
from gpt2lab.model.linear import Linear

Precision = Literal["fp32", "bf16"]
TANH_GELU = ("gelu_new", "gelu_pytorch_tanh", "gelu_fast")


@dataclass(frozen=True)
class Weights:
    """A language model as it is while writing: the same function as the model's own, to rounding."""

    transformer: Transformer
    head: Callable[[Tensor], Tensor]  # hidden states to fp32 logits
    cache_dtype: torch.dtype
    precision: Precision

    @property
    def config(self) -> GPT2Config:
        return self.transformer.config

    @property
    def device(self) -> torch.device:
        return self.transformer.wte.weight.device


class PackedLinear(nn.Module):
    """A linear layer in oneDNN's layout, with what follows it fused where that is offered."""

    def __init__(self, weight: Tensor, bias: Tensor | None, dtype: torch.dtype, gelu: bool = False) -> None:
        super().__init__()
        self.dtype = dtype
        self.weight = torch.ops.mkldnn._reorder_linear_weight(weight.detach().to(dtype).contiguous())
        self.bias = None if bias is None else bias.detach().to(dtype)
        self.after = ("gelu", [], "tanh") if gelu else ("none", [], "")
        self.wide = not gelu  # what only another product reads need not become fp32 on the way

    def forward(self, x: Tensor) -> Tensor:
        y = torch.ops.mkldnn._linear_pointwise(x.to(self.dtype), self.weight, self.bias, *self.after)
        return y.float() if self.wide else y


def weights_of(model: GPT2, precision: Precision, *, packed: bool = True) -> Weights:
    """The model itself is left as it is; what can be shared with it is."""
    device = model.lm_head.weight.device
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    if not packed or not can_pack(device, dtype):
        return _cast(model, dtype, precision)
    real = model.lm_head.weight[: model.config.vocabulary]
    return Weights(packed_blocks(model.transformer, dtype), PackedLinear(real, None, dtype), torch.float32, precision)


def can_pack(device: torch.device, dtype: torch.dtype) -> bool:
    return device.type == "cpu" and dtype in (torch.float32, torch.bfloat16) and torch.backends.mkldnn.is_available()


def packed_blocks(given: Transformer, dtype: torch.dtype) -> Transformer:
    """A copy around the same tensors but for the blocks' matrices."""
    transformer = _sharing(given, torch.float32)
    fused = given.config.activation in TANH_GELU
    for module in transformer.modules():
        if isinstance(module, Attention):
            module.c_attn, module.c_proj = _packed(module.c_attn, dtype), _packed(module.c_proj, dtype)
        elif isinstance(module, MLP):
            module.c_fc, module.c_proj = _packed(module.c_fc, dtype, gelu=fused), _packed(module.c_proj, dtype)
            if fused and isinstance(module.c_fc, PackedLinear):
                module.activation = nn.Identity()
    return transformer.eval()


def _packed(layer: nn.Module, dtype: torch.dtype, *, gelu: bool = False) -> Any:
    """Adapters that have not been merged stay as they are."""
    return PackedLinear(layer.weight, layer.bias, dtype, gelu=gelu) if type(layer) is Linear else layer


def _cast(model: GPT2, dtype: torch.dtype, precision: Precision) -> Weights:
    transformer = _sharing(model.transformer, dtype).eval()
    return Weights(transformer, _Head(model.lm_head.weight[: model.config.vocabulary], dtype), dtype, precision)


class _Head(nn.Module):
    """A compiled graph reads a module's weight where it lies; a closure's tensor it would copy at every step."""

    def __init__(self, weight: Tensor, dtype: torch.dtype) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight.detach().to(dtype), requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.linear(x, self.weight).float()


def _sharing(transformer: Transformer, dtype: torch.dtype) -> Transformer:
    """A copy of the modules around the same tensors, wherever these have the wanted type already."""
    known = {
        id(p): p if p.dtype == dtype or not p.is_floating_point() else nn.Parameter(p.detach().to(dtype))
        for p in transformer.parameters()
    }
    return copy.deepcopy(transformer, known)
