"""One JSON a result, with everything that moves its value."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import torch

from gpt2lab.core import environment, files, hardware


def write(folder: Path, record: dict[str, Any]) -> Path:
    """Under a name made of what was measured, so that the same measurement replaces itself."""
    what = [record["protocol"], record["model"]["weights"], record["data"]["hash"], record["settings"]]
    name = re.sub(r"[^a-z0-9]+", "-", record["protocol"].lower())
    path = folder / f"{name}-{files.fingerprint(what)[:10]}.json"
    files.write_json(path, record)
    return path


def circumstances(device: torch.device, precision: str, seconds: float, tokens: int) -> dict[str, Any]:
    """What was measured on the side and never decides whether two results compare."""
    return {
        "device": hardware.device_name(device),
        "precision": precision,
        "seconds": seconds,
        "tokens_per_second": tokens / seconds,
        "peak_memory": hardware.peak_memory(device),
        **environment.record(),
    }
