"""What a result must say of the place it was made in. An allow-list: secrets live in other variables."""

from __future__ import annotations

import os
import platform
from importlib import metadata
from typing import Any

RECORDED_VARIABLES = (
    "CUBLAS_WORKSPACE_CONFIG",
    "CUDA_VISIBLE_DEVICES",
    "GPT2LAB_OFFLINE",
    "HF_HUB_OFFLINE",
    "LOCAL_RANK",
    "MKL_NUM_THREADS",
    "OMP_NUM_THREADS",
    "PYTORCH_ALLOC_CONF",
    "PYTORCH_CUDA_ALLOC_CONF",
    "RANK",
    "TOKENIZERS_PARALLELISM",
    "WORLD_SIZE",
)
RECORDED_PACKAGES = (
    "gpt2lab", "torch", "numpy", "safetensors", "tokenizers", "fastokens", "huggingface_hub", "transformers", "peft",
)  # fmt: skip


def record() -> dict[str, Any]:
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "versions": {name: version for name in RECORDED_PACKAGES if (version := installed(name))},
        "variables": {name: os.environ[name] for name in RECORDED_VARIABLES if name in os.environ},
    }


def installed(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def offline() -> bool:
    return os.environ.get("GPT2LAB_OFFLINE", "") not in ("", "0")
