"""What may be said, computed: a direction only where an interval leaves out 0, and `no difference shown` elsewhere."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from gpt2lab.core.console import counted
from gpt2lab.measure import comparison
from gpt2lab.measure.intervals import over_seeds
from gpt2lab.study.report import against as comparing
from gpt2lab.study.report import numbers
from gpt2lab.study.report.against import Against
from gpt2lab.study.report.columns import Column, around_seeds, is_exponential
from gpt2lab.study.report.facts import Facts


@dataclass(frozen=True)
class Verdict:
    headline: str
    sentences: list[str]


def verdict(facts: Facts, target: Column | None, against: Mapping[str, Against], forgetting: Column | None) -> Verdict:
    if target is None:
        return Verdict("Nothing has been measured yet, so there is no verdict.", [])
    sentences = [
        *(_of_variant(target, name, against) for name in target.cells if name not in against),
        *(_of_variant(target, name, against) for name in against),
        *_best_two(target, against),
        *_forgotten(forgetting),
        *_learned(facts),
        *_missing(facts, target),
    ]
    return Verdict(_headline(target, against), sentences)


def _headline(target: Column, against: Mapping[str, Against]) -> str:
    if not against:
        if len(target.cells) > 1:
            return f"No two variants have results on {target.title} that can be compared item by item."
        name = next(iter(target.cells))
        return f"{name}: {target.what} {_value(target, name)} ({target.title})."
    baseline = next(iter(against.values())).baseline
    better = [name for name, one in against.items() if one.better]
    worse = [name for name, one in against.items() if one.shown and not one.better]
    open_ones = [name for name in against if name not in (*better, *worse)]
    where = f"({target.what}, {target.title})"
    lower = f"; {_and(worse)} {_is(worse)} worse" if worse else ""
    if not better:
        return f"No variant is shown to be better than {baseline} {where}{lower}."
    best = max(better, key=lambda name: against[name].gain)
    rivals = [name for name in better if name != best and not comparing.apart(target, best, name)]
    behind = [name for name in better if name not in (best, *rivals)]
    said = f"{_and([best, *rivals])} {'are' if rivals else 'is'} better than {baseline}"
    if rivals:
        said += ", with no difference shown between them" if len(rivals) == 1 else ", and none is shown to be ahead"
    elif behind:
        said += f", and better than {_and(behind)}, which {_is(behind)} better than {baseline} as well"
    unsure = f"; of {_and(open_ones)} that is not shown" if open_ones else ""
    return f"{said} {where}{lower}{unsure}."


def _of_variant(target: Column, name: str, against: Mapping[str, Against]) -> str:
    said = f"{name}: {target.what} {_value(target, name)}"
    if name not in against:
        return f"{said}."
    one = against[name]
    p = f", p {numbers.p_value(one.adjusted)} after Holm" if one.adjusted is not None else ""
    over = f"{one.items.n:,} {_items(target)}"
    seeds = f", {counted(one.seeds.n, 'seed')}" if one.seeds else ""
    ratio = ""
    if one.better and is_exponential(target.what):
        ratio = f", −{1 - math.exp(one.items.value):.1%} perplexity"
    return f"{said}; against {one.baseline} {one.wording()} ({over}{seeds}{p}{ratio})."


def _value(target: Column, name: str) -> str:
    """With its interval over documents or items, and that over seeds where there are several."""
    values = target.values(name)
    mean = numbers.value(target.what, target.mean(name))
    found, reason = comparing.over_items(target, name)
    inside = numbers.interval(target.what, found.as_dict()) if found else f"no interval: {reason}"
    if (around := around_seeds(target.what, values)) is None:
        return f"{mean} [{inside}]"
    seeds = numbers.interval(target.what, around.as_dict())
    return f"{mean} [{inside}; over {counted(len(values), 'seed')} {seeds}]"


def _best_two(target: Column, against: Mapping[str, Against]) -> Iterator[str]:
    """The winner against the one behind it: being better than the base says nothing of that."""
    if len(against) < 2:
        return
    first, second = sorted(against, key=lambda name: -against[name].gain)[:2]
    found = comparing.pair(target, first, second)
    if found is not None:
        yield f"{first} against {second}, the next best: {found.wording()}."


def _forgotten(forgetting: Column | None) -> Iterator[str]:
    for name, cell in forgetting.cells.items() if forgetting else ():
        values = [float(record["value"]) for _, record in cell]
        mean = sum(values) / len(values)
        around = over_seeds(values) if len(values) > 1 else None
        found = around.as_dict() if around else cell[0][1].get("interval")
        what = "nats a token of the original domain"
        if not found:
            yield f"{name}: forgetting {mean:+.4f} {what}, no interval."
        elif found["low"] <= 0 <= found["high"]:
            half = (found["high"] - found["low"]) / 2
            yield f"{name}: no forgetting shown (resolution ±{half:.4f} {what})."
        else:
            word = "forgot" if mean > 0 else "gained"
            yield f"{name} {word} {abs(mean):.4f} [{found['low']:.4f}, {found['high']:.4f}] {what}."


def _learned(facts: Facts) -> Iterator[str]:
    """Of what began with random weights: there the first loss says what knowing nothing costs."""
    for run in facts.runs:
        losses = [line["loss"] for line in run.metrics if line.get("loss") is not None]
        if run.about.get("kind") == "pretrain" and len(losses) > 1:
            steps = counted(len(run.metrics), "step")
            yield f"{run.name}: the loss of training went from {losses[0]:.2f} to {losses[-1]:.2f} nats in {steps}."


def _missing(facts: Facts, target: Column) -> Iterator[str]:
    lost = [
        name for name in facts.variants if name not in target.cells and any(r.problem for r in facts.variants[name])
    ]
    if lost:
        yield f"Without a result: {', '.join(lost)}; why stands under “How each number was made”."


def _items(target: Column) -> str:
    record = next(iter(target.cells.values()))[0][1]
    first = (record.get("items") or [{}])[0]
    return next((f"{name}s" for name in comparison.IDENTITIES if name in first), "items")


def _and(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _is(names: list[str]) -> str:
    return "is" if len(names) == 1 else "are"
