"""Which of PyTorch's fused attention kernels a GPU takes first."""

from __future__ import annotations

import contextlib
from typing import Any

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel

Chosen = contextlib.AbstractContextManager[object]
PREFERRED = [
    SDPBackend.CUDNN_ATTENTION, SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH
]  # fmt: skip
GOOD_WITH = ((9, 0), (10, 0))  # capabilities
GOOD_SINCE = 91501  # cuDNN's version; before, it read beyond rows that are no multiple of 128 tokens


def for_blocks(device: torch.device, model: nn.Module, deterministic: bool) -> Chosen:
    """cuDNN's is the fastest on large GPUs from Hopper on, for full rows of one shape. It makes a plan for each new
    shape, rounds dropout, and is not deterministic on its way back; so elsewhere PyTorch chooses among the others
    (`hardware.choose_device` has switched cuDNN's off)."""
    config: Any = model.config
    if device.type != "cuda" or deterministic or config.attention_dropout:
        return contextlib.nullcontext()
    good = torch.cuda.get_device_capability(device) in GOOD_WITH and (torch.backends.cudnn.version() or 0) >= GOOD_SINCE
    return sdpa_kernel(PREFERRED, set_priority=True) if good else contextlib.nullcontext()
