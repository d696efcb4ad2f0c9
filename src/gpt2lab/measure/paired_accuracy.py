"""Two models on the same items, right or wrong on each: only the items on which one alone is right tell them apart."""

from __future__ import annotations

import math
from typing import Literal

from scipy import optimize, special

from gpt2lab.measure.intervals import Interval, deviate

Test = Literal["exact", "mid-p"]
EXACT_BELOW = 25  # discordant items


def p_value(only_a: int, only_b: int, test: Test) -> float:
    """McNemar: were both equally good, each discordant item would be a fair coin."""
    tossed, fewer = only_a + only_b, min(only_a, only_b)
    if not tossed:
        return 1.0
    at_most, below = special.bdtr([fewer, fewer - 1], tossed, 0.5)
    if fewer == 0:
        below = 0.0
    return float(min(1.0, 2 * at_most if test == "exact" else at_most + below))


def tango(only_a: int, only_b: int, count: int, level: float) -> tuple[float, float]:
    """Differences of accuracy that the score test does not refuse; at 0 that test is McNemar's chi-square."""
    if only_a < only_b:  # by symmetry, so that swapping the two mirrors the interval to the last bit
        low, high = tango(only_b, only_a, count, level)
        return -high, -low
    z = deviate(level)
    value = (only_a - only_b) / count

    def beyond(difference: float, edge: float) -> float:
        return _score(only_a, only_b, count, difference) - edge

    low = optimize.root_scalar(beyond, args=(z,), bracket=(-1 + 1e-12, value)).root
    if only_a == only_b:
        return low, -low
    high = 1.0 if only_a == count else optimize.root_scalar(beyond, args=(-z,), bracket=(value, 1 - 1e-12)).root
    return low, high


def agreeing_interval(only_a: int, only_b: int, count: int, level: float, p: float) -> Interval:
    """Tango's interval, stretched to 0 where the stricter test does not show a difference.

    Up to a level of 0.99 the reverse never happens: what the exact or mid-p test shows, Tango's interval shows.
    """
    low, high = tango(only_a, only_b, count, level)
    if p > 1 - level:
        low, high = min(low, 0.0), max(high, 0.0)
    return Interval(low, high, level, "tango score")


def _score(only_a: int, only_b: int, count: int, difference: float) -> float:
    """How many standard errors the observed difference lies above this one, under the shares likeliest if it held."""
    distance = only_a - only_b - count * difference
    linear = (2 * count - only_a + only_b) * difference - only_a - only_b
    constant = -only_b * difference * (1 - difference)
    share_b = (math.sqrt(max(0.0, linear**2 - 8 * count * constant)) - linear) / (4 * count)
    variance = count * (2 * share_b + difference * (1 - difference))
    if variance <= 0:
        return math.copysign(math.inf, distance) if distance else 0.0
    return distance / math.sqrt(variance)
