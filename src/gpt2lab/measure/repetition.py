"""Repetition within a text and variety among texts, over tokens of any kind."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Hashable, Iterable, Sequence

Text = Sequence[Hashable]
BLEU_ORDER = 4


def ngrams(text: Text, n: int) -> list[tuple[Hashable, ...]]:
    return [tuple(text[start : start + n]) for start in range(len(text) - n + 1)]


def repeated(text: Text, n: int) -> float | None:
    """rep-n: the share of n-grams that stood in the text before; None for a text that has none."""
    found = ngrams(text, n)
    return 1 - len(set(found)) / len(found) if found else None


def longest_repeated_run(text: Text) -> int:
    """The most tokens in a row that stand at two places of the text; the places may overlap."""
    shortest, longest = 0, max(0, len(text) - 1)
    while shortest < longest:
        middle = (shortest + longest + 1) // 2
        found = ngrams(text, middle)
        if len(set(found)) < len(found):
            shortest = middle
        else:
            longest = middle - 1
    return shortest


def distinct(texts: Iterable[Text], n: int, tokens: int) -> float | None:
    """distinct-n: different n-grams among all, in the first `tokens` tokens of the texts; None where they are fewer.

    The share falls as texts grow, so it is only comparable at the same count.
    """
    left, different, count = tokens, set(), 0
    for text in texts:
        found = ngrams(text[:left], n)
        different.update(found)
        count += len(found)
        left -= min(left, len(text))
    return len(different) / count if not left and count else None


def self_bleu(texts: Sequence[Text]) -> list[float] | None:
    """BLEU-4 of each text with all others as references, 0 to 1: high where samples resemble each other."""
    if len(texts) < 2:
        return None
    counted = [[Counter(ngrams(text, n)) for n in range(1, BLEU_ORDER + 1)] for text in texts]
    lengths = [len(text) for text in texts]
    return [_bleu(place, counted, lengths) for place in range(len(texts))]


def _bleu(place: int, counted: Sequence[list[Counter]], lengths: Sequence[int]) -> float:
    """Of one text against the others; orders that it is too short for are left out, and a precision of nothing is
    smoothed to half of what one match would give, then to a quarter, as sacrebleu does.
    """
    others = [number for number in range(len(lengths)) if number != place]
    logs, smoothing = [], 1
    for n in range(BLEU_ORDER):
        mine = counted[place][n]
        total = sum(mine.values())
        if not total:
            break
        right = sum(min(count, max(counted[other][n][ngram] for other in others)) for ngram, count in mine.items())
        if n == 0 and not right:
            return 0.0
        if not right:
            smoothing *= 2
        logs.append(math.log(right / total if right else 1 / (smoothing * total)))
    if not logs:
        return 0.0
    length = lengths[place]
    closest = min((abs(lengths[other] - length), lengths[other]) for other in others)[1]
    brevity = min(0.0, 1 - closest / length)
    return math.exp(sum(logs) / len(logs) + brevity)
