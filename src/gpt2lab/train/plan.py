"""A training with everything decided that settings left open. It is stored once, as numbers."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from gpt2lab.core.errors import UserError
from gpt2lab.text.batches import Rows, rows_from
from gpt2lab.train import schedule
from gpt2lab.train.settings import Every, TrainSettings

Unit = Literal["tokens", "texts"]
DEFAULT_BATCH_TOKENS = 8192


@dataclass(frozen=True)
class Plan:
    settings: TrainSettings
    device: torch.device
    precision: Literal["fp32", "bf16", "fp16"]
    rows: int  # in the data
    batch_rows: int
    micro_batch: int
    steps: int
    last_row: int | None = None  # rows in all, where epochs end the run within a batch
    partial: tuple[tuple[int, int], ...] = ()  # (step, rows) of batches that an earlier end left short by so many rows
    block: int = 1
    unit: Unit = "tokens"  # what has a target
    flops_a_token: int = 0
    peak_flops: float | None = None  # known or measured, of this device

    def rate(self, step: int) -> float:
        return schedule.rate(step, self.steps, self.settings)

    def rows_of(self, rows: Rows, step: int) -> NDArray[np.int64]:
        """Of the step counted from 0."""
        first, after = self.first_row(step), self.first_row(step + 1)
        if self.last_row is not None:
            after = min(after, self.last_row)
        return rows_from(rows, first, max(first, after), self.settings.seed)

    def first_row(self, step: int) -> int:
        """How many rows were seen before this step."""
        return step * self.batch_rows - sum(missing for ended, missing in self.partial if step > ended)

    def utilisation(self, tokens_a_second: float) -> float | None:
        """The share of the device's matrix products that the model's own arithmetic takes."""
        return self.flops_a_token * tokens_a_second / self.peak_flops if self.peak_flops else None

    def is_due(self, every: Every, step: int) -> bool:
        """Of the step counted from 1; the last one is always due."""
        if step == self.steps:
            return True
        if every == "epoch":
            return epochs_done(step, self) > epochs_done(step - 1, self)
        return bool(every) and step % every == 0


def epochs_done(step: int, plan: Plan) -> int:
    return plan.first_row(step) // plan.rows


def batch_rows(settings: TrainSettings, block: int) -> int:
    if settings.batch_rows and settings.batch_tokens:
        raise UserError("train.batch_rows and train.batch_tokens say the same thing", way_out="give one of the two")
    if settings.batch_rows:
        return settings.batch_rows
    tokens = settings.batch_tokens or DEFAULT_BATCH_TOKENS
    if tokens < block:
        raise UserError(f"train.batch_tokens ({tokens}) is less than one row of {block} tokens")
    return tokens // block


def limits(settings: TrainSettings, rows: int | None, rows_a_step: int, block: int) -> dict[str, int]:
    """Steps after which each of the given limits ends the run; minutes are left to whoever can measure."""
    found = {}
    if settings.steps:
        found["steps"] = settings.steps
    if settings.tokens:
        found["tokens"] = max(1, settings.tokens // (rows_a_step * block))
    if settings.epochs and rows is not None:
        found["epochs"] = max(1, math.ceil(round(settings.epochs * rows) / rows_a_step))
    if not (settings.steps or settings.tokens or settings.epochs or settings.minutes):
        raise UserError(
            "how long to train is not given", way_out="give train.steps, train.tokens, train.epochs or train.minutes"
        )
    return found
