"""Samples that are written side by side, shown one after another while they grow."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable

CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


class InOrder:
    """The first unfinished sample is shown as it grows; what later ones have so far follows when it is their turn."""

    def __init__(self, show: Callable[[str], object], heading: Callable[[int], str]) -> None:
        self.show, self.heading = show, heading
        self.current = -1
        self.held: defaultdict[int, list[str]] = defaultdict(list)

    def begin(self) -> None:
        """The next sample's turn."""
        self.current += 1
        self.show(self.heading(self.current))
        for piece in self.held.pop(self.current, []):
            self.show(piece)

    def hear(self, order: int, piece: str) -> None:
        if order == self.current:
            self.show(piece)
        else:
            self.held[order].append(piece)


def harmless(text: str) -> str:
    """A model may write anything, also what commands a terminal: control characters become `�`."""
    return CONTROLS.sub("�", text)
