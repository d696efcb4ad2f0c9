"""The loss on held-out blocks: one sum over all of them, divided once. `perplexity/blocks` is this sum."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from gpt2lab.core.console import Progress
from gpt2lab.model.gpt2 import GPT2
from gpt2lab.text.batches import Blocks, rows_of_process
from gpt2lab.train.feed import to_inputs
from gpt2lab.train.objectives import token_losses
from gpt2lab.train.processes import ALONE, Team
from gpt2lab.train.settings import Every

TOKENS_AT_ONCE = 16384


@torch.no_grad()
def summed_loss(
    model: GPT2, blocks: Blocks, tokens: int | None = None, team: Team = ALONE, progress: Progress | None = None
) -> tuple[float, int]:
    """(ΣNLL, tokens scored), over the first blocks that hold `tokens`, or all; neither depends on the batching."""
    was_training = model.training
    model.eval()
    device = next(model.parameters()).device
    count = blocks.rows if tokens is None else min(blocks.rows, -(-tokens // blocks.block))
    own = rows_of_process(np.arange(count), team.rank, team.size)
    total, scored = 0.0, 0
    for rows in _groups(own, max(1, TOKENS_AT_ONCE // blocks.block)):
        inputs = to_inputs(blocks.batch(rows), device)
        losses = token_losses(model, inputs.ids, inputs.targets)
        total += losses.cpu().double().sum().item()  # not on the device: MPS has no double precision
        scored += len(losses)
        if progress:
            progress.advance(len(losses))
    model.train(was_training)
    sums = torch.tensor([total, scored], dtype=torch.float64, device=device if team.size > 1 else "cpu")
    team.add_up([sums])
    return float(sums[0]), int(sums[1])


def _groups(rows: np.ndarray, size: int) -> list[np.ndarray]:
    return [rows[start : start + size] for start in range(0, len(rows), size)]


@dataclass(frozen=True)
class Validate:
    """The probe that looks at held-out loss."""

    held_out: Sequence[Blocks]  # of every source
    every: Every
    tokens: int | None = None
    team: Team = ALONE

    def __call__(self, model: Any, step: int) -> dict[str, Any]:
        tokens = self.tokens and -(-self.tokens // len(self.held_out))
        sums = [summed_loss(model, blocks, tokens, self.team) for blocks in self.held_out]
        scored = sum(count for _, count in sums)
        return {"validation_loss": sum(total for total, _ in sums) / scored, "validation_tokens": scored}
