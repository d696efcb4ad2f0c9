"""Keys and values of the tokens seen so far, so that each is computed once."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from gpt2lab.model.config import GPT2Config

ROUNDED = 64  # room is made for a multiple of so many tokens


class RowCache:
    """Memory laid out once, in which every row has a length of its own and begins at the first place.

    No row is padded on the left: its positions are the same in any company, and its memory is free when it leaves.
    """

    def __init__(self, config: GPT2Config, rows: int, dtype: torch.dtype, device: torch.device) -> None:
        self.config, self.dtype, self.device = config, dtype, device
        self.filled: list[int] = []  # the length of each row in use; reading them off a GPU would wait for it
        self.lengths = torch.zeros(rows, dtype=torch.long, device=device)  # the same, 0 for rows not in use
        self.numbers = torch.arange(rows, device=device)
        self.capacity = 0
        self.keys: list[Tensor] = []
        self.values: list[Tensor] = []
        self.length = 0
        self.visible: Tensor | None = None
        self._read_into: Tensor | None = None
        self._even = False

    def make_room(self, tokens: int) -> None:
        """Room for so many tokens in every row; what is there stays."""
        if tokens <= self.capacity:
            return
        size = min(-(-tokens // ROUNDED) * ROUNDED, self.config.context)
        self.keys, self.values = self._grown(self.keys, size), self._grown(self.values, size)
        self.capacity = size

    def _grown(self, before: list[Tensor], size: int) -> list[Tensor]:
        shape = (len(self.lengths), self.config.heads, size, self.config.width // self.config.heads)
        grown = [torch.zeros(shape, dtype=self.dtype, device=self.device) for _ in range(self.config.layers)]
        for old, new in zip(before, grown):
            new[:, :, : self.capacity] = old
        return grown

    def begin(self, slots: Sequence[int], lengths: Sequence[int]) -> None:
        """The next pass holds whole texts for these rows, padded on the right."""
        self.make_room(max(lengths))
        for slot, length in zip(slots, lengths):
            self._set(slot, length)
        self._read_into = torch.tensor(list(slots), device=self.device)
        self.length, self.visible = 0, None

    def step(self, rows: int, seen: int | None = None) -> None:
        """The next pass holds one token for each of `rows` rows, and attention reads `seen` places, or all in use."""
        most = max(self.filled)
        self.make_room(most + 1)
        self._read_into = None
        self._even = seen is None and min(self.filled) == most
        self.length = (seen or most + 1) - 1
        places = torch.arange(self.length + 1, device=self.device)
        self.visible = None if self._even else (places <= self.lengths[:rows, None])[:, None, None]

    def stepped(self) -> None:
        """That pass is done: every row in use is one longer."""
        self.filled = [length + 1 for length in self.filled]
        self.lengths[: len(self.filled)] += 1

    def copy(self, source: int, target: int) -> None:
        length = self.filled[source]
        for stored in (*self.keys, *self.values):
            stored[target, :, :length] = stored[source, :, :length]
        self._set(target, length)

    def leave(self, slot: int) -> None:
        """A row is finished: the last one takes its place."""
        last = len(self.filled) - 1
        if slot != last:
            self.copy(last, slot)
        self.filled.pop()
        self.lengths[last] = 0

    def _set(self, slot: int, length: int) -> None:
        self.filled += [0] * (slot + 1 - len(self.filled))
        self.filled[slot] = length
        self.lengths[slot] = length

    def extend(self, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        rows, seen = len(keys), self.length + 1
        for stored, new in ((self.keys[layer], keys), (self.values[layer], values)):
            if self._read_into is not None:
                stored[self._read_into, :, : new.shape[2]] = new.to(self.dtype)
            elif self._even:
                stored[:rows, :, self.length] = new[:, :, 0].to(self.dtype)
            else:
                stored[self.numbers[:rows], :, self.lengths[:rows]] = new[:, :, 0].to(self.dtype)
        if self._read_into is not None:
            return keys, values
        return self.keys[layer][:rows, :, :seen], self.values[layer][:rows, :, :seen]
