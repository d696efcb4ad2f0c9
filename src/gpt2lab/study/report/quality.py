"""What the written texts are like, score by score, and whether the scores follow the target."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from gpt2lab.measure import differences
from gpt2lab.measure.intervals import over_seeds
from gpt2lab.study.report import numbers
from gpt2lab.study.report.columns import Column
from gpt2lab.study.report.facts import Run
from gpt2lab.study.report.tables import Cell, Table

DRAWN = ("relevance", "drift", "rep_4", "distinct_2", "self_bleu", "copied_13", "fits")  # the first that there is


def tables(target: Column | None, quality: Column | None) -> Iterator[Table]:
    if quality is None:
        return
    names = [name for name in _score_names(quality) if has(quality, name)]
    heads = [Cell("score"), *(Cell(variant, True) for variant in quality.cells)]
    rows = [
        [Cell(name.replace("_", " ")), *(Cell(_score(cell, name), True) for cell in quality.cells.values())]
        for name in names
    ]
    note = "Means over samples; of one run with its interval over prompts, of several seeds with that over seeds."
    yield Table("What the texts are like", heads, rows, note)
    if target is not None:
        ranked = list(_ranked(target, quality, names))
        if ranked:
            said = f"Spearman's rank correlation with {target.what} over runs; six runs are the fewest for an interval."
            head = [Cell("score"), Cell("rho", True), Cell("95 % interval", True), Cell("runs", True)]
            yield Table(f"Do the scores follow {target.what}?", head, ranked, said)


def _ranked(target: Column, quality: Column, names: Sequence[str]) -> Iterator[list[Cell]]:
    values = {run.name: float(record["value"]) for cell in target.cells.values() for run, record in cell}
    for name in names:
        pairs = [
            (values[run.name], record["scores"][name]["value"])
            for cell in quality.cells.values()
            for run, record in cell
            if run.name in values and (record["scores"].get(name) or {}).get("value") is not None
        ]
        if len(pairs) < 3:
            continue
        rho, around, count = differences.rank_correlation([a for a, _ in pairs], [b for _, b in pairs])
        if rho is not None:
            inside = f"{around.low:+.2f} to {around.high:+.2f}" if around else numbers.NOTHING
            parts = (name.replace("_", " "), f"{rho:+.2f}", inside, str(count))
            yield [Cell(text, place > 0) for place, text in enumerate(parts)]


def has(quality: Column, name: str) -> bool:
    return any(
        (record["scores"].get(name) or {}).get("value") is not None
        for cell in quality.cells.values()
        for _, record in cell
    )


def _score_names(quality: Column) -> list[str]:
    return list(
        dict.fromkeys(name for cell in quality.cells.values() for _, record in cell for name in record["scores"])
    )


def _score(cell: Sequence[tuple[Run, Mapping[str, Any]]], name: str) -> str:
    found = [record["scores"].get(name) or {} for _, record in cell]
    values = [float(one["value"]) for one in found if one.get("value") is not None]
    if not values:
        return numbers.NOTHING
    around = over_seeds(values)
    inside = around.as_dict() if around else found[0].get("interval")
    ends = f" [{inside['low']:.3g}, {inside['high']:.3g}]" if inside else ""
    return f"{sum(values) / len(values):.3g}{ends}"
