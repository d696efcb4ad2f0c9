"""The loss on held-out blocks: one sum over all of them, divided once. `perplexity/blocks` is this sum."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from gpt2lab.core.console import Progress
from gpt2lab.model.gpt2 import GPT2
from gpt2lab.text.batches import Labelled, Rows, rows_of_process
from gpt2lab.train.feed import micro_batches
from gpt2lab.train.objectives import token_losses
from gpt2lab.train.processes import ALONE, Team
from gpt2lab.train.settings import Every

TOKENS_AT_ONCE = {"cpu": 4096}  # more is not faster there, and takes more memory than a training step


@torch.no_grad()
def summed_loss(
    model: GPT2, rows: Rows, tokens: int | None = None, team: Team = ALONE, progress: Progress | None = None
) -> tuple[float, int]:
    """(ΣNLL, tokens scored), over the first rows that hold `tokens`, or all; neither depends on the batching."""
    was_training = model.training
    model.eval()
    device = next(model.parameters()).device
    lengths = rows.lengths(np.arange(rows.rows))
    count = rows.rows if tokens is None else min(rows.rows, int(np.searchsorted(np.cumsum(lengths), tokens)) + 1)
    own = rows_of_process(np.arange(count), team.rank, team.size)
    total, scored = 0.0, 0
    at_once = max(1, TOKENS_AT_ONCE.get(device.type, 16384) // int(lengths.max(initial=1)))
    for group in _groups(own, at_once):
        for inputs in micro_batches(rows.batch(group), at_once, device):
            losses = token_losses(model, inputs.ids, inputs.targets, inputs.mask, inputs.positions)
            total += losses.cpu().double().sum().item()  # not on the device: MPS has no double precision
            scored += len(losses)
            if progress:
                progress.advance(len(losses))
    model.train(was_training)
    sums = torch.tensor([total, scored], dtype=torch.float64, device=device if team.size > 1 else "cpu")
    team.add_up([sums])
    return float(sums[0]), int(sums[1])


@dataclass(frozen=True)
class ValidateLabels:
    """The probe that looks at the classes of held-out texts."""

    held_out: Labelled
    every: Every
    team: Team = ALONE

    @torch.no_grad()
    def __call__(self, model: Any, step: int) -> dict[str, Any]:
        device = next(model.parameters()).device
        own = rows_of_process(np.arange(self.held_out.rows), self.team.rank, self.team.size)
        sums = torch.zeros(3, dtype=torch.float64)
        for rows in _groups(own, 64):
            for inputs in micro_batches(self.held_out.batch(rows), 16, device):
                assert inputs.labels is not None
                logits = model(inputs.ids, inputs.mask, inputs.last).float()
                loss = torch.nn.functional.cross_entropy(logits, inputs.labels, reduction="sum")
                right = (logits.argmax(-1) == inputs.labels).sum()
                sums += torch.tensor([loss.item(), right.item(), len(logits)], dtype=torch.float64)
        sums = sums.to(device) if self.team.size > 1 else sums
        self.team.add_up([sums])
        loss, right, count = sums.tolist()
        return {"validation_loss": loss / count, "validation_accuracy": right / count, "validation_texts": int(count)}


def _groups(rows: np.ndarray, size: int) -> list[np.ndarray]:
    return [rows[start : start + size] for start in range(0, len(rows), size)]


@dataclass(frozen=True)
class Validate:
    """The probe that looks at held-out loss."""

    held_out: Sequence[Rows]  # of every source
    every: Every
    tokens: int | None = None
    team: Team = ALONE

    def __call__(self, model: Any, step: int) -> dict[str, Any]:
        tokens = self.tokens and -(-self.tokens // len(self.held_out))
        sums = [summed_loss(model, rows, tokens, self.team) for rows in self.held_out]
        scored = sum(count for _, count in sums)
        return {"validation_loss": sum(total for total, _ in sums) / scored, "validation_tokens": scored}
