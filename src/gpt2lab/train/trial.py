"""A few pretended steps before a training: what fits into memory, and how long a step takes.

A pretended step computes everything, the optimizer's part included, and changes nothing.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
from torch import nn

from gpt2lab.text.batches import Rows
from gpt2lab.train.compiling import loss_function
from gpt2lab.train.objectives import Objective
from gpt2lab.train.plan import Plan
from gpt2lab.train.processes import ALONE
from gpt2lab.train.state import State
from gpt2lab.train.step import Stepper

TIMED_STEPS = 3
ENOUGH_SECONDS = 10.0


@dataclass(frozen=True)
class Trial:
    micro_batch: int
    seconds_a_step: float
    first_loss: float


def try_out(model: nn.Module, objective: Objective, rows: Rows, plan: Plan) -> Trial:
    """With one micro-batch a step, and as many as a real step has by calculation."""
    state = State(model, plan)
    stepper = Stepper(model, loss_function(objective, model, plan.settings.compile), plan, state, ALONE)
    batch = rows.batch(plan.rows_of(rows, 0)[: plan.micro_batch])
    # Memory is met for the first time, kernels are compiled.
    first_loss = stepper.update(stepper.cut(batch), 0, pretend=True).values()["loss"]
    batch = batch.part(np.arange(min(stepper.micro_batch, len(batch.ids))))
    begin, count = time.perf_counter(), 0
    while count < TIMED_STEPS and time.perf_counter() - begin < ENOUGH_SECONDS:
        stepper.update(stepper.cut(batch), 0, pretend=True).values()
        count += 1
    seconds = (time.perf_counter() - begin) / count
    state.masters.restore()
    micro_batches = plan.batch_rows / len(batch.ids)
    return Trial(stepper.micro_batch, seconds * micro_batches, first_loss)
