"""LAMBADA: the last word of a passage, which needs the whole of it. Is it what the model would say?"""

from __future__ import annotations

import math
import time
from typing import Any

from gpt2lab.core import console
from gpt2lab.core.errors import UserError
from gpt2lab.measure import pairs, precision
from gpt2lab.measure.likelihood import Question, score
from gpt2lab.measure.records import circumstances
from gpt2lab.model.gpt2 import GPT2
from gpt2lab.text.items import Items, Row
from gpt2lab.text.tokenizer import Tokenizer
from gpt2lab.train.processes import ALONE, Team

PROTOCOL = "lambada@1"
NAMED = 20


def measure(
    model: GPT2,
    tokenizer: Tokenizer,
    items: Items,
    *,
    context: int | None = None,
    token_budget: int | None = None,
    team: Team = ALONE,
) -> dict[str, Any]:
    """Accuracy: every token of the word is the greedy one. Perplexity: of a word, exp(−ΣLL / words)."""
    from gpt2lab.measure.intervals import wilson

    begin = time.perf_counter()
    window = min(context or model.window, model.window)
    asked, left_out = _questions(tokenizer, items.rows, window)
    questions = [question for _, question in asked]
    with console.progress("lambada", len(questions) / team.size, "passages") as progress:
        answers = [
            answer
            for (answer,) in score(
                model, questions, window=window, token_budget=token_budget, team=team, progress=progress
            )
        ]
    count = len(answers)
    right = sum(answer.greedy for answer in answers)
    tokens = sum(len(answer.log_likelihoods) for answer in answers)
    sum_nll = -math.fsum(answer.total for answer in answers)
    device = model.transformer.wte.weight.device
    measured = circumstances(device, precision.of(model), time.perf_counter() - begin, tokens)
    interval = wilson(right, count).as_dict()
    return {
        "protocol": PROTOCOL,
        "value": right / count,
        "value_is": "accuracy",
        "interval": interval,
        "accuracy": right / count,
        "accuracy_interval": interval,
        "perplexity": math.exp(min(sum_nll / count, 700.0)),
        "sum_nll": sum_nll,
        "counts": {
            "items": count,
            "right": right,
            "items_left_out": len(left_out),
            "items_with_context_cut": sum(answer.truncated > 0 for answer in answers),
            "tokens_scored": tokens,
        },
        "left_out": [{"place": place, "reason": reason} for place, reason in left_out[:NAMED]],
        "data": items.about,
        "settings": {"context": window, "rows": len(items.rows)},
        "seconds": measured["seconds"],
        "circumstances": measured,
        "items": [
            {
                "item": number,
                "log_likelihood": answer.total,
                "tokens": len(answer.log_likelihoods),
                "right": answer.greedy,
            }
            for (number, _), answer in zip(asked, answers)
        ],
    }


def _questions(
    tokenizer: Tokenizer, rows: list[Row], window: int
) -> tuple[list[tuple[int, Question]], list[tuple[str, str]]]:
    """Rows that can be measured, with their numbers; and where the others stand, with the reason."""
    parted, left_out = [], []
    for number, row in enumerate(rows):
        text = row.values.get("text") if isinstance(row.values, dict) else None
        context, space, word = text.rpartition(" ") if isinstance(text, str) else ("", "", "")
        if context.strip() and word.strip():
            parted.append((number, row, (context, space + word)))
        else:
            left_out.append((row.place, "no `text` of at least two words that ends in a word"))
    asked = []
    for (number, row, _), (context, word) in zip(parted, pairs.together(tokenizer, [pair for *_, pair in parted])):
        if 0 < len(word) <= window:
            asked.append((number, Question(context, [word])))
        else:
            left_out.append((row.place, f"a word of {len(word)} tokens"))
    if not asked:
        raise UserError("no passage can be measured under lambada", place=left_out[0][0], way_out=left_out[0][1])
    if left_out:
        console.warn(f"lambada: {len(left_out)} of {console.counted(len(rows), 'item')} left out ({left_out[0][1]})")
    return asked, left_out
