"""Each variant against one declared baseline: over documents or items, over seeds, and corrected for their number."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np

from gpt2lab.core.errors import UserError
from gpt2lab.measure import comparison, intervals
from gpt2lab.measure.differences import Difference, holm, paired_ratio, paired_seeds
from gpt2lab.measure.intervals import Interval
from gpt2lab.study.report.columns import Cell, Column, is_exponential

LEVEL = 0.05
Record = Mapping[str, Any]


@dataclass(frozen=True)
class Against:
    variant: str
    baseline: str
    items: Difference  # over documents or items, seeds averaged
    seeds: Difference | None  # over seeds, where there are several
    unit: str
    scale: float
    lower_is_better: bool
    adjusted: float | None = None  # p after Holm

    @property
    def p(self) -> float | None:
        """A difference has to stand out among documents and among seeds: so the larger of the two."""
        known = [one.p for one in (self.items, self.seeds) if one is not None and one.p is not None]
        return max(known, default=None)

    @property
    def shown(self) -> bool:
        stands_out = self.items.shown and (self.seeds is None or self.seeds.shown)
        return stands_out and (self.adjusted is None or self.adjusted <= LEVEL)

    @property
    def gain(self) -> float:
        """How much better than the baseline, in its unit."""
        return (-self.items.value if self.lower_is_better else self.items.value) * self.scale

    @property
    def better(self) -> bool:
        return self.shown and self.gain > 0

    def wording(self) -> str:
        if self.shown or not self.items.shown:
            return self.items.wording(self.unit, digits=2 if self.scale > 1 else 3, scale=self.scale)
        if self.seeds is not None and not self.seeds.shown:
            return f"no difference shown: the seeds spread more than that ({self._seen()})"
        return f"no difference shown after Holm's correction ({self._seen()})"

    def _seen(self) -> str:
        return f"{self.items.value * self.scale:+.3g} {self.unit}"


def all_against(column: Column, baseline: str) -> dict[str, Against]:
    """Of every other variant whose items can be compared, with Holm over all of them."""
    there = column.cells.get(baseline)
    if not there:
        return {}
    found: dict[str, Against] = {}
    for variant, cell in column.cells.items():
        if variant != baseline and (one := _against(variant, cell, baseline, there, column)) is not None:
            found[variant] = one
    tested = [name for name, one in found.items() if one.p is not None]
    adjusted = holm([p for name in tested if (p := found[name].p) is not None])
    return {**found, **{name: replace(found[name], adjusted=p) for name, p in zip(tested, adjusted)}}


@lru_cache
def pair(column: Column, one: str, other: str) -> Against | None:
    """Two variants alone, without a correction."""
    return _against(one, column.cells[one], other, column.cells[other], column)


@lru_cache
def apart(column: Column, one: str, other: str) -> bool:
    """Whether two variants are shown to differ."""
    found = pair(column, one, other)
    return found is not None and found.shown


@lru_cache
def over_items(column: Column, variant: str) -> tuple[Interval | None, str]:
    """How far other documents or items could have moved the value of these runs, their mean where there are several."""
    found = [record for _, record in column.cells[variant]]
    stated = found[0].get("interval")
    if len(found) == 1:
        known = {key: stated[key] for key in ("low", "high", "level")} if stated else None
        return (Interval(**known) if known else None), str(found[0].get("interval_note") or "too few documents")
    try:
        for record in found[1:]:
            comparison.refuse_unlike(record, found[0])
    except UserError as error:
        return None, error.cause
    scores = _mean(found) / (math.log(2) if column.what.startswith("bits") else 1.0)
    transform = "exp" if is_exponential(column.what) else "none"
    interval, note = intervals.of_ratio(scores, _sizes(found[0]), transform=transform)
    return interval, note or ""


def difference(ours: Record, theirs: Record) -> float | None:
    """Of one run, without an interval: nats, or a share of the items."""
    try:
        comparison.refuse_unlike(ours, theirs)
    except UserError:
        return None
    return _ratio(ours) - _ratio(theirs)


def _against(variant: str, cell: Cell, baseline: str, there: Cell, column: Column) -> Against | None:
    ours, theirs = [record for _, record in cell], [record for _, record in there]
    try:
        for record in (*ours, *theirs[1:]):
            comparison.refuse_unlike(record, theirs[0])
        if len(ours) == len(theirs) == 1:
            items = comparison.compare(ours[0], theirs[0])
        else:
            items = paired_ratio(_mean(ours), _mean(theirs), _sizes(theirs[0]))
    except UserError:
        return None  # no items are kept, or they are others: then the two do not compare
    right = _is_answered(theirs[0])
    unit = "points" if right else f"nats a {comparison.denominator_of(theirs[0]).removesuffix('s')}"
    return Against(variant, baseline, items, _seeds(cell, there), unit, 100.0 if right else 1.0, not right)


def _seeds(cell: Cell, there: Cell) -> Difference | None:
    """By pairs of the same seed; a baseline of one run stands against each."""
    if len(cell) < 2:
        return None
    if len(there) == 1:
        pairs = [(record, there[0][1]) for _, record in cell]
    else:
        by_seed = {run.seed: record for run, record in there}
        pairs = [(record, by_seed[run.seed]) for run, record in cell if run.seed in by_seed]
    if len(pairs) < 2:
        return None
    return paired_seeds([_ratio(ours) for ours, _ in pairs], [_ratio(theirs) for _, theirs in pairs])


def _ratio(record: Record) -> float:
    return float(np.sum(_scores(record)) / np.sum(_sizes(record)))


def _mean(records: Sequence[Record]) -> np.ndarray:
    return np.mean([_scores(record) for record in records], axis=0)


def _scores(record: Record) -> np.ndarray:
    if not _is_answered(record):
        return np.array([item["nll"] for item in record["items"]], np.float64)
    kind = str(record.get("value_is", ""))
    return np.array(
        [item["right"] if "right" in item else item["chosen"][kind] == item["label"] for item in record["items"]],
        np.float64,
    )


def _sizes(record: Record) -> np.ndarray:
    if _is_answered(record):
        return np.ones(len(record["items"]))
    return np.array([item[comparison.denominator_of(record)] for item in record["items"]], np.float64)


def _is_answered(record: Record) -> bool:
    return bool({"label", "right"} & record["items"][0].keys())
