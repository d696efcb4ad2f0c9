"""What a machine is and can do, for people who wonder why something is slow or missing."""

from __future__ import annotations

import os
import shutil
from typing import Any

import torch

from gpt2lab import __version__
from gpt2lab.core import console, environment, files, hardware, hub_source

EXTRAS = {
    "fast": (("fastokens",), "text to ids about ten times faster than tiktoken"),
    "qlora": (("bitsandbytes",), "4-bit base weights for finetune --method qlora"),
    "track": (("wandb", "tensorboard"), "training curves in W&B or TensorBoard"),
    "harness": (("lm-eval", "accelerate"), "any task of lm-evaluation-harness on our engine"),
    "synthesize": (("openai",), "data sets written by a large model"),
}


def examine(wanted: str = "auto") -> dict[str, dict[str, str]]:
    device = hardware.choose_device(wanted)
    return {
        "machine": _machine(device),
        "speed": _speed(device),
        "software": _software(),
        "extras": {name: _extra(name) for name in EXTRAS},
        "offline": _offline(),
    }


def _machine(device: torch.device) -> dict[str, str]:
    return {
        "processor": f"{hardware.cpu_name()}, {console.counted(hardware.cores(), 'core')}",
        "memory": console.size(hardware.memory()),
        "device chosen": f"{device} ({hardware.device_name(device)})",
        "device memory": console.size(hardware.device_memory(device)),
        "free disk": console.size(shutil.disk_usage(".").free),
        "bf16": "in hardware" if hardware.has_bf16(device) else "emulated, slow",
        "fp16 training": "refused on CPU (about 1 GFLOP/s)" if device.type == "cpu" else "possible",
    }


def _speed(device: torch.device) -> dict[str, str]:
    precisions = ["fp32", "bf16"] if hardware.has_bf16(device) else ["fp32"]
    measured = {
        f"matrix product, {precision}": f"{hardware.matmul_rate(device, precision) / 1e9:,.0f} GFLOP/s measured"
        for precision in precisions
    }
    peak = hardware.peak_flops(device)
    return measured | {
        "data sheet": f"{peak / 1e12:,.0f} TFLOP/s"
        if peak
        else "none known for this device: compare with the measured rate"
    }


def _software() -> dict[str, str]:
    record: dict[str, Any] = environment.record()
    return {"gpt2lab": __version__, "python": record["python"], "platform": record["platform"], **record["versions"]}


def _extra(name: str) -> str:
    packages, adds = EXTRAS[name]
    missing = [package for package in packages if not environment.installed(package)]
    return f"installed: {adds}" if not missing else f"missing; pip install 'gpt2lab[{name}]' adds: {adds}"


def _offline() -> dict[str, str]:
    return {
        "mode": "GPT2LAB_OFFLINE or HF_HUB_OFFLINE is set: the network is never tried"
        if hub_source.offline()
        else "network allowed",
        "works without network": "quickstart, built-in text and tokenizer, own files, own models",
        "needs it once": "models and tokenizers by Hub id, afterwards from the cache",
        "cache of gpt2lab": str(files.home()),
        "cache of the Hub": os.environ.get("HF_HOME", "~/.cache/huggingface"),
    }
