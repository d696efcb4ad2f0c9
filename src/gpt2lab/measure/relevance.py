"""How much a prompt has to do with what follows it: pointwise mutual information under the base model.

[log p(y|x) − log p(y|∅)] / |y|, in nats a token, where ∅ is an end-of-text alone and x stands behind one. With the
prompt of another sample it is the floor: what any text of the kind is worth. Its slope along y is the drift.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gpt2lab.core import console
from gpt2lab.measure.likelihood import Question, score
from gpt2lab.model.gpt2 import GPT2
from gpt2lab.text.batches import Integers

SLOPE_OVER = 100  # tokens


@dataclass(frozen=True)
class Relevance:
    value: float
    floor: float | None  # with another prompt; None where all prompts are the same
    drift: float | None  # change of the value over a hundred tokens
    tokens: int  # of the text, scored
    cut: int  # tokens of the text that did not fit beside the prompts


def relevance(
    model: GPT2,
    prompts: Sequence[Integers],
    texts: Sequence[Integers],
    end_of_text: int,
    *,
    token_budget: int | None = None,
) -> list[Relevance]:
    """Of each text, which must not be empty, after its prompt. Prompts keep at most their last half a window."""
    contexts = [_context(prompt, end_of_text, model.window) for prompt in prompts]
    others = _mismatched(contexts)
    kept = [_kept(text, pair, model.window) for text, pair in zip(texts, zip(contexts, others or contexts))]
    nothing = np.array([end_of_text])
    asked = [nothing, *contexts, *(others or [])]
    questions = [Question(nothing, kept)]
    questions += [Question(context, [text]) for context, text in zip(asked[1:], [*kept, *kept])]
    with console.progress("relevance", len(questions), "contexts") as progress:
        answers = score(model, questions, token_budget=token_budget, progress=progress)
    alone = [answer.log_likelihoods for answer in answers[0]]
    behind = [
        # What no prompt gives is known already: a second pass would differ in rounding.
        without if np.array_equal(context, nothing) else answer.log_likelihoods
        for context, without, (answer,) in zip(asked[1:], [*alone, *alone], answers[1:])
    ]
    floors = [_mean(other - without) for other, without in zip(behind[len(texts) :], alone)] if others else None
    return [
        Relevance(
            _mean(gain),
            floors[number] if floors else None,
            slope(gain),
            len(gain),
            len(texts[number]) - len(gain),
        )
        for number, gain in enumerate(after - without for after, without in zip(behind, alone))
    ]


def slope(gain: NDArray[np.float64]) -> float | None:
    """Of the straight line through the gain of each token, per hundred tokens; None for a single one."""
    if len(gain) < 2:
        return None
    places = np.arange(len(gain)) - (len(gain) - 1) / 2
    return float(places @ gain / (places @ places) * SLOPE_OVER)


def _context(prompt: Integers, end_of_text: int, window: int) -> Integers:
    kept = prompt[-(window // 2) :] if len(prompt) else prompt
    return np.append(np.array([end_of_text]), kept)


def _kept(text: Integers, contexts: tuple[Integers, Integers], window: int) -> Integers:
    """As much of a text as fits behind either prompt: its last token is only predicted."""
    return text[: window + 1 - max(map(len, contexts))]


def _mismatched(contexts: Sequence[Integers]) -> list[Integers] | None:
    """Each prompt's next different one, in the order of their hashes; None where there is but one."""
    different = sorted(
        {context.tobytes() for context in contexts}, key=lambda content: hashlib.sha256(content).digest()
    )
    following = dict(zip(different, [*different[1:], different[0]]))
    if len(different) < 2:
        return None
    by_content = {context.tobytes(): context for context in contexts}
    return [by_content[following[context.tobytes()]] for context in contexts]


def _mean(values: NDArray[np.float64]) -> float:
    return float(values.mean())
