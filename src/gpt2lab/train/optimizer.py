"""Which parameters move, with which decay, and the optimizer that moves them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from gpt2lab.model.layout import PADDED
from gpt2lab.train.settings import TrainSettings


@dataclass(frozen=True)
class Group:
    name: str
    parameters: dict[str, nn.Parameter]
    weight_decay: float

    def count(self, vocabulary: int) -> int:
        """Without the rows that only pad the vocabulary."""
        return sum(
            parameter[:vocabulary].numel() if name.endswith(PADDED) else parameter.numel()
            for name, parameter in self.parameters.items()
        )


def groups(model: nn.Module, settings: TrainSettings) -> list[Group]:
    """Matrices decay; norms and biases do not. Every trainable parameter is in exactly one group."""
    trainable = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    matrices = {name: parameter for name, parameter in trainable.items() if parameter.dim() >= 2}
    vectors = {name: parameter for name, parameter in trainable.items() if parameter.dim() < 2}
    return [Group("matrices", matrices, settings.weight_decay), Group("norms and biases", vectors, 0.0)]


def adamw(parameter_groups: list[Group], settings: TrainSettings, device: torch.device) -> torch.optim.AdamW:
    return torch.optim.AdamW(
        [{"params": list(group.parameters.values()), "weight_decay": group.weight_decay} for group in parameter_groups],
        lr=settings.learning_rate,
        betas=(settings.beta1, settings.beta2),
        fused=device.type in ("cpu", "cuda"),  # not on MPS
    )
