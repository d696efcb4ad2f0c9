"""The learning rate of a step, as a share of the highest."""

from __future__ import annotations

import math

from gpt2lab.train.settings import TrainSettings


def rate(step: int, steps: int, settings: TrainSettings) -> float:
    """Of the step counted from 0: a linear rise, then the schedule down to the floor at the last step."""
    warmup = warmup_steps(steps, settings)
    if step < warmup:
        return (step + 1) / warmup
    if steps == 1:
        return 1.0  # the last step is the only one, and would change nothing
    left = steps - 1 - step
    return settings.floor + (1 - settings.floor) * _height(left, steps - 1 - warmup, steps, settings)


def _height(left: int, falling: int, steps: int, settings: TrainSettings) -> float:
    share = left / max(1, falling)
    match settings.schedule:
        case "cosine":
            return 0.5 * (1 - math.cos(math.pi * share))
        case "linear":
            return share
        case "polynomial":
            return share**settings.power
        case "wsd":
            return min(1.0, left / max(1, round(settings.cooldown * steps)))
        case "constant":
            return 1.0


def warmup_steps(steps: int, settings: TrainSettings) -> int:
    return round(settings.warmup * steps) if settings.warmup < 1 else round(settings.warmup)
