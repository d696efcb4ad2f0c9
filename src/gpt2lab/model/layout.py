"""How parameters are laid out in files: transformers' names, its (in, out) matrices, no padded rows."""

from __future__ import annotations

import re

import torch
from torch import Tensor

from gpt2lab.model.gpt2 import GPT2, GPT2Classifier

LINEAR = ("attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj")  # of a block
TURNED = tuple(f"{name}.weight" for name in LINEAR)
PADDED = ("wte.weight", "lm_head.weight")
STORED_MASKS = re.compile(r"\.attn\.(bias|masked_bias)$")
WRAPPERS = ("_orig_mod.", "module.")
HEADS = ("lm_head.", "score.")


def is_turned(name: str) -> bool:
    return name.endswith(TURNED)


def canonical(name: object) -> str | None:
    """Our name for a stored tensor, whatever wrapped the model that stored it; None for what is no weight."""
    name = str(name)
    while name.startswith(WRAPPERS):
        name = name.partition(".")[2]
    if STORED_MASKS.search(name):
        return None
    return name if name.startswith(("transformer.", *HEADS)) else f"transformer.{name}"


def parameters(model: GPT2 | GPT2Classifier) -> dict[str, torch.nn.Parameter]:
    """Every parameter once, by name; a tied head is the embedding."""
    return dict(model.named_parameters())


def count(name: str, parameter: Tensor, vocabulary: int) -> int:
    """How many numbers a parameter stands for: without rows that only pad, and two for each byte that packs two."""
    packed = getattr(parameter, "quant_state", None)
    if packed is not None:
        return packed.shape.numel()
    return parameter[:vocabulary].numel() if name.endswith(PADDED) else parameter.numel()


def file_shape(name: str, parameter: Tensor, vocabulary: int) -> tuple[int, ...]:
    if name.endswith(PADDED):
        return (vocabulary, parameter.shape[1])
    return tuple(reversed(parameter.shape)) if is_turned(name) else tuple(parameter.shape)


@torch.no_grad()
def put(name: str, parameter: Tensor, stored: Tensor) -> None:
    """Copy a stored tensor of the right shape into a parameter."""
    if name.endswith(PADDED):
        parameter.zero_()
        parameter[: len(stored)] = stored
    else:
        parameter.copy_(stored.t() if is_turned(name) else stored)


def take(name: str, parameter: Tensor, vocabulary: int) -> Tensor:
    """A parameter as files hold it."""
    tensor = parameter.detach().cpu()
    if name.endswith(PADDED):
        tensor = tensor[:vocabulary]
    return (tensor.t() if is_turned(name) else tensor).contiguous()
