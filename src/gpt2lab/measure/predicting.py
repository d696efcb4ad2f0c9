"""A classifier names the class of texts that nobody has labelled, one answer a text in their order."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import numpy as np

from gpt2lab.measure.classifying import TEXTS_AT_ONCE, log_probabilities
from gpt2lab.model.gpt2 import GPT2Classifier
from gpt2lab.text.loose_texts import LooseText
from gpt2lab.text.tokenizer import Tokenizer

EMPTY = "empty text"
REASONS_KEPT = 3


@dataclass
class Tally:
    """What a reader should know of all answers together."""

    window: int = 0
    texts: int = 0
    answered: int = 0
    truncated: int = 0
    unanswered: list[str] = field(default_factory=list)  # why, for the first ones

    def refuse(self, reason: str) -> None:
        if len(self.unanswered) < REASONS_KEPT:
            self.unanswered.append(reason)


def predict(
    model: GPT2Classifier, tokenizer: Tokenizer, texts: Iterable[LooseText], tally: Tally
) -> Iterator[dict[str, Any]]:
    """`{text, label, probabilities}` a text; label and probabilities are null where there is nothing to read."""
    waiting = iter(texts)
    while several := list(islice(waiting, TEXTS_AT_ONCE)):
        yield from _of_several(model, tokenizer, several, tally)


def _of_several(
    model: GPT2Classifier, tokenizer: Tokenizer, texts: list[LooseText], tally: Tally
) -> Iterator[dict[str, Any]]:
    ids, offsets = tokenizer.encode_many([loose.text for loose in texts])
    lengths, longest = np.diff(offsets), model.window
    tally.window = longest
    cut = (ids[start : start + min(length, longest)] for start, length in zip(offsets, lengths) if length)
    answers = log_probabilities(model, cut)
    names = model.config.labels
    for loose, length in zip(texts, lengths):
        tally.texts += 1
        if not length:
            tally.refuse(loose.problem or f"text {tally.texts:,}: {EMPTY}")
            problem = loose.problem or EMPTY
            yield {"text": loose.text, "label": None, "probabilities": None, "problem": problem}
            continue
        tally.answered += 1
        tally.truncated += int(length > longest)
        log_p = next(answers)
        yield {
            "text": loose.text,
            "label": names[int(log_p.argmax())],
            "probabilities": dict(zip(names, np.exp(log_p).tolist())),
        }
