"""What one training of a study will take on this machine, by calculation: memory, disk, and the least time."""

from __future__ import annotations

from functools import cache
from typing import Any

import torch

from gpt2lab.core import console, hardware
from gpt2lab.model.config import GPT2Config, block_matrices, flops_per_token
from gpt2lab.study import announce
from gpt2lab.train import memory
from gpt2lab.train.settings import TrainSettings

# Of the forward and twice backward that full training does: what a method cannot leave out.
SHARE_OF_WORK = {"full": 1.0, "partial": 1 / 3, "lora": 2 / 3, "qlora": 2 / 3, "prompt": 2 / 3}


def needs(
    config: GPT2Config, trainable: int, train: TrainSettings, block: int, rows: int, tokens: int | None,
    device: torch.device, method: str = "full",
) -> dict[str, Any]:  # fmt: skip
    """Bytes, and seconds if this machine did nothing but the matrix products, at the rate that it reaches alone."""
    precision = hardware.choose_precision(_possible(train.precision, device), device)
    packed = block_matrices(config) if method == "qlora" else 0
    count = memory.micro_batch(config, trainable, block, rows, train, precision, device, packed)
    found: dict[str, Any] = {
        "memory": memory.needed(config, trainable, count * block, train, precision, device.type, packed),
        "disk": announce.disk(config, trainable, train),
    }
    if tokens is not None:
        work = tokens * flops_per_token(config, block) * SHARE_OF_WORK[method]
        found["at_least_seconds"] = work / _rate(str(device), precision)
    return found


def wording(found: dict[str, Any]) -> str:
    time = f", at least {console.duration(found['at_least_seconds'])} here" if "at_least_seconds" in found else ""
    return f"memory {console.size(found['memory'])}, disk {console.size(found['disk'])}{time}"


def _possible(precision: hardware.Precision, device: torch.device) -> hardware.Precision:
    """A plan is made where the study may not run: fp16 needs a GPU, and is as fast as bf16."""
    return "bf16" if precision == "fp16" and device.type != "cuda" else precision


@cache
def _rate(device: str, precision: str) -> float:
    return hardware.matmul_rate(torch.device(device), precision)
