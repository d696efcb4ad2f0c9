"""Records for people: a few rows, what is better, and published values beside them where they compare."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gpt2lab.core import console
from gpt2lab.measure import published

KINDS = {
    "perplexity/token-window": "perplexity of a token",
    "perplexity/word": "perplexity of a word",
    "perplexity/blocks": "perplexity of a token",
    "bits-per-byte": "bits a byte",
    "perplexity_of_tokens": "perplexity of a token",
    "byte_perplexity": "perplexity of a byte",
    "bits_per_byte": "bits a byte",
    "labels": "accuracy",
    "forgetting": "nats a token above the base",
}
CLASSES_SHOWN = 20
SHARES = ("accuracy", "accuracy_normalised", "accuracy_per_token")
COLUMNS = ("protocol", "what", "value", "95 % interval", "better", "of")


def show(found: Sequence[Mapping[str, Any]]) -> None:
    if splits := {split for record in found if (split := record["settings"].get("split"))}:
        console.say(f"split: {', '.join(sorted(splits))}")
    console.table("", COLUMNS, [row for record in found for row in rows(record)])
    for record in found:
        _show_classes(record)
        if record.get("wording"):
            console.say(f"{record['protocol']}: {record['wording']}")
        if record.get("interval") is None and record.get("interval_note"):
            console.say(f"{record['protocol']}: no interval: {record['interval_note']}")
        for reason, about in _left_out(record).items():
            console.say(f"{record['protocol']}: {console.counted(about['count'], 'row')} left out: {reason}")
        for line in published.beside(record):
            kind = "published" if line.comparable else "not comparable"
            console.say(f"{kind}: {line.model} {_number(line.field, line.value)} ({line.field}, {line.source})")


def _show_classes(record: Mapping[str, Any]) -> None:
    """Each class, where there are not too many to look at; the record holds all, and who is taken for whom."""
    classes = record.get("classes") or ()
    if 0 < len(classes) <= CLASSES_SHOWN:
        scores = ("precision", "recall", "f1")
        shown = [(one["name"], one["support"], *(f"{one[score]:.2%}" for score in scores)) for one in classes]
        console.table("", ("class", "texts", *scores), shown)


def rows(record: Mapping[str, Any]) -> list[tuple[str, ...]]:
    protocol = record["protocol"]
    if "metrics" in record:
        return _of_harness(record)
    shares = [name for name in SHARES if isinstance(record.get(name), float)]
    if shares:
        made = [(name.replace("_", " "), record[name], record.get(f"{name}_interval"), "higher") for name in shares]
        if isinstance(record.get("macro_f1"), float):
            made.append(("macro F1", record["macro_f1"], None, "higher"))
        if isinstance(record.get("perplexity"), float):
            made.append(("perplexity of a word", record["perplexity"], None, "lower"))
    else:
        what = KINDS.get(protocol.partition("@")[0], "value")
        better = {"value": "", "accuracy": "higher"}.get(what, "lower")
        made = [(what, record["value"], record.get("interval"), better)]
        also = record.get("also") or {}
        made += [(KINDS[name], part["value"], part["interval"], "lower") for name, part in also.items()]
    scores = record.get("scores") or {}
    if scores:
        made = [
            (name.replace("_", " "), part["value"], part["interval"], "")
            for name, part in scores.items()
            if part["value"] is not None
        ]
    return [
        (protocol, what, _number(what, value), _interval(what, interval), better, _of(record))
        for what, value, interval, better in made
    ]


def _of_harness(record: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """Each metric of a task as lm-evaluation-harness names it; which way is better is for the task to say."""
    metrics = {name: value for name, value in record["metrics"].items() if "_stderr" not in name}
    intervals = {record["value_is"]: record.get("interval")}
    return [
        (record["protocol"], name, f"{value:.4f}", _interval(name, intervals.get(name)), "", _of(record))
        for name, value in metrics.items()
    ]


def _number(what: str, value: float) -> str:
    if what.startswith(("accuracy", "macro")):
        return f"{value:.2%}"
    return f"{value:.4f}" if abs(value) < 100 else f"{value:,.2f}"


def _interval(what: str, interval: Mapping[str, Any] | None) -> str:
    return f"{_number(what, interval['low'])} to {_number(what, interval['high'])}" if interval else "none"


def _of(record: Mapping[str, Any]) -> str:
    counts = record.get("counts", {})
    named = {"items": "item", "texts": "text", "documents": "document", "passages": "passage", "samples": "sample"}
    parts = [console.counted(counts[key], noun) for key, noun in named.items() if isinstance(counts.get(key), int)]
    if isinstance(counts.get("tokens_scored"), int):
        parts.append(console.counted(counts["tokens_scored"], "token"))
    return ", ".join(parts)


def _left_out(record: Mapping[str, Any]) -> Mapping[str, Any]:
    found = record.get("counts", {}).get("left_out")
    return found if isinstance(found, Mapping) else {}
