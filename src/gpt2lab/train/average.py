"""The mean of the weights over the last share of the steps, where asked for."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Average:
    def __init__(self, parameters: dict[str, nn.Parameter], share: float) -> None:
        self.parameters = parameters
        self.share = share
        self.count = 0
        self.means: dict[str, Tensor] = {}

    @torch.no_grad()
    def follow(self, step: int, steps: int) -> None:
        """After the step that is counted from 0."""
        if not self.share or step < steps * (1 - self.share):
            return
        self.count += 1
        if not self.means:
            self.means = {name: parameter.detach().clone() for name, parameter in self.parameters.items()}
        torch._foreach_lerp_(list(self.means.values()), [p.detach() for p in self.parameters.values()], 1 / self.count)

    def state(self) -> dict[str, Tensor]:
        if not self.means:
            return {}
        return {f"average/{name}": mean for name, mean in self.means.items()} | {
            "average/": torch.tensor(self.count, dtype=torch.int64)
        }

    def load(self, state: dict[str, Tensor]) -> None:
        if "average/" in state:
            self.count = int(state["average/"])
            self.means = {
                name: state[f"average/{name}"].to(parameter.device) for name, parameter in self.parameters.items()
            }
