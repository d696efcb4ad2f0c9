"""Where a text goes on after its context, in tokens: both encoded together and then parted, or each by itself."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from gpt2lab.text.batches import Integers
from gpt2lab.text.tokenizer import Tokenizer

Pair = tuple[str, str]  # a context and how it goes on
EncodedPair = tuple[Integers, Integers]


def together(tokenizer: Tokenizer, pairs: Sequence[Pair]) -> list[EncodedPair]:
    """As lm-evaluation-harness does: spaces at a context's end go to what follows, and the whole is parted after it.

    Without a context end-of-text stands in its place.
    """
    moved = [_with_spaces_moved(*pair) for pair in pairs]
    contexts = list(dict.fromkeys(context for context, _ in moved))
    encoded = dict(zip(contexts, _encoded(tokenizer, contexts)))
    whole = _encoded(tokenizer, [context + continuation for context, continuation in moved])
    found = []
    for (context, _), ids in zip(moved, whole):
        before = encoded[context]
        found.append((_or_start(tokenizer, before), ids[len(before) :]))
    return found


def apart(tokenizer: Tokenizer, pairs: Sequence[Pair]) -> list[EncodedPair]:
    texts = list(dict.fromkeys(text for pair in pairs for text in pair))
    encoded = dict(zip(texts, _encoded(tokenizer, texts)))
    return [(_or_start(tokenizer, encoded[context]), encoded[continuation]) for context, continuation in pairs]


def _with_spaces_moved(context: str, continuation: str) -> Pair:
    kept = context.rstrip()
    return kept, context[len(kept) :] + continuation


def _or_start(tokenizer: Tokenizer, ids: Integers) -> Integers:
    return ids if len(ids) else np.array([tokenizer.end_of_text], np.int64)


def _encoded(tokenizer: Tokenizer, texts: Sequence[str]) -> list[Integers]:
    if not texts:
        return []
    ids, starts = tokenizer.encode_many(texts)
    return np.split(ids.astype(np.int64), starts[1:-1])
