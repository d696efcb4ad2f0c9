"""Which of many texts is nearly the same as a new one: exact Jaccard of runs of five words, in a growing index."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from gpt2lab.text.contamination import WORD, runs

RUN = 5


class Index:
    """Texts by their runs; only texts that share a run with a new one are looked at."""

    def __init__(self) -> None:
        self.sizes: list[int] = []
        self.texts_with: dict[int, int | list[int]] = {}  # most runs stand in one text: no list for those

    def nearest(self, text: str) -> float:
        """Of all texts that were added, the largest share of runs in common."""
        mine = shingles(text)
        shared: Counter[int] = Counter()
        for run in mine:
            shared.update(self._with(run))
        return max((both / (len(mine) + self.sizes[text] - both) for text, both in shared.items()), default=0.0)

    def add(self, text: str) -> None:
        number = len(self.sizes)
        mine = shingles(text)
        self.sizes.append(len(mine))
        for run in mine:
            before = self.texts_with.setdefault(run, number)
            if isinstance(before, list):
                before.append(number)
            elif before != number:
                self.texts_with[run] = [before, number]

    def _with(self, run: int) -> Iterator[int] | list[int]:
        found = self.texts_with.get(run)
        return [] if found is None else found if isinstance(found, list) else [found]


def shingles(text: str) -> frozenset[int]:
    """Hashes of the runs of a text; of a shorter text, of all its words."""
    return frozenset(runs(text, max(1, min(RUN, len(WORD.findall(text))))))
