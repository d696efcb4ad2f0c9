"""Which tokens pass through the model together, and which of them are scored: pure functions of a few numbers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Window:
    """Tokens [start, first) are read, tokens [first, stop) are scored."""

    start: int
    first: int
    stop: int
    weight: float = 1.0  # what each scored token counts


def sliding(tokens: int, context: int, stride: int) -> Iterator[Window]:
    """Every token but the first is scored once, by the first window that reaches it."""
    step = min(stride, context - 1)
    start, scored = 0, 1
    while scored < tokens:
        stop = min(start + context, tokens)
        yield Window(start, max(scored, start + 1), stop)
        start, scored = start + step, stop


def as_huggingface(tokens: int, context: int, stride: int) -> Iterator[Window]:
    """The windows of the snippet in transformers' documentation, and its weights.

    It steps by the stride itself, so that the first token of a window that stands alone is never scored; and it weighs
    the mean of an overlapping window by one token less than the mean was taken over.
    """
    for start in range(0, tokens, stride):
        stop = min(start + context, tokens)
        before = 0 if start == 0 else min(start - stride + context, tokens)  # where the last window ended
        first = max(before, start + 1)
        if first < stop:
            scored = stop - first
            yield Window(start, first, stop, (stop - max(before, start) - 1) / scored)
        if stop == tokens:
            return


def blocks(tokens: int, block: int) -> Iterator[Window]:
    """Inputs [k·block, (k+1)·block), targets shifted by one; the last block may be partial."""
    for start in range(0, tokens - 1, block):
        yield Window(start, start + 1, min(start + block + 1, tokens))


def group_texts(tokens: int, block: int) -> Iterator[Window]:
    """Whole blocks alone, each without a target for its first token, as Hugging Face's training scripts make them."""
    for start in range(0, tokens - block + 1, block):
        yield Window(start, start + 1, start + block)


def rolling(tokens: int, window: int) -> Iterator[Window]:
    """Of a prefix and a document's tokens after it: as many as fit at a time, the last ones with all context that fits.

    So lm-evaluation-harness does it: only the last window of a document overlaps the one before.
    """
    scored = 1
    while scored < tokens:
        stop = min(scored + window, tokens)
        yield Window(max(0, stop - window - 1), scored, stop)
        scored = stop
