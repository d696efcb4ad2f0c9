"""Which charts a study's results call for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from gpt2lab.measure import published
from gpt2lab.study.report import numbers
from gpt2lab.study.report.against import Against, difference
from gpt2lab.study.report.columns import Column, around_seeds
from gpt2lab.study.report.drawing import MOST_POINTS, Plot, Series, thinned
from gpt2lab.study.report.facts import BASES, Facts, Run

CURVES = {
    "rate": ("learning rate", "Learning rate"),
    "gradient_norm": ("norm of the gradient, before clipping", "Gradient norm"),
}


def colours(facts: Facts) -> dict[str, int]:
    """A variant has one colour in all charts; bases are grey."""
    tuned = [name for name in facts.variants if name not in BASES]
    return {**dict.fromkeys(BASES, 0), **{name: place for place, name in enumerate(tuned, 1)}}


def target(column: Column, colour: Mapping[str, int]) -> Plot:
    """Every seed as a dot; one run with its interval over documents or items, several with that over seeds."""
    names, series = list(column.cells), []
    for place, name in enumerate(names):
        cell, values = column.cells[name], column.values(name)
        spread = [0.0] if len(values) == 1 else [(k / (len(values) - 1) - 0.5) * 0.24 for k in range(len(values))]
        labels = [f"{run.name}: {numbers.value(column.what, value)}" for (run, _), value in zip(cell, values)]
        dots = [(place + shift, value) for shift, value in zip(spread, values)]
        found = cell[0][1].get("interval") if len(values) == 1 else None
        series.append(Series(name, dots, "dots", colour.get(name, 0), _one_band(found), labels))
        if (around := around_seeds(column.what, values)) is not None:
            mean, band = column.mean(name) or 0.0, [(around.low, around.high)]
            label = f"{name}: mean {numbers.value(column.what, mean)}, 95 % over seeds"
            series.append(
                Series(f"{name}, mean", [(place + 0.28, mean)], "dots", colour.get(name, 0), band, [label], name)
            )
    series += _published(column)
    better = "lower" if column.lower_is_better else "higher"
    said = "; ".join(f"{name} {_values(column, name)}" for name in names)
    return Plot(
        "target", f"{column.what} by variant", "", f"{column.what} ({better} is better)", series,
        f"{column.what} of each variant, every seed a dot: {said}.", names,
        note="Bars are 95 % intervals: over documents or items for one run, over seeds beside the mean of several.",
    )  # fmt: skip


def costs(column: Column, forgetting: Column, against: Mapping[str, Against], colour: Mapping[str, int]) -> Plot | None:
    """What each seed gained on the target and lost on the original domain."""
    series, everything = [], []
    for name, one in against.items():
        there = {run.name: record for run, record in forgetting.cells.get(name, ())}
        dots, bands, labels = [], [], []
        for run, record in column.cells[name]:
            gain = _gain(record, column, one.baseline)
            if gain is None or run.name not in there:
                continue
            lost = there[run.name]
            dots.append((gain, float(lost["value"])))
            bands += _one_band(lost.get("interval")) or [(float(lost["value"]),) * 2]
            labels.append(f"{run.name}: gain {gain:.4g}, forgetting {lost['value']:.4g} nats a token")
        if dots:
            series.append(Series(name, dots, "dots", colour.get(name, 0), bands, labels))
            everything += dots
    if not series:
        return None
    front = _pareto(everything)
    series.append(Series("Pareto front", front, "front"))
    unit = next(iter(against.values())).unit
    return Plot(
        "gain-forgetting", "What was gained, and what was forgotten", f"gain on the target, {unit}",
        "forgetting, nats a token", series,
        "Gain against forgetting, a dot a seed: " + "; ".join(label for one in series for label in one.labels) + ".",
        note="Right is better, low is better: no run lies both right of and below the dotted Pareto front.",
    )  # fmt: skip


def curves(facts: Facts, colour: Mapping[str, int]) -> Iterator[Plot]:
    """Of each kind of training by itself: their losses have nothing to do with each other."""
    for kind in ("pretrain", "finetune"):
        runs = [run for run in facts.runs if run.about.get("kind") == kind and run.metrics]
        if not runs:
            continue
        name = "pretraining" if kind == "pretrain" else "tuning"
        yield _losses(runs, name, colour)
        for key, (axis, title) in CURVES.items():
            series = [
                Series(run.name, points, "line", colour.get(run.variant, 0), of=run.variant)
                for run in runs
                if (points := thinned(_points(run, key)))
            ]
            if series:
                slug = f"{key.replace('_', '-')}-{name}"
                yield Plot(slug, f"{title}, {name}", "step", axis, series, _said(f"{title} while {name}", series))
        yield from _probes(runs, name, colour)


def accuracies(facts: Facts, colour: Mapping[str, int]) -> Plot | None:
    """Validation accuracy by step: the mean over seeds, and the range between the lowest and the highest."""
    series = []
    for name, runs in facts.variants.items():
        looks = [dict(_points(run, "validation_accuracy")) for run in runs]
        looks = [one for one in looks if one]
        if not looks:
            continue
        steps = sorted(set.intersection(*(set(one) for one in looks)))
        points = [(step, sum(one[step] for one in looks) / len(looks)) for step in steps]
        band = [(min(one[step] for one in looks), max(one[step] for one in looks)) for step in steps]
        seeds = f", {len(looks)} seeds" if len(looks) > 1 else ""
        labels = [
            f"step {step:,.0f}: {value:.2%}" + (f" [{low:.2%}, {high:.2%}]" if len(looks) > 1 else "")
            for (step, value), (low, high) in zip(points, band)
        ]
        if points:
            ranged = band if len(looks) > 1 else ()
            series.append(Series(f"{name}{seeds}", points, "marked", colour.get(name, 0), ranged, labels, of=name))
    if not series:
        return None
    return Plot(
        "accuracy_curves", "Validation accuracy", "step", "accuracy", series, _said("Validation accuracy", series),
        note="Lines are means over seeds, bands reach from the lowest seed to the highest.",
    )  # fmt: skip


def search(number: int, name: str, found: Mapping[str, Any]) -> Plot | None:
    """Every trial over the first setting that was searched."""
    trials = [trial for trial in found.get("trials", ()) if trial.get("best") is not None and trial["point"]]
    if not trials:
        return None
    key = next(iter(trials[0]["point"]))
    values = [trial["point"][key] for trial in trials]
    numeric = [_number(value) for value in values]
    names = () if all(number is not None for number in numeric) else tuple(dict.fromkeys(values))
    at = [float(names.index(value)) for value in values] if names else [float(number or 0) for number in numeric]
    series = []
    for colour, state in ((1, "finished"), (5, "pruned"), (2, "diverged"), (4, "out of memory")):
        chosen = [(x, trial["best"], trial) for x, trial in zip(at, trials) if trial["state"] == state]
        chosen.sort(key=lambda shown: shown[:2])
        if chosen:
            labels = [", ".join(f"{k}={v}" for k, v in t["point"].items()) + f": {y:.4g}" for _, y, t in chosen]
            style = "marked" if state == "finished" and len(chosen[0][2]["point"]) == 1 else "dots"
            series.append(Series(state, [(x, y) for x, y, _ in chosen], style, colour, labels=labels))
    if not series:
        return None
    return Plot(
        f"search-{number}", f"The search over {key}, with {name}", key, f"best {found['watched']}", series,
        f"Search over {key}, with {name}: " + "; ".join(label for one in series for label in one.labels) + ".",
        names, log=not names and min(at) > 0,
    )  # fmt: skip


def confusions(column: Column | None) -> Iterator[tuple[str, Plot]]:
    """A table a variant, its seeds added up."""
    for number, (name, cell) in enumerate(column.cells.items() if column else ()):
        found = [record for _, record in cell if record.get("confusion")]
        if not found:
            continue
        classes = [str(one["name"]) for one in found[0]["classes"]]
        matrix = [
            [sum(record["confusion"][i][j] for record in found) for j in range(len(classes))]
            for i in range(len(classes))
        ]
        seeds = f", {len(found)} seeds added up" if len(found) > 1 else ""
        wrong = [(matrix[i][j], i, j) for i in range(len(classes)) for j in range(len(classes)) if i != j]
        count, i, j = max(wrong, default=(0, 0, 0))
        said = f"Confusion of {name}: {sum(matrix[k][k] for k in range(len(classes))):,} of {_total(matrix):,} right"
        said += f"; most often {classes[i]} was taken for {classes[j]} ({count:,})." if count else "."
        yield name, Plot(
            f"confusion-{number}", f"What {name} takes for what{seeds}", "predicted", "true", (), said, classes,
            matrix=matrix,
        )  # fmt: skip


def quality(column: Column, scores: Column, name: str, colour: Mapping[str, int]) -> Plot | None:
    """One score of the written texts against the target, a dot a run."""
    series = []
    for variant, cell in scores.cells.items():
        there = {run.name: float(record["value"]) for run, record in column.cells.get(variant, ())}
        dots, labels = [], []
        for run, record in cell:
            score = record["scores"].get(name, {}).get("value")
            if run.name in there and score is not None:
                dots.append((there[run.name], score))
                labels.append(f"{run.name}: {column.what} {there[run.name]:.4g}, {name} {score:.4g}")
        if dots:
            series.append(Series(variant, dots, "dots", colour.get(variant, 0), labels=labels))
    if sum(len(one.points) for one in series) < 2:
        return None
    words = name.replace("_", " ")
    said = f"{words} against {column.what}: " + "; ".join(label for one in series for label in one.labels) + "."
    return Plot("quality", f"{words} against {column.what}", column.what, words, series, said)


def _losses(runs: Sequence[Run], name: str, colour: Mapping[str, int]) -> Plot:
    series = []
    for run in runs:
        number = colour.get(run.variant, 0)
        if points := thinned(_points(run, "loss")):
            series.append(Series(f"{run.name}, training", points, "faint", number, of=run.variant))
        if points := _points(run, "validation_loss"):
            series.append(Series(f"{run.name}, validation", points, "marked", number, of=run.variant))
    note = "Thin lines are training batches, marked ones validation."
    if any(len(_points(run, "loss")) > MOST_POINTS for run in runs):
        note += f" Curves of more than {MOST_POINTS} steps are drawn as means of equal stretches."
    title = f"Loss, {name}"
    return Plot(f"loss-{name}", title, "step", "nats", series, _said(title, series), note=note)


def _probes(runs: Sequence[Run], name: str, colour: Mapping[str, int]) -> Iterator[Plot]:
    """What was measured while training, with published lines where the protocol and the items are the same."""
    keys = {key for run in runs for line in run.metrics for key, value in line.items() if "/accuracy" in key and value}
    for place, key in enumerate(sorted(keys)):
        series = [
            Series(run.name, points, "marked", colour.get(run.variant, 0), of=run.variant)
            for run in runs
            if (points := _points(run, key))
        ]
        protocol, _, what = key.rpartition("/")
        for line in _lines_beside(runs, protocol, what):
            reference = f"{line.model}, {'published' if line.comparable else 'not comparable'}"
            series.append(Series(f"{reference} {line.value:.2%}", [(0, line.value)], "level", 5 + len(series) % 3))
        title = f"{key.replace('_', ' ')}, {name}"
        yield Plot(f"probe-{name}-{place}", title, "step", what.replace("_", " "), series, _said(title, series))


def _lines_beside(runs: Sequence[Run], protocol: str, what: str) -> list[published.Line]:
    items = {line[f"{protocol}/items"] for run in runs for line in run.metrics if f"{protocol}/items" in line}
    data = {(run.settings.get("probe") or {}).get("data") for run in runs}
    if data != {"hellaswag"} or len(items) != 1:
        return []
    form = "prepared" if protocol.endswith("harness") else "raw"
    record = {
        "protocol": f"{protocol}@1", "data": {}, "counts": {"items": items.pop()},
        "settings": {"form": form, "context": 1024},
    }  # fmt: skip
    return [line for line in published.beside(record) if line.field == what]


def _published(column: Column) -> list[Series]:
    """Lines of the very same protocol, data and settings; the others are told in words alone."""
    first = next(iter(column.cells.values()))[0][1]
    field = str(first.get("value_is") or "value")
    lines = [line for line in published.beside(first) if line.comparable and line.field in (field, "value")]
    return [
        Series(f"{line.model}, published: {line.source}", [(0, line.value)], "level", 5 + place % 3)
        for place, line in enumerate(lines)
    ]


def _gain(record: Mapping[str, Any], column: Column, baseline: str) -> float | None:
    found = difference(record, column.cells[baseline][0][1])
    if found is None:
        return None
    return -found if column.lower_is_better else found * 100


def _pareto(dots: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Those that no other beats in both."""
    front: list[tuple[float, float]] = []
    for dot in sorted(set(dots), key=lambda one: (-one[0], one[1])):
        if not front or dot[1] < front[-1][1]:
            front.append(dot)
    return front[::-1]


def _points(run: Run, key: str) -> list[tuple[float, float]]:
    return [(float(line["step"]), float(line[key])) for line in run.metrics if line.get(key) is not None]


def _one_band(found: Mapping[str, Any] | None) -> list[tuple[float, float]]:
    return [(found["low"], found["high"])] if found else []


def _said(title: str, series: Sequence[Series]) -> str:
    parts = [
        f"{one.name} from {one.points[0][1]:.4g} to {one.points[-1][1]:.4g}" for one in series if len(one.points) > 1
    ]
    return f"{title}: " + "; ".join(parts[:12]) + "."


def _values(column: Column, name: str) -> str:
    return ", ".join(numbers.value(column.what, value) for value in column.values(name))


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _total(matrix: Sequence[Sequence[int]]) -> int:
    return sum(map(sum, matrix))
