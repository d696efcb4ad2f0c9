"""Intervals: how far a number measured on these documents, items or seeds could lie from the one that was meant."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from gpt2lab.core.errors import UserError
from gpt2lab.measure import bootstrap

RESAMPLES = 10_000
STUDENTISED = "studentised bootstrap over documents"


@dataclass(frozen=True)
class Interval:
    low: float
    high: float
    level: float = 0.95
    method: str = ""
    note: str | None = None

    def __contains__(self, value: float) -> bool:
        return self.low <= value <= self.high

    @property
    def half_width(self) -> float:
        return (self.high - self.low) / 2

    def as_dict(self) -> dict[str, Any]:
        noted = {"note": self.note} if self.note else {}
        return {"low": self.low, "high": self.high, "level": self.level, "method": self.method, **noted}


def wilson(right: int, count: int, level: float = 0.95) -> Interval:
    """Of a share: accuracy over items."""
    if not 0 <= right <= count or count < 1:
        raise UserError(f"{right} right of {count} is no accuracy", way_out="measure at least one item")
    z, share = deviate(level), right / count
    middle = share + z**2 / (2 * count)
    spread = z * np.sqrt(share * (1 - share) / count + z**2 / (4 * count**2))
    low, high = (middle - spread) / (1 + z**2 / count), (middle + spread) / (1 + z**2 / count)
    return Interval(float(low) if right else 0.0, float(high) if right < count else 1.0, level, "wilson")


def of_ratio(
    numerators: ArrayLike,
    denominators: ArrayLike,
    *,
    transform: Literal["exp", "none"] = "exp",
    seed: int = 0,
    resamples: int = RESAMPLES,
    level: float = 0.95,
    unit: str = "document",
) -> tuple[Interval | None, str | None]:
    """Of Σnumerators / Σdenominators, or its exponential, over documents; none and the reason where they are too few
    or too alike.

    With denominators of one it is the interval of a mean over prompts or items; `unit` is what they are called.
    """
    bottom, top = bootstrap.scored(denominators, numerators)
    if len(bottom) < bootstrap.FEWEST_DOCUMENTS:
        return None, bootstrap.too_few(len(bottom), unit)
    found = bootstrap.ratio(top, bottom, seed=seed, resamples=resamples)
    half = found.half_width(level)
    if not half:  # that all are equal here does not make the value certain
        return None, bootstrap.too_alike(unit)
    low, high = found.value - half, found.value + half
    if transform == "exp":
        low, high = float(np.exp(low)), float(np.exp(high))
    return Interval(low, high, level, STUDENTISED), None


def over_seeds(values: Sequence[float], level: float = 0.95) -> Interval | None:
    """Of the mean over runs that differ in their seed alone. One run says nothing of its spread."""
    if len(values) < 2:
        return None
    numbers = np.asarray(values, np.float64)
    if not np.isfinite(numbers).all():
        raise UserError("a run's value is not a finite number", way_out="leave out the run, and say so")
    half = float(special.stdtrit(len(numbers) - 1, (1 + level) / 2) * numbers.std(ddof=1) / np.sqrt(len(numbers)))
    note = "two seeds; at least three are needed to judge" if len(numbers) == 2 else None
    return Interval(float(numbers.mean()) - half, float(numbers.mean()) + half, level, "t over seeds", note)


def deviate(level: float) -> float:
    """The standard normal deviate that `level` lies within."""
    assert 0 < level < 1
    return float(special.ndtri((1 + level) / 2))
