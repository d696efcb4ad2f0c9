"""Which variant for which use: a rule with a stated threshold each, and an answer only where the numbers give one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from gpt2lab.study.report import against as comparing
from gpt2lab.study.report import numbers
from gpt2lab.study.report.against import Against
from gpt2lab.study.report.columns import Column
from gpt2lab.study.report.facts import Facts, Run

MOST_FORGETTING = 0.05  # nats a token of the original domain, at the upper end of the interval
ENOUGH_GAIN = 0.8  # of the best variant's
MOST_COPIED = 0.05  # of the 13-grams
ADAPTERS = ("lora", "qlora", "prompt")  # methods that ship what they have trained alone
Shown = Callable[[float | None], str]
EFFORTS: dict[str, tuple[str, Shown]] = {
    "memory": ("peak_memory", numbers.size),
    "time": ("training_seconds", numbers.seconds),
}


@dataclass(frozen=True)
class Use:
    use: str
    rule: str
    answer: str
    why: str
    measured: bool = False  # follows from times or memory, which differ from run to run


def uses(
    facts: Facts,
    target: Column | None,
    against: Mapping[str, Against],
    forgetting: Column | None,
    quality: Column | None,
) -> list[Use]:
    better = {name: one for name, one in against.items() if one.better}
    if not better or target is None:
        return []
    best = max(better, key=lambda name: better[name].gain)
    enough = [name for name in better if better[name].gain >= ENOUGH_GAIN * better[best].gain]
    unit = better[best].unit
    share = f"at least {ENOUGH_GAIN:.0%} of the best gain"
    rivals = [name for name in better if name != best and not comparing.apart(target, best, name)]
    found = [
        Use(
            "the best on the target",
            "the largest gain, and all that are not shown to be behind it",
            ", ".join([best, *rivals]),
            f"gain {better[best].gain:.3g} {unit}",
        ),
        _smallest(enough, facts, share),
        _least("the least memory", f"lowest peak memory of training with {share}", enough, facts, "memory"),
        _least("the least time", f"shortest training with {share}", enough, facts, "time"),
    ]
    if forgetting is not None:
        found.insert(1, _keeps(better, forgetting, unit))
    if quality is not None:
        found.append(_own_words(better, quality))
    return [use for use in found if use.answer]


def mean_of(facts: Facts, variant: str, key: str) -> float | None:
    values = [run.about.get(key) for run in facts.variants[variant]]
    known = [float(value) for value in values if value is not None]
    return fmean(known) if known else None


def _smallest(names: list[str], facts: Facts, share: str) -> Use:
    """By what is in the model folders; where some are gone, by what they held."""
    use = "the smallest file to ship"
    sizes = {name: [_bytes(run) for run in facts.variants[name]] for name in names}
    if all(all(known) for known in sizes.values()):
        means = {name: fmean(known) for name, known in sizes.items()}
        return _of_least(use, f"smallest model folder with {share}", means, numbers.size, measured=False)
    shipped = {name: value for name in names if (value := _shipped_parameters(facts, name)) is not None}
    rule = f"fewest parameters in the model folder, an adapter's own alone, with {share}"
    return _of_least(use, rule, shipped, numbers.count, measured=False)


def _bytes(run: Run) -> int:
    return sum(path.stat().st_size for path in (run.folder / "model").glob("**/*") if path.is_file())


def _shipped_parameters(facts: Facts, variant: str) -> float | None:
    is_adapter = facts.variants[variant][0].settings.get("method") in ADAPTERS
    return mean_of(facts, variant, "trainable_parameters" if is_adapter else "parameters")


def _least(use: str, rule: str, names: list[str], facts: Facts, effort: str) -> Use:
    key, shown = EFFORTS[effort]
    there = {name: value for name in names if (value := mean_of(facts, name, key)) is not None}
    return _of_least(use, rule, there, shown, measured=True)


def _of_least(use: str, rule: str, there: Mapping[str, float], shown: Shown, measured: bool) -> Use:
    answer = min(there, key=lambda name: there[name], default="")
    why = "; ".join(f"{name} {shown(value)}" for name, value in sorted(there.items(), key=lambda pair: pair[1]))
    return Use(use, rule, answer, why, measured)


def _keeps(better: Mapping[str, Against], forgetting: Column, unit: str) -> Use:
    """By the worst seed's upper end: what may be lost, not what was."""
    worst = {name: max(map(_upper, forgetting.cells[name])) for name in better if name in forgetting.cells}
    kept = [name for name, upper in worst.items() if upper <= MOST_FORGETTING]
    answer = max(kept, key=lambda name: better[name].gain, default="none")
    why = "; ".join(f"{name} at most {upper:.3g}" for name, upper in worst.items())
    rule = f"the largest gain among those that forget at most {MOST_FORGETTING:g} nats a token, by the interval's end"
    return Use("a better target, and the old text not forgotten", rule, answer if worst else "", why)


def _own_words(better: Mapping[str, Against], quality: Column) -> Use:
    copied: dict[str, float] = {}
    for name in better:
        values = [_copied(record) for _, record in quality.cells.get(name, ())]
        if known := [value for value in values if value is not None]:
            copied[name] = fmean(known)
    free = [name for name, share in copied.items() if share <= MOST_COPIED]
    answer = max(free, key=lambda name: better[name].gain, default="none") if copied else ""
    why = "; ".join(f"{name} {share:.1%}" for name, share in copied.items())
    rule = f"the largest gain among those with at most {MOST_COPIED:.0%} of their 13-grams from the training set"
    return Use("text of its own", rule, answer, why)


def _upper(found: tuple[Any, Mapping[str, Any]]) -> float:
    interval = found[1].get("interval")
    return float(interval["high"]) if interval else float("inf")


def _copied(record: Mapping[str, Any]) -> float | None:
    return (record["scores"].get("copied_13") or {}).get("value")
