"""Two runs side by side: the settings that differ, and results only where they were measured alike."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gpt2lab.core import console, files
from gpt2lab.core.errors import UserError
from gpt2lab.study.runs import Run

NOT_SAID = "–"
Named = tuple[Path, dict[str, Any]]  # a record and its file


def flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """`{"train": {"seed": 1}}` → `{"train.seed": 1}`."""
    found: dict[str, Any] = {}
    for key, value in settings.items():
        found |= flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return found


def of_settings(one: Run, other: Run) -> dict[str, tuple[Any, Any]]:
    """Also what was decided for them, such as the micro-batch, and which data and base they saw, by their hashes."""
    a, b = ({**flat(run.settings), **_inputs(run), **_decided(run)} for run in (one, other))
    changed = {key: (a.get(key), b.get(key)) for key in dict.fromkeys([*a, *b]) if a.get(key) != b.get(key)}
    return {
        key: pair for key, pair in changed.items() if key.replace("decided.", "train.") not in changed.keys() - {key}
    }


def _inputs(run: Run) -> dict[str, Any]:
    base = run.record.get("base") or {}
    hashes = {"corpus": run.record.get("corpus"), "tokenizer": run.record.get("tokenizer"), "base": base.get("weights")}
    return {f"hash of the {what}": value[:12] for what, value in hashes.items() if value}


def _decided(run: Run) -> dict[str, Any]:
    return {f"decided.{key}": value for key, value in run.record.get("decided", {}).items()}


def of_results(one: Run, other: Run) -> list[dict[str, Any]]:
    """A pair for each question that both answered, with what may be said of the first beside the second."""
    theirs = {_question(record): (path, record) for path, record in _named(other)}
    return [
        _pair((path, record), theirs[question])
        for path, record in _named(one)
        if (question := _question(record)) in theirs
    ]


def alone(one: Run, other: Run) -> list[dict[str, str]]:
    """Results that stand beside nothing, and why."""
    found = []
    for run, beside in ((one, other), (other, one)):
        known = {_question(record) for record in beside.results}
        for record in run.results:
            if _question(record) not in known:
                why = _why(record, beside.results)
                found.append({"run": str(run.folder), "protocol": record["protocol"], "why": why})
    return found


def _named(run: Run) -> list[Named]:
    return [(path, files.read_json(path)) for path in sorted((run.folder / "results").glob("*.json"))]


def _question(record: Mapping[str, Any]) -> str:
    """The same where two records compare: protocol, data and settings, wherever the data lie."""
    return files.fingerprint([record["protocol"], record["data"].get("hash"), record["settings"]])


def _why(record: Mapping[str, Any], others: list[dict[str, Any]]) -> str:
    same = [other for other in others if other["protocol"] == record["protocol"]]
    if not same:
        return "not measured for the other"
    if all(other["data"].get("hash") != record["data"].get("hash") for other in same):
        return "on other data"
    there, here = flat(same[0]["settings"]), flat(record["settings"])
    changed = [key for key in dict.fromkeys([*there, *here]) if there.get(key) != here.get(key)]
    return f"with other settings: {', '.join(changed)}"


def _pair(one: Named, other: Named) -> dict[str, Any]:
    return {
        "protocol": one[1]["protocol"],
        "data": one[1]["data"].get("path"),
        "values": [record.get("value") for _, record in (one, other)],
        "intervals": [record.get("interval") for _, record in (one, other)],
        "wording": _wording(one[0], other[0]),
    }


def _wording(one: Path, other: Path) -> str | None:
    """By what each item gave; None where that was not kept, or is not of a kind that pairs."""
    from gpt2lab.measure import comparison, records

    try:
        a, b = records.read(one), records.read(other)
        first = (a.get("items") or [{}])[0]
        if not first.keys() & {"nll", "label", "right"}:
            return None
        difference = comparison.compare(a, b)
    except UserError:
        return None
    if "label" in first or "right" in first:
        return difference.wording("points", 2, 100)
    return difference.wording(f"nats a {comparison.denominator_of(a).removesuffix('s')}", 4)


def show(one: Run, other: Run) -> dict[str, Any]:
    names = (str(one.folder), str(other.folder))
    settings, results, lone = of_settings(one, other), of_results(one, other), alone(one, other)
    if settings:
        rows = [(key, _plain(a), _plain(b)) for key, (a, b) in settings.items()]
        console.table("settings that differ", ("setting", *names), rows)
    else:
        console.say("the same settings")
    if results:
        rows = [(pair["protocol"], _number(pair, 0), _number(pair, 1), pair["wording"] or "") for pair in results]
        console.table("results", ("protocol", *names, "the first is"), rows)
    else:
        console.say("no result of one was measured as one of the other was")
    for about in lone:
        console.say(f"beside nothing: {about['protocol']} of {about['run']}: {about['why']}")
    differing = {key: list(pair) for key, pair in settings.items()}
    return {"runs": list(names), "settings": differing, "results": results, "alone": lone}


def _number(pair: Mapping[str, Any], index: int) -> str:
    value, interval = pair["values"][index], pair["intervals"][index]
    if not isinstance(value, int | float):
        return NOT_SAID
    return f"{value:.4f} [{interval['low']:.4f}, {interval['high']:.4f}]" if interval else f"{value:.4f}"


def _plain(value: Any) -> str:
    return NOT_SAID if value is None else str(value)
