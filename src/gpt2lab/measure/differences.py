"""Two variants side by side on the same documents, items or seeds; every difference is the first minus the second."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import optimize, special

from gpt2lab.core.errors import UserError
from gpt2lab.measure import bootstrap, paired_accuracy
from gpt2lab.measure.intervals import RESAMPLES, STUDENTISED, Interval, deviate, over_seeds

MOST_DIGITS = 12
FEWEST_PAIRS = 6  # with five, an order that came by chance looks certain too often


@dataclass(frozen=True)
class Difference:
    value: float
    interval: Interval | None
    p: float | None
    n: int
    note: str | None = None  # why there is no interval
    error: float | None = None  # standard error of the value
    counts: dict[str, int] = field(default_factory=dict)  # discordant items

    @property
    def shown(self) -> bool:
        return self.interval is not None and 0 not in self.interval

    def wording(self, unit: str = "", digits: int = 3, scale: float = 1.0) -> str:
        """What may be said of it: a direction only where the interval leaves out 0. `scale=100` speaks in percent."""
        unit = f" {unit}" if unit else ""
        if self.interval is None:
            if self.value == 0:
                return f"no difference shown (no interval: {self.note})"
            return f"no difference shown ({self.value * scale:+.{digits}f}{unit}, no interval: {self.note})"
        low, high = self.interval.low * scale, self.interval.high * scale
        if not self.shown:
            if low == high:
                return f"no difference shown (equal on all {self.n:,})"
            half = self.interval.half_width * scale
            return f"no difference shown (resolution ±{half:.{_visible(half, digits)}f}{unit})"
        near, far = sorted((abs(low), abs(high)))
        digits = _visible(near, digits)
        direction = "lower" if high < 0 else "higher"
        size = abs(self.value * scale)
        return f"{direction} by {size:.{digits}f}{unit} [{near:.{digits}f}, {far:.{digits}f}]"

    def as_dict(self) -> dict[str, Any]:
        return {
            "value": self.value,
            "interval": self.interval.as_dict() if self.interval else None,
            "interval_note": self.note,
            "p": self.p,
            "n": self.n,
            "error": self.error,
            "counts": dict(self.counts),
        }


def paired_ratio(
    a: ArrayLike,
    b: ArrayLike,
    denominators: ArrayLike,
    *,
    seed: int = 0,
    resamples: int = RESAMPLES,
    level: float = 0.95,
    unit: str = "document",
) -> Difference:
    """Σ(a − b) / Σdenominators over documents that both were measured on: nats per token, or a mean over prompts."""
    bottom, first, second = bootstrap.scored(denominators, a, b)
    if not len(bottom):
        raise UserError("nothing was scored in any document", way_out="compare results with at least one document")
    if len(bottom) < bootstrap.FEWEST_DOCUMENTS:
        value = math.fsum(first - second) / math.fsum(bottom)
        return Difference(value, None, None, len(bottom), bootstrap.too_few(len(bottom), unit))
    found = bootstrap.ratio(first - second, bottom, seed=seed, resamples=resamples)
    half = found.half_width(level)
    if half is None:
        return Difference(found.value, None, None, found.count, bootstrap.too_alike(unit), found.error)
    interval = Interval(found.value - half, found.value + half, level, f"paired {STUDENTISED}")
    return Difference(found.value, interval, found.p_against(0.0), found.count, None, found.error)


def mcnemar(
    right_a: ArrayLike, right_b: ArrayLike, *, test: paired_accuracy.Test | None = None, level: float = 0.95
) -> Difference:
    """Accuracy of a minus accuracy of b on the same items; exact where few items tell them apart, mid-p otherwise."""
    first, second = (_answers(values) for values in (right_a, right_b))
    if first.shape != second.shape or not len(first):
        raise UserError(
            f"{len(first)} and {len(second)} items are no paired comparison",
            way_out="measure both on the same items, at least one",
        )
    only_a, only_b = int((first & ~second).sum()), int((second & ~first).sum())
    test = test or ("exact" if only_a + only_b < paired_accuracy.EXACT_BELOW else "mid-p")
    p = paired_accuracy.p_value(only_a, only_b, test)
    count, value = len(first), (only_a - only_b) / len(first)
    return Difference(
        value,
        paired_accuracy.agreeing_interval(only_a, only_b, count, level, p),
        p,
        count,
        error=math.sqrt(max(0.0, (only_a + only_b) / count - value**2) / count),
        counts={"only_a": only_a, "only_b": only_b},
    )


def paired_seeds(a: Sequence[float], b: Sequence[float], *, level: float = 0.95) -> Difference:
    """Mean of a minus mean of b over runs of the same seeds, by the t test of their differences."""
    if len(a) != len(b) or not len(a):
        raise UserError(
            f"{len(a)} and {len(b)} runs are no pairs", way_out="run both variants with the same seeds, at least one"
        )
    apart = np.asarray(a, np.float64) - np.asarray(b, np.float64)
    value, interval = float(apart.mean()), over_seeds(apart.tolist(), level)
    if interval is None:
        return Difference(value, None, None, len(apart), "one seed says nothing of the spread")
    error = float(apart.std(ddof=1) / math.sqrt(len(apart)))
    strays = abs(value) / error if error else math.inf if value else 0.0
    p = float(2 * special.stdtr(len(apart) - 1, -strays))
    return Difference(value, interval, p, len(apart), interval.note, error)


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjusted so that among all comparisons with one baseline a false alarm stays as rare as in a single one."""
    numbers = np.asarray(p_values, np.float64)
    assert ((numbers >= 0) & (numbers <= 1)).all(), "these are no p values"
    order = np.argsort(numbers, kind="stable")
    stepped = np.maximum.accumulate(numbers[order] * np.arange(len(numbers), 0, -1))
    adjusted = np.empty_like(numbers)
    adjusted[order] = np.minimum(1.0, stepped)
    return adjusted.tolist()


def minimal_detectable(found: Difference, *, count: int | None = None, power: float = 0.8) -> float | None:
    """The smallest true difference that a comparison like this one shows this often; with another count, on so many
    documents or items. None where nothing is known of the spread.
    """
    if found.interval is None or found.error is None:
        return None
    count, level = count or found.n, found.interval.level
    if found.counts:
        discordant = (found.counts["only_a"] + found.counts["only_b"]) / found.n
        return _detectable_accuracy(discordant, count, power, level)
    if found.error == 0:
        return 0.0
    normal = deviate(level)
    wider = (found.interval.half_width / found.error - normal) * min(1.0, found.n / count)  # what few documents cost
    return (normal + wider + float(special.ndtri(power))) * found.error * math.sqrt(found.n / count)


class RankCorrelation(NamedTuple):
    rho: float | None
    interval: Interval | None
    n: int


def rank_correlation(a: ArrayLike, b: ArrayLike, *, level: float = 0.95) -> RankCorrelation:
    """Spearman's, ties at their mean rank; no rho where one side never varies, no interval below six pairs.

    Fisher's z with Bonett and Wright's variance, taken at each candidate rather than at the estimate: that keeps its
    level for few pairs and strong correlations. A perfect order counts as half a step short of 1.
    """
    first, second = np.asarray(a, np.float64), np.asarray(b, np.float64)
    if first.shape != second.shape or first.ndim != 1:
        raise UserError(
            f"{first.size} and {second.size} values are no pairs", way_out="give as many of one as of other"
        )
    if not (np.isfinite(first).all() and np.isfinite(second).all()):
        raise UserError("a value to be ranked is not a finite number", way_out="leave out the pair, and say so")
    n, ranks = len(first), [_ranks(first), _ranks(second)]
    if n < 2 or not all(np.ptp(values) for values in ranks):
        return RankCorrelation(None, None, n)
    left, right = (values - values.mean() for values in ranks)
    rho = float(np.clip(left @ right / math.sqrt((left @ left) * (right @ right)), -1, 1))
    if n < FEWEST_PAIRS:
        return RankCorrelation(rho, None, n)
    short_of_one = 1 - 6 / (n * (n**2 - 1))
    seen, z = math.atanh(max(-short_of_one, min(rho, short_of_one))), deviate(level)

    def beyond(candidate: float, edge: float) -> float:
        return (seen - math.atanh(candidate)) / math.sqrt((1 + candidate**2 / 2) / (n - 3)) - edge

    inside = (-1 + 1e-15, 1 - 1e-15)
    low, high = (optimize.root_scalar(beyond, args=(edge,), bracket=inside).root for edge in (z, -z))
    return RankCorrelation(rho, Interval(low, high, level, "bonett-wright score"), n)


def _ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    _, group, sizes = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(sizes)
    return (last - (sizes - 1) / 2)[group]


def _detectable_accuracy(discordant: float, count: int, power: float, level: float) -> float:
    """Of McNemar's test, by the normal approximation; no difference is larger than the share of discordant items."""
    z_level, z_power = deviate(level), float(special.ndtri(power))

    def surplus(difference: float) -> float:
        share = max(discordant, difference)
        return difference * math.sqrt(count) - z_level * math.sqrt(share) - z_power * math.sqrt(share - difference**2)

    return 1.0 if surplus(1.0) <= 0 else optimize.root_scalar(surplus, bracket=(1e-12, 1.0)).root


def _answers(values: ArrayLike) -> NDArray[np.bool_]:
    answers = np.asarray(values)
    if answers.ndim != 1 or not np.isin(answers, (0, 1)).all():
        raise UserError("an answer is right (1) or wrong (0), nothing between")
    return answers.astype(np.bool_)


def _visible(number: float, digits: int) -> int:
    """As many digits as asked for, or as many more as it takes not to write a number that is not 0 as 0."""
    while number and digits < MOST_DIGITS and float(f"{number:.{digits}f}") == 0:
        digits += 1
    return digits
