"""All of a training that has to survive: weights, optimizer, loss scale, running mean."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from gpt2lab.train import groups
from gpt2lab.train.average import Average
from gpt2lab.train.loss_scale import LossScale
from gpt2lab.train.masters import Masters
from gpt2lab.train.mover import Mover
from gpt2lab.train.plan import Plan


class State:
    def __init__(self, model: nn.Module, plan: Plan) -> None:
        parted = groups.split(model, plan.settings)
        self.masters = Masters(model, torch.bfloat16 if plan.precision == "bf16" else torch.float32)
        self.mover = Mover(parted, self.masters, plan.settings, plan.device)
        self.scale = LossScale(plan.precision == "fp16", plan.device)
        self.average = Average(self.masters.parameters, plan.settings.average)

    def weights(self) -> dict[str, Tensor]:
        """What training changes; the rest of the model is where it came from."""
        return {name: parameter.detach() for name, parameter in self.masters.parameters.items()}

    def others(self) -> dict[str, Tensor]:
        return {**self.mover.state(), **self.scale.state(), **self.average.state()}

    @torch.no_grad()
    def load_weights(self, weights: dict[str, Tensor]) -> None:
        for name, parameter in self.masters.parameters.items():
            parameter.copy_(weights[name])
        self.masters.publish()

    def load_others(self, tensors: dict[str, Tensor]) -> None:
        self.scale.load(tensors)
        self.average.load(tensors)
        kept = ("loss_scale/", "average/")
        self.mover.load({name: tensor for name, tensor in tensors.items() if not name.startswith(kept)})
