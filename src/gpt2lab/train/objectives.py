"""A batch becomes (sum of negative log-likelihoods, number of targets)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from gpt2lab.model.gpt2 import GPT2
from gpt2lab.text.batches import UNSCORED


def token_losses(model: GPT2, ids_BT: Tensor, targets_BT: Tensor) -> Tensor:
    """The loss at each scored place, in order; logits exist only there."""
    x_NC = model.transformer(ids_BT)[targets_BT != UNSCORED]
    return F.cross_entropy(model.logits(x_NC).float(), targets_BT[targets_BT != UNSCORED], reduction="none")


def language_modelling(model: GPT2, ids_BT: Tensor, targets_BT: Tensor) -> Tensor:
    return token_losses(model, ids_BT, targets_BT).sum(dtype=torch.float32)
