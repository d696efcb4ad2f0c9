"""Keys and values of the tokens seen so far, so that each is computed once."""

from __future__ import annotations

import torch
from torch import Tensor


class GrowingCache:
    def __init__(self, layers: int) -> None:
        self.keys: list[Tensor | None] = [None] * layers
        self.values: list[Tensor | None] = [None] * layers

    @property
    def length(self) -> int:
        """Tokens in the cache before this pass: the last layer is the last to know of new ones."""
        last = self.keys[-1]
        return 0 if last is None else last.shape[2]

    def extend(self, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        before_keys, before_values = self.keys[layer], self.values[layer]
        if before_keys is not None and before_values is not None:
            keys, values = torch.cat([before_keys, keys], dim=2), torch.cat([before_values, values], dim=2)
        self.keys[layer], self.values[layer] = keys, values
        return keys, values
