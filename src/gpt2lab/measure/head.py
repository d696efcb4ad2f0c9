"""Hidden states become log-probabilities of chosen ids: a few rows at a time, in one buffer that is used again."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from gpt2lab.model.gpt2 import GPT2

CHUNK_BYTES = {"cpu": 64e6, "cuda": 1e9}  # of fp32 logits


@dataclass
class Head:
    """Made once for many rows: it holds the weights in the precision of the blocks, without the ids that only pad."""

    weight: Tensor  # (V, C)
    rows: int
    logits: Tensor  # (rows, V), in fp32 or better

    @staticmethod
    def of(model: GPT2) -> Head:
        weight = model.lm_head.weight[: model.config.vocabulary].detach()
        dtype = model.transformer.ln_f.weight.dtype
        if dtype.itemsize < 4:
            # The same shift of a row's logits changes no probability, and rounds the less the smaller they are.
            weight = (weight.float() - weight.float().mean(dim=0)).to(dtype)
        wide = torch.promote_types(dtype, torch.float32)
        rows = max(1, int(CHUNK_BYTES.get(weight.device.type, 1e9) / (4 * len(weight))))
        return Head(weight, rows, torch.empty(0, len(weight), dtype=wide, device=weight.device))

    def __call__(self, x_NC: Tensor, row_M: Tensor, target_M: Tensor) -> tuple[Tensor, Tensor]:
        """log p(target), and whether no id is likelier nor as likely and earlier; `row_M` must not fall."""
        values = self.logits.new_empty(len(target_M))
        greedy = torch.empty_like(target_M, dtype=torch.bool)
        starts = range(0, len(x_NC), self.rows)
        borders = torch.searchsorted(row_M, torch.tensor([*starts, len(x_NC)], device=row_M.device)).tolist()
        for start, first, last in zip(starts, borders, borders[1:]):
            log_p = self._log_probabilities(x_NC[start : start + self.rows])
            rows, targets = row_M[first:last] - start, target_M[first:last]
            values[first:last] = log_p[rows, targets]
            greedy[first:last] = log_p.argmax(-1)[rows] == targets
        return values, greedy

    def _log_probabilities(self, x_NC: Tensor) -> Tensor:
        if len(self.logits) < min(len(x_NC), self.rows):
            self.logits = self.logits.new_empty(len(x_NC), len(self.weight))
        logits = self.logits[: len(x_NC)]
        if x_NC.dtype == logits.dtype:
            torch.mm(x_NC, self.weight.mT, out=logits)
        else:
            logits.copy_(torch.mm(x_NC, self.weight.mT))
        return torch.log_softmax(logits, dim=-1, out=logits)
