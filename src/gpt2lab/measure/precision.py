"""In which numbers a model computes while it is measured: fp32 unless asked otherwise, and always said."""

from __future__ import annotations

import torch
from torch import nn

from gpt2lab.model.gpt2 import GPT2

TYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def cast(model: GPT2, wanted: str) -> GPT2:
    """The blocks' weights, once; embeddings stay in fp32, and the head takes its own copy (see `head.py`)."""
    for module in model.modules():
        if isinstance(module, nn.Linear | nn.LayerNorm) and module is not model.lm_head:
            module.to(TYPES[wanted])
    return model


def of(model: GPT2) -> str:
    found = model.transformer.ln_f.weight.dtype
    return next((name for name, dtype in TYPES.items() if dtype == found), str(found).removeprefix("torch."))
