"""The learning rate of a step, as a share of the highest."""

from __future__ import annotations

import math

from gpt2lab.train.settings import TrainSettings


def rate(step: int, settings: TrainSettings) -> float:
    """Of the step counted from 0: a linear rise, then the schedule down to the floor at the last step."""
    warmup = warmup_steps(settings)
    if step < warmup:
        return (step + 1) / warmup
    done = (step - warmup) / max(1, settings.steps - 1 - warmup)
    floor = settings.floor
    if settings.schedule == "constant":
        return 1.0
    if settings.schedule == "linear":
        return 1 - (1 - floor) * done
    return floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * done))


def warmup_steps(settings: TrainSettings) -> int:
    return round(settings.warmup * settings.steps) if settings.warmup < 1 else round(settings.warmup)
