"""Results that may stand in one column: the same protocol, data and settings, and nothing else."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean, geometric_mean
from typing import Any

from gpt2lab.core import files
from gpt2lab.measure.intervals import Interval, over_seeds
from gpt2lab.measure.showing import KINDS, SHARES
from gpt2lab.study.report.facts import Facts, Run
from gpt2lab.text.corpus import is_corpus, open_corpus

COSTS = ("forgetting", "text-quality")  # what tuning costs; never what a study aims at
AIMS = ("labels", "perplexity/token-window", "perplexity/word", "bits-per-byte", "hellaswag", "lambada", "choices")
LOW_IS_GOOD = ("perplexity", "bits", "nats", "word_perplexity", "byte_perplexity")
Record = Mapping[str, Any]
Cell = list[tuple[Run, Record]]  # of one variant, by seed
LARGEST = math.log(sys.float_info.max)


@dataclass(frozen=True, eq=False)
class Column:
    protocol: str  # `id@version`
    data: str
    split: str | None
    what: str
    settings: dict[str, Any]
    cells: dict[str, Cell]
    apart: str = ""  # what tells it from another of the same protocol and data

    @property
    def family(self) -> str:
        return self.protocol.partition("@")[0]

    @property
    def lower_is_better(self) -> bool:
        return self.what.startswith(LOW_IS_GOOD)

    @property
    def title(self) -> str:
        return f"{self.protocol} on {self.data}" + (f", {self.split}" if self.split else "") + self.apart

    def values(self, variant: str) -> list[float]:
        return [float(record["value"]) for _, record in self.cells.get(variant, ())]

    def mean(self, variant: str) -> float | None:
        """Over seeds, as its interval over items takes it: of perplexities the exponential of their mean logarithm."""
        found = self.values(variant)
        if not found:
            return None
        return geometric_mean(found) if is_exponential(self.what) else fmean(found)


def columns(facts: Facts) -> list[Column]:
    """In the order in which the recipe measures, then by name."""
    groups: dict[str, list[tuple[str, Run, Record]]] = {}
    for variant, runs in facts.variants.items():
        for run in runs:
            for record in run.records:
                groups.setdefault(_key(record), []).append((variant, run, record))
    found = _told_apart([_column(group) for group in groups.values()])
    asked = [name for measure in facts.recipe.get("measures") or () for name in _names(measure)]
    places = {name: place for place, name in reversed(list(enumerate(asked)))}
    return sorted(
        found, key=lambda one: (places.get(one.family, len(places)), one.title, files.fingerprint(one.settings))
    )


def _told_apart(found: Sequence[Column]) -> list[Column]:
    """Columns of one title get the settings in which they differ, such as a shorter context."""
    told = []
    for one in found:
        others = [other for other in found if other is not one and other.title == one.title]
        keys = [key for key in one.settings if any(other.settings.get(key) != one.settings[key] for other in others)]
        told.append(replace(one, apart="".join(f", {key} {one.settings[key]}" for key in keys)))
    return told


def aim(found: Sequence[Column], facts: Facts) -> Column | None:
    """What the study is about: the first thing that its recipe measures on most variants."""
    possible = [one for one in found if one.family not in COSTS and all(_is_number(r) for r in _records(one))]
    asked = [name for measure in facts.recipe.get("measures") or () for name in _names(measure)]

    def rank(one: Column) -> tuple[int, int, int, int]:
        by_recipe = asked.index(one.family) if one.family in asked else len(asked)
        family = next((place for place, name in enumerate(AIMS) if one.family.startswith(name)), len(AIMS))
        return (-len(one.cells), by_recipe, one.split == "validation", family)

    return min(possible, key=rank, default=None)


def cost(found: Sequence[Column], family: str, target: Column | None) -> Column | None:
    """The column of forgetting or text quality that covers most variants, first of all those that met the target."""

    def covers(one: Column) -> tuple[int, int]:
        return len(one.cells.keys() & (target.cells.keys() if target else ())), len(one.cells)

    return max((one for one in found if one.family == family), key=covers, default=None)


def _column(group: Sequence[tuple[str, Run, Record]]) -> Column:
    _, _, first = group[0]
    cells: dict[str, Cell] = {}
    for variant, run, record in group:
        cells.setdefault(variant, []).append((run, record))
    source, settings = first["data"], dict(first["settings"])
    split = source.get("split") or settings.get("split")
    return Column(first["protocol"], data_name(source), split, what_is(first), settings, cells)


def around_seeds(what: str, values: Sequence[float]) -> Interval | None:
    """Seeds that agree to the last digit have no spread to judge by; a share ends at 0 and at 1, and a perplexity's
    interval is taken on the logarithm, as that over documents is."""
    if len(set(values)) < 2:
        return None
    if is_exponential(what):
        found = over_seeds([math.log(value) for value in values])
        return found and replace(found, low=_exponential(found.low), high=_exponential(found.high))
    found = over_seeds(values)
    if found is None or not what.startswith(("accuracy", "macro")):
        return found
    return replace(found, low=max(0.0, found.low), high=min(1.0, found.high))


def is_exponential(what: str) -> bool:
    """Of a mean that is taken on the logarithm."""
    return "perplexity" in what


def data_name(source: Record) -> str:
    path = str(source.get("path") or "its data")
    if is_corpus(Path(path)):
        path = str(open_corpus(Path(path)).manifest["source"].get("data") or path)
    return Path(path).name if "/" in path and not path.startswith(("hub:", "builtin:")) else path


def what_is(record: Record) -> str:
    """Of the record's `value`."""
    name = str(record.get("value_is") or "")
    if name in SHARES:
        return name.replace("_", " ")
    return KINDS.get(str(record["protocol"]).partition("@")[0], name or "value")


def _key(record: Record) -> str:
    """Everything that `comparison` would refuse to differ, short of the items themselves."""
    items = len(record.get("items") or ())
    beside = record.get("train") or (record.get("asked") or {}).get("beside")
    hashed = record["data"].get("hash")
    if str(record["protocol"]).startswith("text-quality"):
        hashed, items = files.fingerprint(record.get("conditions")), 0  # each model has samples of its own
    return files.fingerprint([record["protocol"], hashed, record["settings"], items, beside])


def _names(measure: Mapping[str, Any]) -> list[str]:
    return [name.strip() for name in str(measure.get("protocol", "")).split(",")]


def _records(column: Column) -> list[Record]:
    return [record for cell in column.cells.values() for _, record in cell]


def _is_number(record: Record) -> bool:
    return isinstance(record.get("value"), int | float)


def _exponential(number: float) -> float:
    """Two seeds that differ much can reach beyond all numbers."""
    return math.exp(min(number, LARGEST))
