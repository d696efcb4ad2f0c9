"""What a finished training says of its size and pace. Steps alone count: no evaluation, compilation or saving."""

from __future__ import annotations

from pathlib import Path
from statistics import median
from typing import Any

from torch import nn

from gpt2lab.core import hardware, lines
from gpt2lab.train import groups
from gpt2lab.train.plan import Unit

WARM_UP = 2  # steps in which memory is met for the first time


def facts(out: Path, model: nn.Module, vocabulary: int, unit: Unit) -> dict[str, Any]:
    """The rate is the median step's; the peak of memory is this process's, so it is that of one training alone."""
    every = groups.Group("", dict(model.named_parameters()), 0, 0)
    moving = groups.Group("", {name: p for name, p in every.parameters.items() if p.requires_grad}, 0, 0)
    seconds = {line["step"]: line["seconds"] for line in lines.read(out / "timings.jsonl")}
    amounts = {line["step"]: line[unit] for line in lines.read(out / "metrics.jsonl")}
    settled = [step for step in seconds if step > WARM_UP] or list(seconds)
    rates = [amounts[step] / seconds[step] for step in settled if step in amounts]
    return {
        "parameters": every.count(vocabulary),
        "trainable_parameters": moving.count(vocabulary),
        "training_seconds": sum(seconds.values()),
        f"{unit}_per_second": median(rates) if rates else None,
        "peak_memory": hardware.peak_memory(next(model.parameters()).device),
    }
