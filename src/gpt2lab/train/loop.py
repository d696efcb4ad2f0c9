"""The one training loop. Methods decide which parameters exist and move, objectives turn a batch into a loss."""

from __future__ import annotations

import contextlib
import math
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from gpt2lab.core import console, lines
from gpt2lab.model.gpt2 import GPT2
from gpt2lab.text.batches import Batch, Rows, rows_of_step
from gpt2lab.train import checkpoint, optimizer, schedule
from gpt2lab.train.feed import ahead, to_device
from gpt2lab.train.randomness import seed_torch
from gpt2lab.train.settings import TrainSettings

Objective = Callable[[GPT2, Tensor, Tensor], Tensor]


class Probe(Protocol):
    """Something that looks at the model every so many steps and says what it saw."""

    every: int

    def __call__(self, model: GPT2, step: int) -> dict[str, Any]: ...


@dataclass(frozen=True)
class Plan:
    """Everything `auto` left open, decided."""

    settings: TrainSettings
    device: torch.device
    precision: str
    batch_rows: int
    micro_batch: int

    @property
    def dtype(self) -> torch.dtype:
        return {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[self.precision]


@dataclass(frozen=True)
class Outcome:
    step: int
    finished: bool
    seconds: float


def train(
    model: GPT2, objective: Objective, rows: Rows, plan: Plan, folder: Path, probes: Sequence[Probe] = ()
) -> Outcome:
    """From the newest checkpoint in `folder`, or from the start, to the last step or an interruption."""
    settings = plan.settings
    mover = optimizer.adamw(optimizer.groups(model, settings), settings, plan.device)
    state = checkpoint.load_latest(folder / "checkpoints", model, mover)
    first = state["step"] if state else 0
    if first:
        console.say(f"continuing after step {first:,}")
    for name in ("metrics", "timings"):
        lines.cut(folder / f"{name}.jsonl", state["progress"][name] if state else 0)
    step, seconds = first, 0.0
    with _stop_signals() as stop, lines.appending(folder / "metrics.jsonl") as metrics:
        timings = lines.LineWriter(folder / "timings.jsonl")

        def save() -> None:
            metrics.flush()
            timings.flush()
            progress = {"metrics": metrics.position(), "timings": timings.position()}
            checkpoint.save(folder / "checkpoints", step, model, mover, progress)

        with console.progress("train", settings.steps, "steps", done=first) as progress:
            batches = ahead(lambda number: _batch(rows, plan, number), first, settings.steps)
            for step, batch in enumerate(batches, first + 1):
                start = time.perf_counter()
                taken = _step(model, objective, batch, plan, mover, step - 1)
                seconds += (spent := time.perf_counter() - start)
                record = {"step": step, **taken}
                for probe in probes:
                    if step == settings.steps or (probe.every and step % probe.every == 0):
                        record.update(probe(model, step))
                metrics.write({key: _finite(value) for key, value in record.items()})
                timings.write({"step": step, "seconds": spent})
                progress.advance(1, f"loss {taken['loss']:.3f}, {taken['tokens'] / spent:,.0f} tokens/s")
                if not math.isfinite(taken["loss"]):
                    raise FloatingPointError(f"the loss of step {step} is {taken['loss']}")
                due = settings.checkpoint_every and step % settings.checkpoint_every == 0
                if due or step == settings.steps or stop.asked:
                    save()
                if stop.asked:
                    break
        timings.close()
    return Outcome(step, step == settings.steps, seconds)


def _batch(rows: Rows, plan: Plan, step: int) -> Batch:
    return rows.batch(rows_of_step(rows.rows, plan.batch_rows, plan.settings.seed, step))


def _step(
    model: GPT2, objective: Objective, batch: Batch, plan: Plan, mover: torch.optim.Optimizer, step: int
) -> dict[str, Any]:
    """One update from the global batch: the gradient of ΣNLL / Σtargets, however it is cut into micro-batches."""
    settings = plan.settings
    rate = settings.learning_rate * schedule.rate(step, settings)
    for group in mover.param_groups:
        group["lr"] = rate
    model.train()
    mover.zero_grad(set_to_none=True)
    total = torch.zeros((), device=plan.device)
    for index, (ids, targets) in enumerate(_micro_batches(batch, plan)):
        seed_torch(settings.seed, step, f"dropout/{index}")
        with torch.autocast(plan.device.type, plan.dtype, enabled=plan.precision != "fp32"):
            loss = objective(model, ids, targets) / max(1, batch.scored)
        loss.backward()
        total += loss.detach()
    parameters = [parameter for group in mover.param_groups for parameter in group["params"]]
    norm = torch.nn.utils.clip_grad_norm_(parameters, settings.clip or math.inf)
    mover.step()
    return {"loss": total.item(), "rate": rate, "gradient_norm": norm.item(), "tokens": batch.scored}


def _micro_batches(batch: Batch, plan: Plan) -> Iterator[tuple[Tensor, Tensor]]:
    for start in range(0, len(batch.ids), plan.micro_batch):
        part = slice(start, start + plan.micro_batch)
        yield to_device(batch.ids[part], plan.device), to_device(batch.targets[part], plan.device)


class _Stop:
    asked = False


@contextlib.contextmanager
def _stop_signals() -> Iterator[_Stop]:
    """Ctrl-C and SIGTERM finish the step and save; a second one stops at once."""
    stop = _Stop()

    def ask(number: int, _frame: object) -> None:
        if stop.asked:
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)
        stop.asked = True
        console.say("stopping after this step; once more to stop at once")

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _finite(value: Any) -> Any:
    """JSON knows no NaN."""
    return None if isinstance(value, float) and not math.isfinite(value) else value
