"""One update of the weights from one global batch: the gradient of ΣNLL / Σtargets, however the batch is cut up."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from gpt2lab.core import console
from gpt2lab.text.batches import Batch
from gpt2lab.train.feed import Inputs, micro_batches
from gpt2lab.train.plan import Plan
from gpt2lab.train.processes import Team
from gpt2lab.train.randomness import seed_torch
from gpt2lab.train.state import State


@dataclass(frozen=True)
class Reading:
    """What a step says of itself. It is on the device: reading it waits for the step."""

    step: int
    rate: float
    sums: Tensor  # ΣNLL, Σtargets, how many processes were asked to stop
    norm: Tensor
    bad: Tensor
    loss_scale: bool

    def values(self) -> dict[str, Any]:
        nll, targets, _ = self.sums.tolist()
        found: dict[str, Any] = {"step": self.step, "loss": nll / max(1.0, targets), "rate": self.rate}
        found |= {"gradient_norm": self.norm.item(), "tokens": round(targets)}
        return found

    @property
    def skipped(self) -> bool:
        return bool(self.bad.item())

    @property
    def overflowed(self) -> bool:
        """A gradient too large for fp16, though the loss was fine: the loss scale sees to it."""
        return self.loss_scale and self.skipped and bool(torch.isfinite(self.sums[0]).item())

    @property
    def stop(self) -> bool:
        return bool(self.sums[2].item())


class Stepper:
    """Makes updates; halves the micro-batch where the device's memory ends, and the update stays the same."""

    def __init__(self, model: nn.Module, loss: Callable[[Inputs], Tensor], plan: Plan, state: State, team: Team):
        self.model, self.loss, self.plan, self.state, self.team = model, loss, plan, state, team
        self.micro_batch = plan.micro_batch

    def update(self, batch: Batch, step: int, *, stop: bool = False, pretend: bool = False) -> Reading:
        """`step` counts from 0. A pretended step computes everything and changes nothing: for measuring."""
        settings, state = self.plan.settings, self.state
        self.model.train()
        nll = self._gradient(batch, step)
        sums = torch.stack([nll, torch.full_like(nll, batch.scored), torch.full_like(nll, stop)])
        gradients = state.mover.gradients()
        self.team.add_up([sums, *gradients])
        size = torch.nn.utils.get_total_norm(gradients)
        targets = sums[1].clamp(min=1)
        norm = size / (targets * state.scale.factor)
        bad = (~(torch.isfinite(size) & torch.isfinite(sums[0]))).float()
        excess = (norm / settings.clip).clamp(min=1) if settings.clip else 1.0
        share = self.plan.rate(step)
        masked = torch.ones_like(bad) if pretend else bad
        state.mover.step(share, targets * state.scale.factor * excess, masked)
        state.mover.forget_gradients()
        if not pretend:
            state.scale.follow(bad)
            state.masters.publish()
            state.average.follow(step, self.plan.steps)
        return Reading(step + 1, share * settings.learning_rate, sums, norm, bad, state.scale.needed)

    def _gradient(self, batch: Batch, step: int) -> Tensor:
        while True:
            try:
                return self._accumulate(batch, step)
            except torch.OutOfMemoryError:
                if self.micro_batch == 1:
                    raise
            self.state.mover.forget_gradients()
            self.micro_batch = -(-self.micro_batch // 2)
            torch.cuda.empty_cache()
            console.warn(f"out of GPU memory: micro-batches of {self.micro_batch} rows from here on, the same update")

    def _accumulate(self, batch: Batch, step: int) -> Tensor:
        plan = self.plan
        total = torch.zeros((), dtype=torch.float32, device=plan.device)
        for index, inputs in enumerate(micro_batches(batch, self.micro_batch, plan.device, plan.settings.compile)):
            seed_torch(plan.settings.seed, step, f"dropout/{self.team.rank}/{index}")
            with torch.autocast(plan.device.type, torch.float16, enabled=plan.precision == "fp16"):
                loss = self.loss(inputs)
            (loss * self.state.scale.factor if self.state.scale.needed else loss).backward()
            total += loss.detach()
        return total
