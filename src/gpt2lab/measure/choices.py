"""Multiple choice: which of several endings does the model find likeliest after the context?

All protocols that are asked for are measured in one pass over the items, and each ending keeps its log-likelihood.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from gpt2lab.core import console
from gpt2lab.core.errors import UserError
from gpt2lab.measure import hellaswag, pairs, precision
from gpt2lab.measure.likelihood import Answer, Question, score
from gpt2lab.measure.records import circumstances
from gpt2lab.model.gpt2 import GPT2
from gpt2lab.text.items import Items, Row
from gpt2lab.text.tokenizer import Tokenizer
from gpt2lab.train.processes import ALONE, Team

Per = Literal["characters", "tokens"] | None
NAMED = 20  # left-out items that a record names; all are counted


@dataclass(frozen=True)
class Protocol:
    id: str
    text: Callable[[Mapping[str, Any]], tuple[str, list[Any]]]  # the context and the endings of a row
    encode: Callable[[Tokenizer, Sequence[pairs.Pair]], list[pairs.EncodedPair]]
    joined: Callable[[str, str], str]  # what is encoded of an ending
    divided_by: Mapping[str, Per]  # what each kind of accuracy divides an ending's ΣLL by
    value: str  # which of them stands for the result
    form: str | None = None  # of the text, where a row stands as it was released


def _after_a_space(_: str, ending: str) -> str:
    return f" {ending}"


def _after_a_space_if_there_is_none(context: str, ending: str) -> str:
    return ending if context[-1:].isspace() or ending[:1].isspace() else f" {ending}"


PROTOCOLS = {
    "hellaswag/harness": Protocol(
        "hellaswag/harness@1",
        hellaswag.prepared,
        pairs.together,
        _after_a_space,
        {"accuracy": None, "accuracy_normalised": "characters"},
        "accuracy_normalised",
        "prepared",
    ),
    "hellaswag/completion": Protocol(
        "hellaswag/completion@1",
        hellaswag.raw,
        pairs.apart,
        _after_a_space,
        {"accuracy": None, "accuracy_normalised": "tokens"},
        "accuracy_normalised",
        "raw",
    ),
    "choices": Protocol(
        "choices@1",
        lambda row: (row["context"], list(row["endings"])),
        pairs.together,
        _after_a_space_if_there_is_none,
        {"accuracy": None, "accuracy_normalised": "characters", "accuracy_per_token": "tokens"},
        "accuracy",
    ),
}


@dataclass(frozen=True)
class Choice:
    """A row that can be measured."""

    number: int
    context: str
    endings: list[str]
    label: int
    question: Question
    released: bool  # HellaSwag's own row, with both parts of its context


@dataclass
class Prepared:
    choices: list[Choice] = field(default_factory=list)
    left_out: list[tuple[str, str]] = field(default_factory=list)  # where, and why


class Unusable(Exception):
    """Why an item cannot be measured."""


def measure(
    names: Sequence[str],
    model: GPT2,
    tokenizer: Tokenizer,
    items: Items,
    *,
    context: int | None = None,
    token_budget: int | None = None,
    team: Team = ALONE,
) -> list[dict[str, Any]]:
    """A record a protocol. `context` is how many tokens may be in sight, if fewer than the model's."""
    begin = time.perf_counter()
    window = min(context or model.window, model.window)
    prepared = [prepare(PROTOCOLS[name], tokenizer, items.rows, window) for name in names]
    questions = [choice.question for one in prepared for choice in one.choices]
    with console.progress("choices", len(questions) / team.size, "questions") as progress:
        answers = iter(score(model, questions, window=window, token_budget=token_budget, team=team, progress=progress))
    seconds = time.perf_counter() - begin
    answered = [[next(answers) for _ in one.choices] for one in prepared]
    return [
        _record(PROTOCOLS[name], model, one, found, items, window, seconds * len(one.choices) / len(questions))
        for name, one, found in zip(names, prepared, answered)
    ]


def prepare(protocol: Protocol, tokenizer: Tokenizer, rows: Sequence[Row], window: int) -> Prepared:
    """Rows become questions; what cannot be measured is left out with a reason."""
    prepared, readable = Prepared(), []
    for number, row in enumerate(rows):
        try:
            readable.append((number, row, *_checked(protocol, row.values)))
        except Unusable as error:
            prepared.left_out.append((row.place, str(error)))
    encoded = iter(
        protocol.encode(
            tokenizer,
            [
                (context, protocol.joined(context, ending))
                for _, _, context, endings, _ in readable
                for ending in endings
            ],
        )
    )
    for number, row, context, endings, label in readable:
        of_row = [next(encoded) for _ in endings]
        continuations = [ids for _, ids in of_row]
        if not all(len(ids) for ids in continuations):
            prepared.left_out.append((row.place, "an ending adds no token to the context"))
        elif (longest := max(map(len, continuations))) > window:
            prepared.left_out.append((row.place, f"an ending of {longest} tokens; the model sees {window}"))
        else:
            question, released = Question(of_row[0][0], continuations), hellaswag.has_both_parts(row.values)
            prepared.choices.append(Choice(number, context, endings, label, question, released))
    _say_what_is_left_out(protocol, prepared, len(rows))
    return prepared


def _checked(protocol: Protocol, values: Any) -> tuple[str, list[str], int]:
    if not isinstance(values, dict):
        raise Unusable("not a JSON object")
    if not isinstance(values.get("endings"), list):
        raise Unusable("it has no list of endings")
    try:
        context, endings = protocol.text(values)
    except (KeyError, TypeError) as error:
        raise Unusable("it has no context") from error
    if not isinstance(context, str) or not context.strip():
        raise Unusable("its context is empty")
    if len(endings) < 2:
        raise Unusable("it has fewer than two endings")
    if not all(isinstance(ending, str) and ending.strip() for ending in endings):
        raise Unusable("an ending is empty")
    if len(set(endings)) < len(endings):
        raise Unusable("two of its endings are the same")
    return context, endings, _label(values.get("label"), len(endings))


def _label(value: Any, endings: int) -> int:
    if isinstance(value, str) and value.strip().isdecimal():
        value = int(value)
    if type(value) is not int:
        raise Unusable("it has no label")
    if not 0 <= value < endings:
        raise Unusable(f"its label is {value}, and its endings are 0 to {endings - 1}")
    return value


def _say_what_is_left_out(protocol: Protocol, prepared: Prepared, rows: int) -> None:
    reasons = Counter(reason for _, reason in prepared.left_out)
    if not prepared.choices:
        place, reason = prepared.left_out[0]
        raise UserError(
            f"no item can be measured under {protocol.id}: {reason}",
            place=place,
            way_out="an item has `context` (or HellaSwag's `ctx`), `endings` and `label`",
        )
    if prepared.left_out:
        told = "; ".join(f"{count}: {reason}" for reason, count in reasons.most_common(3))
        console.warn(f"{protocol.id}: {len(prepared.left_out)} of {console.counted(rows, 'item')} left out ({told})")


def _record(
    protocol: Protocol,
    model: GPT2,
    prepared: Prepared,
    answers: list[list[Answer]],
    items: Items,
    window: int,
    seconds: float,
) -> dict[str, Any]:
    from gpt2lab.measure.intervals import wilson

    per_item = [_answered(protocol, choice, found) for choice, found in zip(prepared.choices, answers)]
    count = len(per_item)
    tokens = sum(len(answer.log_likelihoods) for found in answers for answer in found)
    right = {kind: sum(item["chosen"][kind] == item["label"] for item in per_item) for kind in protocol.divided_by}
    shares = {kind: number / count for kind, number in right.items()}
    intervals = {f"{kind}_interval": wilson(number, count).as_dict() for kind, number in right.items()}
    measured = circumstances(model.transformer.wte.weight.device, precision.of(model), seconds, tokens)
    return {
        "protocol": protocol.id,
        "value": shares[protocol.value],
        "value_is": protocol.value,
        "interval": intervals[f"{protocol.value}_interval"],
        **shares,
        **intervals,
        "counts": {
            "items": count,
            "right": right,
            "items_left_out": len(prepared.left_out),
            "items_with_context_cut": sum(any(answer.truncated for answer in found) for found in answers),
            "tokens_scored": tokens,
        },
        "left_out": [{"place": place, "reason": reason} for place, reason in prepared.left_out[:NAMED]],
        "data": items.about,
        "settings": {
            "form": _form(protocol, prepared),
            "divided_by": dict(protocol.divided_by),
            "context": window,
            "rows": len(items.rows),
        },
        "seconds": measured["seconds"],
        "circumstances": measured,
        "items": per_item,
    }


def _answered(protocol: Protocol, choice: Choice, answers: list[Answer]) -> dict[str, Any]:
    totals = np.array([answer.total for answer in answers])
    tokens = [len(answer.log_likelihoods) for answer in answers]
    sizes = {"tokens": tokens, "characters": [len(ending) for ending in choice.endings], None: [1] * len(answers)}
    return {
        "item": choice.number,
        "label": choice.label,
        "log_likelihoods": totals.tolist(),
        "tokens": tokens,
        # Of a tie, the first.
        "chosen": {kind: int((totals / np.array(sizes[per])).argmax()) for kind, per in protocol.divided_by.items()},
    }


def _form(protocol: Protocol, prepared: Prepared) -> str | None:
    """Published values stand only beside the form that the protocol means; one row in another form spoils it."""
    return protocol.form and (protocol.form if all(choice.released for choice in prepared.choices) else "cleaned")
