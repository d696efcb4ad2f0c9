"""The step as one graph, where asked for. Probes use the plain model, so that they never compile it again."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from gpt2lab.train.feed import Inputs
from gpt2lab.train.objectives import Objective


def loss_function(objective: Objective, model: nn.Module, compile_it: bool) -> Callable[[Inputs], Tensor]:
    def loss(inputs: Inputs) -> Tensor:
        return objective(model, inputs)

    return torch.compile(loss, dynamic=False) if compile_it else loss
