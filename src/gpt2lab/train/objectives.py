"""A batch on the device becomes ΣNLL; over how many targets is the batch's own affair."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch.nn.functional as F
from torch import Tensor

from gpt2lab.model.gpt2 import GPT2, GPT2Classifier
from gpt2lab.text.batches import UNSCORED
from gpt2lab.train.cross_entropy import summed_nll, token_nll
from gpt2lab.train.feed import Inputs

Objective = Callable[[Any, Inputs], Tensor]  # of a model and a micro-batch


def language_modelling(model: GPT2, inputs: Inputs) -> Tensor:
    """Dense rows go through the head as they are; elsewhere logits exist only where a target is."""
    targets_N, wanted_N = inputs.targets.flatten(), inputs.wanted
    if wanted_N is not None:
        targets_N = targets_N[wanted_N]
    x = model.transformer(inputs.ids, inputs.mask, inputs.positions, wanted_N=wanted_N)
    return summed_nll(x.flatten(0, -2), model.lm_head.weight, model.padding_bias, targets_N)


def classification(model: GPT2Classifier, inputs: Inputs) -> Tensor:
    assert inputs.labels is not None
    return F.cross_entropy(model(inputs.ids, inputs.mask, inputs.last).float(), inputs.labels, reduction="sum")


def token_losses(
    model: GPT2, ids_BT: Tensor, targets_BT: Tensor, mask: Tensor | None = None, positions_BT: Tensor | None = None
) -> Tensor:
    """The loss at each scored place, in order, without a way back; logits exist only there."""
    wanted_N = (targets_BT.flatten() != UNSCORED).nonzero()[:, 0]
    x_NC = model.transformer(ids_BT, mask, positions_BT, wanted_N=wanted_N)
    return token_nll(x_NC, model.lm_head.weight, model.padding_bias, targets_BT.flatten()[wanted_N])


def untrained_loss(vocabulary: int) -> float:
    """Of a model that knows nothing: every token is as likely as any other."""
    return math.log(vocabulary)
