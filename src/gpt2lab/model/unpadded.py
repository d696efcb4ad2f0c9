"""Texts of unequal length without their padding: all but attention runs on real tokens, one behind the other.

Attention sees every text at the left of its row, whichever side it was padded on. What the causal rule hides is then
all that has to be hidden: no mask is needed, and nothing of a text depends on the others of its batch.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

STEP = 32  # tokens: for each new number of them oneDNN makes kernels and keeps them


@dataclass(frozen=True)
class Unpadded:
    kept: Tensor  # places of the batch that go through the layers: all real tokens, and padding up to the next step
    slots: Tensor  # where attention sees them
    shape: tuple[int, int]

    def tokens(self, x_BTC: Tensor) -> Tensor:
        """(1, N, C)"""
        return x_BTC.flatten(0, 1).index_select(0, self.kept)[None]

    def batch(self, x_1NC: Tensor) -> Tensor:
        """(B, T, C); what stands for padding means nothing."""
        return self._laid_out(x_1NC[0], self.kept)

    def rows(self, x_1NC: Tensor) -> Tensor:
        """(B, T, C), as attention sees them."""
        return self._laid_out(x_1NC[0], self.slots)

    def tokens_of_rows(self, x_BTC: Tensor) -> Tensor:
        return x_BTC.flatten(0, 1).index_select(0, self.slots)[None]

    def _laid_out(self, x_NC: Tensor, places_N: Tensor) -> Tensor:
        empty = x_NC.new_zeros(self.shape[0] * self.shape[1], x_NC.shape[1])
        return empty.index_copy(0, places_N, x_NC).unflatten(0, self.shape)


def unpadded(mask: Tensor | None) -> Unpadded | None:
    """For the mask of a whole batch on a CPU. A GPU would have to wait for the number of tokens, and keeps its mask."""
    if mask is None or mask.dim() != 2 or mask.device.type != "cpu" or torch.compiler.is_compiling():
        return None
    real_BT = mask.bool()
    number, length = real_BT.shape
    first_real = (~real_BT).flatten().long().argsort(stable=True)
    count = min(-(-int(real_BT.sum()) // STEP) * STEP, number * length)
    kept = first_real[:count].sort().values
    places_BT = (~real_BT).long().argsort(dim=1, stable=True).argsort(dim=1)
    slots_BT = torch.arange(number)[:, None] * length + places_BT
    return Unpadded(kept, slots_BT.flatten()[kept], (number, length))
