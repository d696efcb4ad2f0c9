"""Whole documents resampled: how far a ratio of sums could lie from the one it estimates."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gpt2lab.core import console
from gpt2lab.core.errors import UserError

Numbers = NDArray[np.float64]

FEWEST_DOCUMENTS = 10
CHUNK_CELLS = 300_000  # of the table resamples × documents: it stays in the cache
ROUNDING = 1e-12  # errors below this share of the numbers they come from are rounding, not spread


@dataclass(frozen=True)
class Ratio:
    """Σnumerators / Σdenominators, its standard error, and how often each resample strayed, in its own errors."""

    value: float
    error: float
    count: int
    strays: Numbers  # |resampled ratio − ratio| / the resample's own standard error, in ascending order

    def half_width(self, level: float) -> float | None:
        """Half the symmetric studentised interval; none where the documents that differ are too few to resample."""
        if self.error == 0:
            return 0.0
        past = self.strays[len(self.strays) - _allowed(level, len(self.strays))]
        return float(past * self.error) if np.isfinite(past) else None

    def p_against(self, value: float) -> float:
        """Below 1 − level exactly where the interval of that level leaves the value out."""
        distance = abs(self.value - value)
        if self.error == 0:
            return 1.0 if distance == 0 else 0.0
        as_far = len(self.strays) - np.searchsorted(self.strays, distance / self.error, side="left")
        return float((1 + as_far) / (1 + len(self.strays)))


def ratio(numerators: Numbers, denominators: Numbers, *, seed: int, resamples: int) -> Ratio:
    """The order of the documents, their unit and the sign of the numerators move nothing but what they must."""
    order, sign = _one_order(numerators, denominators)
    numerators, denominators = sign * numerators[order], denominators[order]
    value, error = standard_error(numerators, denominators)
    strays = np.zeros(resamples)
    if error:
        residuals = numerators - value * denominators
        random, done = np.random.default_rng(seed), 0
        while done < resamples:
            drawn = draw(random, min(resamples - done, max(1, CHUNK_CELLS // len(order))), len(order))
            strays[done : done + len(drawn)] = stray(residuals, denominators, drawn)[:, 0]
            done += len(drawn)
        strays.sort()
    return Ratio(float(sign * value), float(error), len(order), strays)


def draw(random: np.random.Generator, resamples: int, documents: int) -> Numbers:
    """How often each resample holds each document, `documents` draws with replacement."""
    drawn = random.integers(0, documents, (resamples, documents), dtype=np.int32).astype(np.int64)
    drawn += np.arange(resamples)[:, None] * documents
    counts = np.bincount(drawn.ravel(), minlength=resamples * documents)
    return counts.reshape(resamples, documents).astype(np.float64)


def standard_error(numerators: Numbers, denominators: Numbers) -> tuple[Numbers, Numbers]:
    """Σnumerators / Σdenominators over the first axis, and its error by leaving out one document at a time.

    The linearised error is too small when a few long documents carry the weight, and intervals then hold less often.
    """
    total = denominators.sum(axis=0)
    value = numerators.sum(axis=0) / total
    moved = (numerators - value * denominators) / (total - denominators)
    error = np.sqrt((moved**2).sum(axis=0))
    return value, np.where(error <= ROUNDING * np.abs(numerators).sum(axis=0) / total, 0.0, error)


def stray(residuals: Numbers, denominators: Numbers, drawn: Numbers) -> Numbers:
    """|studentised shift| of each resample (rows), for each sample (columns) of documents (first axis).

    Where the documents of a resample are all alike, three terms cancel and leave rounding, which is no error.
    Products with one table of counts give the five sums that a resample's shift and linearised error are made of.
    """
    documents = len(residuals)
    residuals, denominators = residuals.reshape(documents, -1), denominators.reshape(documents, -1)
    shift, total = drawn @ residuals, drawn @ denominators
    shift /= total
    squared, crossed = drawn @ residuals**2, 2 * shift * (drawn @ (residuals * denominators))
    shifted = shift**2 * (drawn @ denominators**2)
    squares = squared - crossed + shifted
    error = np.sqrt(np.maximum(squares, 0) * (documents / (documents - 1))) / total
    least = ROUNDING * np.abs(residuals).sum(axis=0) / denominators.sum(axis=0)
    nothing = (error <= least) | (squares <= ROUNDING * (squared + np.abs(crossed) + shifted))
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(nothing, np.where(np.abs(shift) <= least, 0.0, np.inf), np.abs(shift) / error)


def scored(denominators: ArrayLike, *numerators: ArrayLike) -> tuple[Numbers, ...]:
    """The documents in which something was scored; the others are no units. Checked, as float64."""
    arrays = [np.asarray(values, np.float64) for values in (denominators, *numerators)]
    if len({values.shape for values in arrays}) > 1 or arrays[0].ndim != 1:
        raise UserError(
            f"sums over {' and '.join(str(len(values)) for values in arrays)} documents do not belong together",
            way_out="measure both on the same documents",
        )
    for values in arrays:
        if not np.isfinite(values).all():
            raise UserError(
                "a document's sum is not a finite number", place=f"document {np.flatnonzero(~np.isfinite(values))[0]}"
            )
    assert (arrays[0] >= 0).all()
    return tuple(values[arrays[0] > 0] for values in arrays)


def too_few(count: int, unit: str) -> str:
    return f"{console.counted(count, unit)}, and an interval needs at least {FEWEST_DOCUMENTS}"


def too_alike(unit: str) -> str:
    return f"too few {unit}s differ from the rest for an interval"


def _one_order(numerators: Numbers, denominators: Numbers) -> tuple[NDArray[np.int64], float]:
    """An order that depends on no other, and the sign that makes a difference and its reverse the same numbers."""
    order, mirrored = np.lexsort((denominators, numerators)), np.lexsort((denominators, -numerators))
    ahead, behind = (
        np.stack([numerators[order], denominators[order]], 1),
        np.stack([-numerators[mirrored], denominators[mirrored]], 1),
    )
    apart = np.flatnonzero(ahead.ravel() != behind.ravel())
    if len(apart) and ahead.ravel()[apart[0]] > behind.ravel()[apart[0]]:
        return mirrored, -1.0
    return order, 1.0


def _allowed(level: float, resamples: int) -> int:
    """How many resamples may stray as far as the edge of the interval, or farther."""
    allowed = int(np.floor((1 - level) * (resamples + 1) + 1e-9))
    assert allowed >= 1, "too few resamples for this level"
    return allowed
