"""fp16 has few exponents: the loss is scaled up before the way back, as far as gradients stay finite."""

from __future__ import annotations

import torch
from torch import Tensor

FIRST, MOST = 2.0**16, 2.0**24
STEPS_TO_GROW = 2000


class LossScale:
    """Halved after a step that overflowed, doubled after two thousand that did not. 1 where it is not needed."""

    def __init__(self, needed: bool, device: torch.device) -> None:
        self.needed = needed
        self.factor = torch.tensor(FIRST if needed else 1.0, device=device)
        self.streak = torch.zeros((), device=device)

    def follow(self, bad: Tensor) -> None:
        if self.needed:
            self.streak = torch.where(bad.bool(), 0.0, self.streak + 1)
            grown = torch.where(self.streak >= STEPS_TO_GROW, self.factor * 2, self.factor).clamp(max=MOST)
            self.streak = torch.where(self.streak >= STEPS_TO_GROW, 0.0, self.streak)
            self.factor = torch.where(bad.bool(), self.factor / 2, grown)

    def state(self) -> dict[str, Tensor]:
        return {"loss_scale/factor": self.factor, "loss_scale/streak": self.streak} if self.needed else {}

    def load(self, state: dict[str, Tensor]) -> None:
        if self.needed:
            self.factor.copy_(state["loss_scale/factor"])
            self.streak.copy_(state["loss_scale/streak"])
