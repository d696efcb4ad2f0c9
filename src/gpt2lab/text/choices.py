"""`builtin:choices`: how does a text go on? Four endings, of which one is the text's own.

Nothing but the context tells which: all four are whole sentences of the same range of lengths, drawn alike from places
where a text goes on, with the same spaces, capitals and stops.
"""

from __future__ import annotations

import random
import re
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from gpt2lab.core.console import counted
from gpt2lab.core.errors import UserError

ENDINGS = 4
CONTEXT = 3  # sentences at most
APART = 10  # sentences from the truth to a false ending of the same document
LENGTHS = (40, 60, 90, 135, 200)  # characters; an item's endings lie between two of these, so within a factor 1.5
SENTENCE_BORDER = re.compile(r"(?<=[.!?])(?<!e\.g\.)(?<!i\.e\.)(?<!etc\.)(?<!vs\.) (?=[^\W\d_a-z])")


@dataclass(frozen=True)
class Place:
    """Where a text goes on with `ending`."""

    document: int
    sentence: int
    before: tuple[str, ...]
    ending: str

    def is_far_from(self, other: Place) -> bool:
        return self.document != other.document or abs(self.sentence - other.sentence) >= APART


def items(documents: Sequence[str], count: int, seed: int) -> Iterator[dict[str, Any]]:
    """`context`, `endings` and `label`, the place of the true one. Item i is the same whatever the count."""
    places = [place for number, document in enumerate(dict.fromkeys(documents)) for place in _places(number, document)]
    alike = defaultdict(list)
    for place in places:
        alike[bisect_right(LENGTHS, len(place.ending))].append(place)
    made = 0
    for place in random.Random(f"{seed}/places").sample(places, len(places)):
        if made == count:
            return
        rng = random.Random(f"{seed}/{made}")
        false = _false_endings(rng, place, alike[bisect_right(LENGTHS, len(place.ending))])
        if len(false) == ENDINGS - 1:
            yield _item(rng, place, false)
            made += 1
    if made < count:
        raise UserError(
            f"these documents give {counted(made, 'choice')}, not {count}",
            way_out="ask for fewer, or give more documents",
        )


def _item(rng: random.Random, place: Place, false: list[str]) -> dict[str, Any]:
    label = rng.randrange(ENDINGS)
    context = " ".join(place.before[-rng.randint(1, CONTEXT) :])
    return {"context": context, "endings": [*false[:label], place.ending, *false[label:]], "label": label}


def _false_endings(rng: random.Random, true: Place, alike: list[Place]) -> list[str]:
    chosen: list[str] = []
    for _ in range(ENDINGS - 1):
        known = {text.casefold() for text in (true.ending, *true.before, *chosen)}
        start = rng.randrange(len(alike))
        for number in range(start, start + len(alike)):
            place = alike[number % len(alike)]
            if place.is_far_from(true) and place.ending.casefold() not in known:
                chosen.append(place.ending)
                break
    return chosen


def _places(number: int, document: str) -> Iterator[Place]:
    sentences = [sentence for paragraph in re.split(r"\n\s*\n", document) for sentence in _sentences(paragraph)]
    for place, ending in enumerate(sentences):
        before = tuple(sentences[max(0, place - CONTEXT) : place])
        if before and all(_is_whole(sentence) for sentence in (before[-1], ending)) and _has_a_length(ending):
            yield Place(number, place, before, ending)


def _sentences(paragraph: str) -> list[str]:
    return SENTENCE_BORDER.split(" ".join(paragraph.split()))


def _is_whole(sentence: str) -> bool:
    return sentence[:1].isupper() and sentence.endswith((".", "!", "?"))


def _has_a_length(sentence: str) -> bool:
    return LENGTHS[0] <= len(sentence) < LENGTHS[-1]
