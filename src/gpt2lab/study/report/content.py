"""Everything that a report says, put together once; the page and the Markdown only lay it out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gpt2lab import __version__
from gpt2lab.study.report import against as comparing
from gpt2lab.study.report import charts, how, samples, tables, uses
from gpt2lab.study.report import quality as scores
from gpt2lab.study.report.against import Against
from gpt2lab.study.report.columns import Column, aim, columns, cost
from gpt2lab.study.report.drawing import COLOURS, Chart, Plot, draw
from gpt2lab.study.report.facts import BASES, Facts
from gpt2lab.study.report.tables import Table
from gpt2lab.study.report.verdict import Verdict, verdict


@dataclass(frozen=True)
class Content:
    title: str
    question: str
    verdict: Verdict
    variants: Table
    tables: list[Table]
    charts: dict[str, list[Chart]]
    looks: list[Table]
    quality: list[Table]
    samples: samples.Samples
    blind: list[dict[str, Any]]
    uses: list[uses.Use]
    protocols: list[dict[str, Any]]
    how: list[Table]
    missing: list[str]
    commands: list[str]
    colours: dict[str, int]
    version: str = __version__


def gather(facts: Facts, figures: Path) -> Content:
    """The figures are drawn on the way."""
    found = columns(facts)
    target = aim(found, facts)
    baseline = baseline_of(facts, target)
    against = comparing.all_against(target, baseline) if target and baseline else {}
    forgetting, quality = cost(found, "forgetting", target), cost(found, "text-quality", target)
    colour = charts.colours(facts)
    missing = list(facts.missing)
    drawn = _charts(facts, target, against, forgetting, quality, colour, figures)
    missing += _sections_without_data(facts, target, forgetting, quality, drawn)
    written = samples.side_by_side(facts, quality)
    return Content(
        facts.name,
        facts.question,
        verdict(facts, target, against, forgetting),
        tables.variants(facts, target, against, forgetting),
        [*tables.all_results(found), *tables.published(facts, found)],
        drawn,
        list(tables.looks(facts)),
        list(scores.tables(target, quality)),
        written,
        samples.blind(written),
        uses.uses(facts, target, against, forgetting, quality),
        list(how.protocols(found)),
        list(tables.making(facts)),
        missing,
        list(facts.commands),
        {name: number % len(COLOURS) for name, number in colour.items()},
    )


def baseline_of(facts: Facts, target: Column | None) -> str | None:
    """The untouched base, else the pretrained one, else the first variant that was measured."""
    there = list(target.cells) if target else []
    return next((name for name in (*BASES, *facts.variants) if name in there), None)


def _charts(
    facts: Facts,
    target: Column | None,
    against: Mapping[str, Against],
    forgetting: Column | None,
    quality: Column | None,
    colour: Mapping[str, int],
    figures: Path,
) -> dict[str, list[Chart]]:
    def all_of(plots: Sequence[Plot | None]) -> list[Chart]:
        return [draw(plot, figures) for plot in plots if plot is not None]

    measured = [charts.target(target, colour)] if target else []
    traded = charts.costs(target, forgetting, against, colour) if target and forgetting and against else None
    best = next((name for name in scores.DRAWN if quality and scores.has(quality, name)), None)
    judged = charts.quality(target, quality, best, colour) if target and quality and best else None
    return {
        "results": all_of([*measured, traded]),
        "training": all_of([*charts.curves(facts, colour), charts.accuracies(facts, colour)]),
        "search": all_of(
            [charts.search(number, name, found) for number, (name, found) in enumerate(facts.searches.items())]
        ),
        "classes": all_of([plot for _, plot in charts.confusions(target)]),
        "quality": all_of([judged]),
    }


def _sections_without_data(
    facts: Facts,
    target: Column | None,
    forgetting: Column | None,
    quality: Column | None,
    drawn: Mapping[str, Sequence[Chart]],
) -> Iterator[str]:
    """Left out of the report, and said."""
    classifies = target is not None and target.family == "labels"
    if target is None:
        yield "results: nothing has been measured"
    if forgetting is None and not classifies:
        yield "forgetting: not measured, so gain against forgetting is not drawn"
    if quality is None and not classifies:
        yield "text quality: not measured"
    if not any(run.samples for run in facts.runs) and not classifies:
        yield "samples: none were written"
    if not drawn["training"]:
        yield "curves: nothing was trained here"
    if not drawn["search"] and _wants_a_search(facts.recipe):
        yield "search: asked for, and not done yet"


def _wants_a_search(recipe: Mapping[str, Any]) -> bool:
    return bool(recipe.get("over")) or any(own.get("over") for own in (recipe.get("variants") or {}).values())
