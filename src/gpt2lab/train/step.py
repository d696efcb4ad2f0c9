"""One update of the weights from one global batch: the gradient of ΣNLL / Σtargets, however the batch is cut up."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from gpt2lab.core import console, hardware
from gpt2lab.text.batches import Batch
from gpt2lab.train import attention_kernels, feed
from gpt2lab.train.feed import Cut, Inputs, is_gpu
from gpt2lab.train.plan import Plan, Unit
from gpt2lab.train.processes import Team
from gpt2lab.train.randomness import seed_torch
from gpt2lab.train.state import State


class Reading:
    """What a step says of itself: on its way from the device at once, waited for when it is read."""

    def __init__(self, step: int, rate: float, numbers: Tensor, loss_scale: bool, unit: Unit) -> None:
        self.step, self.rate, self.loss_scale, self.unit = step, rate, loss_scale, unit
        self._arrived: torch.cuda.Event | None = None
        if is_gpu(numbers.device):
            with torch.cuda.device(numbers.device):  # an event listens to the GPU that is current, whichever is ours
                self._numbers = torch.empty(numbers.shape, pin_memory=True)
                self._numbers.copy_(numbers, non_blocking=True)
                self._arrived = torch.cuda.Event()
                self._arrived.record()
        else:
            self._numbers = numbers

    @cached_property
    def numbers(self) -> list[float]:
        """ΣNLL, Σtargets, Σtokens read, who asked to stop and to save, the gradient's norm, whether it was masked."""
        if self._arrived is not None:
            self._arrived.synchronize()
        return self._numbers.tolist()

    def values(self) -> dict[str, Any]:
        nll, targets, read, _, _, norm, _ = self.numbers
        found: dict[str, Any] = {"step": self.step, "loss": nll / max(1.0, targets), "rate": self.rate}
        amounts = (
            {"tokens": round(targets)} if self.unit == "tokens" else {"texts": round(targets), "tokens": round(read)}
        )
        return found | {"gradient_norm": norm, **amounts}

    @property
    def skipped(self) -> bool:
        return bool(self.numbers[6])

    @property
    def overflowed(self) -> bool:
        """A gradient too large for fp16, though the loss was fine: the loss scale sees to it."""
        return self.loss_scale and self.skipped and math.isfinite(self.numbers[0])

    @property
    def stop(self) -> bool:
        return bool(self.numbers[3])

    @property
    def save(self) -> bool:
        return bool(self.numbers[4])


class Stepper:
    """Makes updates; halves the micro-batch where the device's memory ends, and the update stays the same."""

    def __init__(self, model: nn.Module, loss: Callable[[Inputs], Tensor], plan: Plan, state: State, team: Team):
        self.model, self.loss, self.plan, self.state, self.team = model, loss, plan, state, team
        self.micro_batch = plan.micro_batch

    def cut(self, batch: Batch) -> Cut:
        """A batch made ready for `update`: beside the training, in another thread."""
        return feed.cut(batch, self.micro_batch, self.plan.device, self.plan.settings.compile)

    def update(
        self, batch: Cut, step: int, *, stop: bool = False, save: bool = False, pretend: bool = False
    ) -> Reading:
        """`step` counts from 0. What one process asks for, all will read. A pretended step changes nothing."""
        settings, state = self.plan.settings, self.state
        if not self.model.training:  # to tell every module takes a millisecond
            self.model.train()
        nll = self._gradient(batch, step)
        counts = (batch.batch.scored, batch.batch.tokens, stop, save)
        sums = torch.stack([nll, *(torch.full_like(nll, count) for count in counts)])
        gradients = state.mover.gradients()
        self.team.add_up([sums, *gradients])
        size = _size(gradients)
        targets = sums[1].clamp(min=1)
        norm = size / (targets * state.scale.factor)
        bad = (~(torch.isfinite(size) & torch.isfinite(sums[0]))).float()
        excess = (norm / settings.clip).clamp(min=1) if settings.clip else 1.0
        share = self.plan.rate(step)
        masked = torch.ones_like(bad) if pretend else bad
        state.mover.step(share, targets * state.scale.factor * excess, masked)
        state.masters.forget_gradients()
        if not pretend:
            state.scale.follow(bad)
            state.masters.publish()
            state.average.follow(step, self.plan.steps)
        numbers = torch.cat([sums, torch.stack([norm, bad])])
        return Reading(step + 1, share * settings.learning_rate, numbers, state.scale.needed, self.plan.unit)

    def _gradient(self, batch: Cut, step: int) -> Tensor:
        while True:
            try:
                with self._attention(batch):
                    return self._accumulate(batch, step)
            except RuntimeError as error:
                if self.micro_batch == 1 or not hardware.is_out_of_memory(error):
                    raise
            self.state.masters.forget_gradients()
            self.micro_batch = -(-self.micro_batch // 2)
            hardware.give_back_memory(self.plan.device)
            console.warn(f"out of memory: micro-batches of {self.micro_batch} rows from here on, the same update")

    def _attention(self, batch: Cut) -> attention_kernels.Chosen:
        if batch.batch.documents is not None:
            return contextlib.nullcontext()
        return attention_kernels.for_blocks(self.plan.device, self.model, self.plan.settings.deterministic)

    def _accumulate(self, batch: Cut, step: int) -> Tensor:
        plan = self.plan
        if batch.rows > self.micro_batch:  # memory has ended since it was cut
            batch = self.cut(batch.batch)
        total = torch.zeros((), dtype=torch.float32, device=plan.device)
        for index, part in enumerate(batch.parts):
            seed_torch(plan.settings.seed, step, f"dropout/{self.team.rank}/{index}")
            with torch.autocast(plan.device.type, torch.float16, enabled=plan.precision == "fp16"):
                loss = self.loss(part.to(plan.device))
            (loss * self.state.scale.factor if self.state.scale.needed else loss).backward()
            self.state.masters.take_over_vectors()
            total += loss.detach()
        return total


def _size(gradients: list[Tensor]) -> Tensor:
    """The norm of all together. But on a GPU row by row: a CPU adds up the squares of a whole tensor in one number, and
    forty million of them in fp32 are wrong in the third digit."""
    if is_gpu(gradients[0].device):
        return torch.nn.utils.get_total_norm(gradients)
    return torch.linalg.vector_norm(torch.cat([_by_row(gradient) for gradient in gradients]))


def _by_row(gradient: Tensor) -> Tensor:
    return gradient if gradient.dim() == 1 else torch.linalg.vector_norm(gradient, dim=-1).flatten()
