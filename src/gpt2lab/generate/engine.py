"""A model that writes several texts at once, each a token further at every step.

On a GPU with compiled steps the shapes are those of a few buckets, each its own graph: rows and places rounded up to
powers of two. What a bucket has too much is hidden from attention.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from gpt2lab.core.errors import UserError
from gpt2lab.generate.cache import RowCache
from gpt2lab.generate.packed import Weights

READ_AT_ONCE = 8192  # tokens of prompts, padding included
ROUNDED = 16  # lengths of prompts are rounded up to it: oneDNN keeps a kernel for each shape it has met
LEAST_SEEN = 128  # places of the smallest bucket
MOST_GRAPHS = 64


class Engine:
    def __init__(self, weights: Weights, rows: int, tokens: int, *, compiled: bool = False) -> None:
        """Room for `rows` texts of `tokens` tokens each, as far as the model's window allows."""
        self.weights = weights
        self.soft = weights.transformer.soft_tokens
        self.window = weights.transformer.window
        if self.window < 2:
            raise UserError(f"the model's window is {self.window} token, too small to write in")
        self.cache = RowCache(weights.transformer.config, rows, weights.cache_dtype, weights.device)
        self.cache.make_room(self.soft + min(tokens, self.window))
        self.compiled = compiled
        self._run = self._forward
        if compiled:
            for stored in (*self.cache.keys, *self.cache.values):
                torch._dynamo.mark_static_address(stored)
            self._run = torch.compile(self._forward, mode="reduce-overhead", dynamic=False, fullgraph=True)

    @property
    def rows(self) -> int:
        return len(self.cache.filled)

    def is_full(self, slot: int) -> bool:
        return self.cache.filled[slot] - self.soft >= self.window

    def read(self, slots: Sequence[int], texts: Sequence[Sequence[int]]) -> Tensor:
        """Put whole texts into these rows; the logits that follow the last token of each. Equal texts are read once."""
        places: dict[tuple[int, ...], list[int]] = {}
        for index, text in enumerate(texts):
            places.setdefault(tuple(text), []).append(index)
        logits: dict[int, Tensor] = {}
        for part in _parts(list(places)):
            found = self._read([slots[places[text][0]] for text in part], part)
            for text, row in zip(part, found):
                for index in places[text][1:]:
                    self.cache.copy(slots[places[text][0]], slots[index])
                logits |= dict.fromkeys(places[text], row)
        return torch.stack([logits[index] for index in range(len(texts))])

    def _read(self, slots: Sequence[int], texts: Sequence[Sequence[int]]) -> Tensor:
        longest = min(-(-max(map(len, texts)) // ROUNDED) * ROUNDED, self.window)
        self.cache.make_room(self.soft + longest)
        padded = [[*text, *[0] * (longest - len(text))] for text in texts]  # to the right, where nobody looks
        ids = torch.tensor(padded, device=self.weights.device)
        self.cache.begin(slots, [self.soft + len(text) for text in texts])
        last = torch.tensor([row * longest + len(text) - 1 for row, text in enumerate(texts)], device=ids.device)
        return self.weights.head(self.weights.transformer(ids, cache=self.cache, wanted_N=last))

    def step(self, ids: Sequence[int]) -> Tensor:
        """One more token in every row; the logits that follow."""
        count, cache = len(ids), self.cache
        rows, seen = count, None
        if self.compiled:
            rows = min(_power(count), len(cache.lengths))
            seen = min(max(LEAST_SEEN, _power(max(cache.filled) + 1)), cache.capacity)
        cache.step(rows, seen)
        new_B1 = torch.tensor([*ids, *[0] * (rows - count)], device=self.weights.device)[:, None]
        positions_B1 = (cache.lengths[:rows, None] - self.soft).clamp(min=0)
        if self.compiled:
            with torch._dynamo.config.patch(recompile_limit=MOST_GRAPHS):
                logits_BV = self._run(new_B1, positions_B1).clone()  # the graph writes to the same memory next time
        else:
            logits_BV = self._run(new_B1, positions_B1)
        cache.stepped()
        return logits_BV[:count]

    def leave(self, slot: int) -> None:
        self.cache.leave(slot)

    def _forward(self, ids_B1: Tensor, positions_B1: Tensor) -> Tensor:
        x_B1C = self.weights.transformer(ids_B1, positions_BT=positions_B1, cache=self.cache)
        return self.weights.head(x_B1C[:, 0])


def _parts(texts: Sequence[tuple[int, ...]]) -> Iterator[list[tuple[int, ...]]]:
    """Texts of like length together, so many as are read at once."""
    part: list[tuple[int, ...]] = []
    for text in sorted(texts, key=len):
        if part and (len(part) + 1) * len(text) > READ_AT_ONCE:
            yield part
            part = []
        part.append(text)
    yield part


def _power(count: int) -> int:
    return 1 << (count - 1).bit_length()
