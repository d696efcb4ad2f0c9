"""What a finished training says of its size and pace. Steps alone count: no evaluation, compilation or saving."""

from __future__ import annotations

from pathlib import Path
from statistics import median
from typing import Any

from torch import nn

from gpt2lab.core import lines, own_memory
from gpt2lab.model.quantised import packed_weights
from gpt2lab.train import groups
from gpt2lab.train.plan import Unit

WARM_UP = 2  # steps in which memory is met for the first time


def facts(out: Path, model: nn.Module, vocabulary: int, unit: Unit) -> dict[str, Any]:
    """The rate is the median step's; the peak of memory is this process's since the training began, also where a search
    trains one after another in it."""
    every = groups.Group("", dict(model.named_parameters()), 0, 0)
    moving = groups.Group("", {name: p for name, p in every.parameters.items() if p.requires_grad}, 0, 0)
    seconds = {line["step"]: line["seconds"] for line in lines.read(out / "timings.jsonl")}
    steps = {line["step"]: line for line in lines.read(out / "metrics.jsonl")}
    settled = [step for step in seconds if step > WARM_UP and step in steps] or [
        step for step in seconds if step in steps
    ]
    rates = {what: [steps[step][what] / seconds[step] for step in settled] for what in dict.fromkeys((unit, "tokens"))}
    return {
        "parameters": every.count(vocabulary),
        "trainable_parameters": moving.count(vocabulary),
        "parameters_in_four_bits": packed_weights(model),
        "training_seconds": sum(seconds.values()),
        **{f"{what}_per_second": median(found) if found else None for what, found in rates.items()},
        "peak_memory": own_memory.peak(next(model.parameters()).device),
    }
