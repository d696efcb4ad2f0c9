"""Whether a text has the form that its training data has: closed delimiters, and a number of words between bounds."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Form:
    closed: bool  # one pair of delimiters, in order
    words: int | None  # between them
    fits: bool  # closed, and as long as asked for


def of(text: str, opening: str, closing: str, fewest_words: int, most_words: int) -> Form:
    """`text` is prompt and continuation together: the prompt often holds the opening."""
    _, there, after = text.partition(opening)
    inside, closed, rest = after.partition(closing)
    whole = bool(there and closed) and opening not in inside + rest and closing not in rest
    if not whole:
        return Form(False, None, False)
    words = len(inside.split())
    return Form(True, words, fewest_words <= words <= most_words)
