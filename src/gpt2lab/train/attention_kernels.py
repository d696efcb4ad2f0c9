"""Which of PyTorch's fused attention kernels a GPU takes first."""

from __future__ import annotations

import contextlib

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

HOPPER = (9, 0)
REST = [SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH]


def chosen(device: torch.device, deterministic: bool) -> contextlib.AbstractContextManager[object]:
    """cuDNN's is the fastest from Hopper on, and its way back is not deterministic. Elsewhere PyTorch chooses."""
    if device.type != "cuda" or torch.cuda.get_device_capability(device) < HOPPER:
        return contextlib.nullcontext()
    return sdpa_kernel(REST if deterministic else [SDPBackend.CUDNN_ATTENTION, *REST], set_priority=True)
