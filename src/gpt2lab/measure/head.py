"""Hidden states become log-probabilities of chosen ids, a few rows at a time."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gpt2lab.generate.packed import PackedLinear, can_pack
from gpt2lab.model.gpt2 import GPT2
from gpt2lab.text.batches import Integers

CHUNK_BYTES = {"cpu": 64e6, "cuda": 1e9}  # of fp32 logits


@dataclass
class Head:
    """Made once for many rows."""

    product: Callable[[Tensor], Tensor]  # hidden states to logits, those of ids that only pad included
    wide: torch.dtype  # what logits are in before anything is summed: fp32 or better
    vocabulary: int
    rows: int  # at once

    @staticmethod
    def of(model: GPT2) -> Head:
        weight = model.lm_head.weight.detach()
        dtype = model.transformer.ln_f.weight.dtype
        if dtype.itemsize < 4:
            # The same shift of all of a row's logits changes no probability, and small logits lose less in rounding.
            mean = weight[: model.config.vocabulary].mean(dim=0, dtype=torch.float32)
            weight = (weight.float() - mean).to(dtype)
        wide = torch.promote_types(dtype, torch.float32)
        rows = max(1, int(CHUNK_BYTES.get(weight.device.type, 1e9) / (4 * len(weight))))
        packed = PackedLinear(weight, None, dtype) if can_pack(weight.device, dtype) else None
        return Head(packed or (lambda x_NC: x_NC @ weight.mT), wide, model.config.vocabulary, rows)

    def __call__(self, x_NC: Tensor, row_M: Integers, target_M: Integers) -> tuple[NDArray, NDArray[np.bool_]]:
        """log p(target) of each, and whether no id is likelier, nor as likely and earlier; `row_M` must not fall."""
        values = torch.empty(len(target_M), dtype=self.wide, device=x_NC.device)
        greedy = torch.zeros(len(target_M), dtype=torch.bool, device=x_NC.device)
        rows_M, targets_M = (torch.from_numpy(array).to(x_NC.device) for array in (row_M, target_M))
        starts = range(0, len(x_NC), self.rows)
        borders = np.searchsorted(row_M, [*starts, len(x_NC)]).tolist()
        for start, first, last in zip(starts, borders, borders[1:]):
            log_p = self._log_probabilities(x_NC[start : start + self.rows])
            rows, targets = rows_M[first:last] - start, targets_M[first:last]
            values[first:last] = log_p[rows, targets]
            greedy[first:last] = _is_first_of_the_likeliest(log_p, rows, targets, values[first:last])
        return values.cpu().numpy(), greedy.cpu().numpy()

    def _log_probabilities(self, x_NC: Tensor) -> Tensor:
        logits = self.product(x_NC).to(self.wide)
        logits[:, self.vocabulary :] = -math.inf
        return torch.log_softmax(logits, dim=-1, out=logits)


def _is_first_of_the_likeliest(log_p: Tensor, rows: Tensor, targets: Tensor, values: Tensor) -> Tensor:
    """On a CPU looking for the place of a maximum takes five times as long as the maximum: few rows need it."""
    found = values == log_p.amax(dim=-1)[rows]
    places = found.nonzero()[:, 0]
    found[places] = log_p[rows[places]].argmax(dim=-1) == targets[places]
    return found
