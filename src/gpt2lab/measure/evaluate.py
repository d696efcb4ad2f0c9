"""A model, data and protocols become records. What was measured before under the same conditions is not done again."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from gpt2lab import __version__
from gpt2lab.core import console, files, hardware
from gpt2lab.core.errors import UserError
from gpt2lab.measure import choices, costs, harness, labels, lambada, perplexity, plans, records, seen
from gpt2lab.measure.bench import Bench
from gpt2lab.measure.settings import Evaluation
from gpt2lab.measure.texts import Texts
from gpt2lab.model.gpt2 import GPT2
from gpt2lab.model.reading import find_model, read_language_model, read_model
from gpt2lab.text.corpus import Split, is_corpus, open_corpus
from gpt2lab.text.items import Items
from gpt2lab.text.sources import chosen_columns, open_source
from gpt2lab.train import processes

NEVER_MOVE_A_VALUE = ("token_budget",)


@dataclass(frozen=True)
class Family:
    """Protocols that are measured together: how, and what identifies their data."""

    measure: Callable[[Sequence[str], Bench], list[dict[str, Any]]]  # a record a name, in their order
    data: Callable[[str, Bench], dict[str, Any]]  # with a hash, where it is known before measuring


def evaluate(
    source: str,
    protocols: Sequence[str],
    data: str,
    settings: Evaluation,
    device: Any = "auto",
    *,
    tokenizer: str | None = None,
    local: Path | None = None,
    tasks_from: Path | None = None,
    base: str | None = None,
    train: str | None = None,
    again: bool = False,
) -> list[dict[str, Any]]:
    """One record a protocol, each also kept among the model's results."""
    for name in protocols:
        family_of(name)
    plans.refuse_idle(settings, protocols)
    costs.refuse_idle(protocols, base, train)
    _refuse_idle_folders(protocols, local, tasks_from)
    place = processes.own_device(hardware.choose_device(device) if isinstance(device, str) else device)
    team = processes.join(place)
    if not team.leads:
        console.configure("quiet")
    try:
        bench = Bench(source, data, settings, place, tokenizer, local, tasks_from, base, train, team)
        find_model(source)  # a missing model is named before missing data
        return _evaluate(list(dict.fromkeys(protocols)), bench, again)
    finally:
        processes.leave()


def _refuse_idle_folders(names: Sequence[str], local: Path | None, tasks_from: Path | None) -> None:
    """What is accepted must have an effect."""
    of_harness = [name.startswith(HARNESS) for name in names]
    if tasks_from is not None and not any(of_harness):
        raise UserError(f"--tasks-from has no effect on {', '.join(names)}", way_out=f"it is for {HARNESS}TASK")
    if local is not None and all(harness or name == "text-quality" for name, harness in zip(names, of_harness)):
        raise UserError(f"--from has no effect on {', '.join(names)}", way_out="it is for protocols on a named set")


def family_of(name: str) -> Family:
    if name.startswith(HARNESS):
        return Family(_harness, lambda name, bench: {"path": name})
    if name not in PROTOCOLS:
        close = difflib.get_close_matches(name, PROTOCOLS, n=1)
        known = f"known: {', '.join(PROTOCOLS)}, {HARNESS}TASK"
        raise UserError(f"there is no protocol {name!r}", way_out=f"did you mean {close[0]}?" if close else known)
    return PROTOCOLS[name]


def _evaluate(protocols: list[str], bench: Bench, again: bool) -> list[dict[str, Any]]:
    questions = {name: _asked(name, bench) for name in protocols}
    found: dict[str, dict[str, Any]] = {}
    for name, asked in questions.items():
        before = None if again or asked is None else records.find(bench.results, asked)
        if before is not None:
            console.say(f"{name}: already measured, with the same model, data and settings; --again measures it again")
            found[name] = _as_named_now(before, bench)
    missing = [name for name in protocols if name not in found]
    for family in dict.fromkeys(family_of(name).measure for name in missing):
        names = [name for name in missing if family_of(name).measure is family]
        made = family(names, bench)
        if family is _harness:  # a group of tasks has a record of each
            names = [record["protocol"].partition("@")[0] for record in made]
        for name, record in zip(names, made, strict=True):
            found[name] = _complete(record, name, bench, questions.get(name))
    return [found[name] for name in dict.fromkeys([*protocols, *found]) if name in found]


def _asked(name: str, bench: Bench) -> dict[str, Any] | None:
    """Everything that decides the result; None where that cannot be known before."""
    data = family_of(name).data(name, bench)
    if "hash" not in data:
        return None
    chosen, idle = bench.settings.evaluate.as_dict(), NEVER_MOVE_A_VALUE
    return {
        "protocol": name,
        "gpt2lab": __version__,
        "model": {key: value for key, value in bench.identity.items() if key != "path"},
        "tokenizer": bench.tokenizer.hash,
        "data": data["hash"],
        "evaluate": {
            key: value for key, value in chosen.items() if key not in idle and plans.uses(name, f"evaluate.{key}")
        },
        "columns": bench.settings.data.as_dict(),
        **({"beside": data["beside"]} if "beside" in data else {}),
    }


def _as_named_now(record: dict[str, Any], bench: Bench) -> dict[str, Any]:
    """The same model and data may lie elsewhere than when they were measured."""
    model, data = {**record["model"], "path": bench.source}, {**record["data"], "path": bench.data}
    return {**record, "model": model, "data": data}


def _complete(record: dict[str, Any], name: str, bench: Bench, asked: dict[str, Any] | None) -> dict[str, Any]:
    known, own = family_of(name).data(name, bench), record.get("data", {})
    data = {"hash": own.get("hash"), **known, **({"source": own} if own else {})}
    stated = {"precision": bench.settings.evaluate.precision, **record["settings"]}
    if seen.say_if_seen(name, bench, data.get("split") or stated.get("split")):
        data["trained_on"] = True
    complete = {
        **record,
        "settings": stated,
        "model": {**bench.identity, "tokenizer": bench.tokenizer.hash},
        "data": data,
        "asked": asked,
    }
    if bench.team.leads:
        records.write(bench.results, complete)
    return complete


def _perplexities(names: Sequence[str], bench: Bench) -> list[dict[str, Any]]:
    budget = bench.settings.evaluate.token_budget
    return [
        perplexity.measure(bench.model, plan, token_budget=budget, team=bench.team)
        for plan in [
            plans.plan(name, _material(name, bench), bench.tokenizer, bench.model.window, bench.settings)
            for name in names
        ]
    ]


def _material(name: str, bench: Bench) -> Texts | Split:
    return bench.split if name == "perplexity/blocks" and is_corpus(Path(bench.data)) else bench.texts


def _text(name: str, bench: Bench) -> dict[str, Any]:
    material = _material(name, bench)
    if isinstance(material, Split):
        return {"path": bench.data, "hash": open_corpus(Path(bench.data)).hash, "split": material.name}
    return {"path": bench.data, "hash": material.hash, "split": material.split, "form": material.form}


def _choices(names: Sequence[str], bench: Bench) -> list[dict[str, Any]]:
    def asked(names: Sequence[str], model: GPT2, items: Items) -> list[dict[str, Any]]:
        budget = bench.settings.evaluate.token_budget
        return choices.measure(
            names, model, bench.tokenizer, items, context=bench.context, token_budget=budget, team=bench.team
        )

    records = asked(names, bench.model, bench.items)
    return [_beside_fp32(record, bench, partial(asked, [name])) for name, record in zip(names, records, strict=True)]


def _lambada(names: Sequence[str], bench: Bench) -> list[dict[str, Any]]:
    def asked(model: GPT2, items: Items) -> list[dict[str, Any]]:
        budget = bench.settings.evaluate.token_budget
        return [
            lambada.measure(model, bench.tokenizer, items, context=bench.context, token_budget=budget, team=bench.team)
        ]

    (record,) = asked(bench.model, bench.items)
    return [_beside_fp32(record, bench, asked) for _ in names]


def _beside_fp32(
    record: dict[str, Any], bench: Bench, asked: Callable[[GPT2, Items], list[dict[str, Any]]]
) -> dict[str, Any]:
    """With how many of the first answers another precision has changed."""
    if bench.settings.evaluate.precision == "fp32":
        return record
    first = record["items"][: labels.COMPARED]
    rows = [bench.items.rows[item["item"]] for item in first]
    (exact,) = asked(read_language_model(bench.folder, device=bench.device), Items(rows, bench.items.about))
    changed = sum(_answer(one) != _answer(other) for one, other in zip(exact["items"], first, strict=True))
    counted = {"items": len(first), "changed": changed}
    return {**record, "counts": {**record["counts"], "changed_by_precision": counted}}


def _answer(item: dict[str, Any]) -> Any:
    return item["chosen"] if "chosen" in item else item["right"]


def _items(name: str, bench: Bench) -> dict[str, Any]:
    return {"path": bench.data, "hash": bench.items.about["hash"]}


def _labels(names: Sequence[str], bench: Bench) -> list[dict[str, Any]]:
    model = read_model(bench.folder, device=bench.device)
    return [labels.measure(model, bench.tokenizer, bench.data, bench.settings, local=bench.local) for _ in names]


def _labelled(name: str, bench: Bench) -> dict[str, Any]:
    path = Path(bench.data)
    if is_corpus(path):
        return {"path": bench.data, "hash": open_corpus(path).hash}
    source = open_source(bench.data, bench.local, chosen_columns(bench.settings.data))
    return {"path": bench.data, "hash": files.fingerprint(_without_names(source.describe()))}


def _without_names(described: dict[str, Any]) -> dict[str, Any]:
    """Files of the same content are the same data, whatever they are called; a set goes by its name."""
    if not isinstance(described.get("files"), list):
        return described
    contents = [{key: value for key, value in facts.items() if key != "name"} for facts in described["files"]]
    return {**described, "data": None, "files": contents}


def _harness(names: Sequence[str], bench: Bench) -> list[dict[str, Any]]:
    return harness.measure(
        [name.removeprefix(HARNESS) for name in names], bench.model, bench.tokenizer,
        context=bench.context, tasks_from=bench.tasks_from, limit=bench.settings.evaluate.limit,
    )  # fmt: skip


HARNESS = "harness:"  # before the name of any of lm-evaluation-harness' tasks
PROTOCOLS: dict[str, Family] = {
    **dict.fromkeys(plans.NAMES, Family(_perplexities, _text)),
    **dict.fromkeys(choices.PROTOCOLS, Family(_choices, _items)),
    "lambada": Family(_lambada, _items),
    "labels": Family(_labels, _labelled),
    "forgetting": Family(costs.measure_forgetting, costs.data_of_forgetting),
    "text-quality": Family(costs.measure_text_quality, costs.data_of_text_quality),
}
