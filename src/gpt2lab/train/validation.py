"""The loss on held-out blocks: one sum over all of them, divided once."""

from __future__ import annotations

import numpy as np
import torch

from gpt2lab.model.gpt2 import GPT2
from gpt2lab.text.batches import Blocks
from gpt2lab.train.objectives import token_losses


@torch.no_grad()
def summed_loss(model: GPT2, blocks: Blocks, batch_rows: int = 16) -> tuple[float, int]:
    """(ΣNLL in double precision, tokens scored); neither depends on how rows are batched but for rounding."""
    was_training = model.training
    model.eval()
    device = next(model.parameters()).device
    total, scored = 0.0, 0
    for start in range(0, blocks.rows, batch_rows):
        batch = blocks.batch(np.arange(start, min(start + batch_rows, blocks.rows)))
        ids, targets = torch.from_numpy(batch.ids).to(device), torch.from_numpy(batch.targets).to(device)
        losses = token_losses(model, ids, targets)
        total += losses.cpu().double().sum().item()  # not on the device: MPS has no double precision
        scored += len(losses)
    model.train(was_training)
    return total, scored
