"""The one training loop. Methods decide which parameters exist and move, objectives turn a batch into a loss."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, Protocol

import torch
from torch import nn

from gpt2lab.core import console, own_memory
from gpt2lab.core.errors import Failed
from gpt2lab.text.batches import Rows, rows_of_process
from gpt2lab.train import checkpoint
from gpt2lab.train.compiling import loss_function
from gpt2lab.train.feed import Cut, ahead, is_gpu
from gpt2lab.train.journal import Journal
from gpt2lab.train.objectives import Objective
from gpt2lab.train.plan import Plan
from gpt2lab.train.processes import ALONE, Team
from gpt2lab.train.saver import Saver
from gpt2lab.train.settings import Every
from gpt2lab.train.signals import Stop, stop_signals
from gpt2lab.train.state import State
from gpt2lab.train.step import Reading, Stepper
from gpt2lab.train.watch import Watch, watching

SECONDS_BETWEEN_CHECKPOINTS = 600
BAD_IN_A_ROW = 10
OVERFLOWS_IN_A_ROW = 40  # more halvings of the loss scale than there are exponents

Weights = Literal["last", "best", "average"]
Sink = Callable[[dict[str, Any]], None]


class Diverged(Failed):
    """Step after step was not finite."""


class Probe(Protocol):
    """Something that looks at the model every so many steps and says what it saw."""

    @property
    def every(self) -> Every: ...

    def __call__(self, model: Any, step: int) -> dict[str, Any]: ...


@dataclass(frozen=True)
class Outcome:
    step: int
    finished: bool
    saved: bool
    best_step: int | None
    early: bool
    weights: Weights = "last"  # which of them the model holds


def train(
    model: nn.Module,
    objective: Objective,
    rows: Rows,
    plan: Plan,
    folder: Path,
    probes: Sequence[Probe] = (),
    team: Team = ALONE,
    sinks: Sequence[Sink] = (),
    *,
    prolonged: bool = False,
) -> Outcome:
    """From the newest checkpoint in `folder`, or from the start, to the end or an interruption.

    Afterwards the model holds the weights of the best step, or the last ones where nothing was watched.
    """
    state = State(model, plan)
    found = load(folder / "checkpoints", state, team)
    loop = _Loop(model, objective, rows, plan, folder, probes, team, sinks, state, found)
    if prolonged:
        loop.watch.looks_since = 0
    try:
        with stop_signals() as stop:
            loop.run(stop)
            return loop.finish()
    finally:
        loop.close()


def load(folder: Path, state: State, team: Team = ALONE) -> checkpoint.Checkpoint | None:
    """The newest checkpoint that is whole, put into `state`; the first process sets damaged ones aside."""
    found = checkpoint.newest(folder) if team.leads else None
    team.wait()
    if not team.leads:
        found = checkpoint.newest(folder)
    _refuse_different_starts(found, state, team)
    if found:
        state.load_weights(found.weights())
        state.load_others(found.others())
    else:
        team.take_from_first(list(state.weights().values()))
        state.masters.publish()
    return found


def _refuse_different_starts(found: checkpoint.Checkpoint | None, state: State, team: Team) -> None:
    """Processes that begin from different steps would train different models."""
    own = torch.tensor([found.step if found else 0], device=next(iter(state.weights().values())).device)
    first = own.clone()
    team.take_from_first([first])
    if int(first) != int(own):
        raise Failed(
            f"this process found the checkpoint of step {int(own):,}, and the first one that of step {int(first):,}",
            way_out="all machines must see the same run folder",
        )


class _Loop:
    def __init__(
        self,
        model: nn.Module,
        objective: Objective,
        rows: Rows,
        plan: Plan,
        folder: Path,
        probes: Sequence[Probe],
        team: Team,
        sinks: Sequence[Sink],
        state: State,
        found: checkpoint.Checkpoint | None,
    ) -> None:
        self.model, self.rows, self.plan, self.probes, self.team, self.sinks = model, rows, plan, probes, team, sinks
        self.state = state
        self.folder = folder / "checkpoints"
        self.step = found.step if found else 0
        self.watch: Watch = watching(plan.settings, found.about["watch"] if found else None)
        self.journal = Journal(folder, found.about["sizes"] if found else None) if team.leads else None
        if found:
            plan = replace(plan, micro_batch=min(plan.micro_batch, found.about["micro_batch"]))
        self.stepper = Stepper(model, loss_function(objective, model, plan.settings.compile), plan, state, team)
        self.saver = Saver(self.folder, plan.settings.keep)
        self.saver.last_good = found.step if found else None
        self.bad_in_a_row = found.about["bad_in_a_row"] if found else 0
        self.saved_at = time.monotonic()
        self.stopping = self.asked_to_save = False
        self.mark = time.perf_counter()

    def run(self, stop: Stop) -> None:
        plan, lag = self.plan, is_gpu(self.plan.device)
        if self.step and self.team.leads:
            console.say(f"continuing after step {self.step:,}")
        if self.watch.has_lost_patience:
            return
        unread: Reading | None = None
        with console.progress("train", plan.steps, "steps", done=self.step) as bar:
            batches = ahead(self._batch, self.step, plan.steps)
            self.mark = time.perf_counter()
            for step, batch in enumerate(batches, self.step + 1):
                reading = self.stepper.update(batch, step - 1, stop=stop.asked, save=self._is_overdue())
                if unread is not None:
                    self._note(unread, bar)
                self.step, unread = step, None
                looks = [probe for probe in self.probes if plan.is_due(probe.every, step)]
                if lag and not (looks or self._is_save_due() or self.stopping):
                    unread = reading  # on a GPU, reading it now would wait for the step
                    continue
                better = self._note(reading, bar, looks)
                self.stopping = self.stopping or (stop.asked and self.team.size == 1)
                if better or self.stopping or self._is_save_due():
                    self._save()
                    self.mark = time.perf_counter()
                if self.stopping or self.watch.has_lost_patience:
                    break

    def finish(self) -> Outcome:
        """The best weights are put back into the model, in full precision."""
        finished = self.step >= self.plan.steps or self.watch.has_lost_patience
        self._save()
        self.saver.finish()
        self.team.wait()
        best = self.watch.best_step
        weights: Weights = "last"
        if finished and self.state.average.means:
            self.state.load_weights(self.state.average.means)
            weights = "average"
        elif finished and best is not None and best != self.step:
            weights = self._return_to(best)
        self.state.masters.restore()
        saved = self.saver.last_good == self.step or not self.team.leads
        return Outcome(self.step, finished, saved, best, self.step < self.plan.steps, weights)

    def _return_to(self, best: int) -> Weights:
        path = checkpoint.folder_of(self.folder, best)
        if path.is_dir():
            self.state.load_weights(checkpoint.opened(path).weights())
            return "best"
        console.warn(f"the best step, {best:,}, could not be saved; the model is the last one")
        return "last"

    def close(self) -> None:
        if self.journal:
            self.journal.close()

    def _batch(self, step: int) -> Cut:
        rows = rows_of_process(self.plan.rows_of(self.rows, step), self.team.rank, self.team.size)
        return self.stepper.cut(self.rows.batch(rows))

    def _note(self, reading: Reading, bar: console.Progress, looks: Sequence[Probe] = ()) -> bool:
        """Read what a step says of itself, let the probes look, write it all down; whether it is the best so far."""
        record = reading.values()
        spent = time.perf_counter() - self.mark
        if reading.skipped:
            record["overflowed" if reading.overflowed else "skipped"] = True
        self.bad_in_a_row = self.bad_in_a_row + 1 if reading.skipped else 0
        if looks:
            self.model.eval()
        for probe in looks:
            record |= probe(self.model, reading.step)
        self.stopping = self.stopping or reading.stop
        self.asked_to_save = self.asked_to_save or reading.save
        self._write(record, spent, bar)
        if self.bad_in_a_row >= (OVERFLOWS_IN_A_ROW if reading.overflowed else BAD_IN_A_ROW):
            self._give_up()
        self.mark = time.perf_counter()
        return self.watch.look(record, reading.step)

    def _write(self, record: dict[str, Any], spent: float, bar: console.Progress) -> None:
        if not self.journal:
            return
        record = self.journal.write(record)
        self.journal.timings.write({"step": record["step"], "seconds": spent})
        bar.advance(1, self._line(record, spent))
        if record.get("skipped"):
            console.warn(
                f"step {record['step']:,}: the loss or a gradient is not finite; the weights stay as they were"
            )
        for sink in self.sinks:
            sink({**record, "seconds": spent})

    def _line(self, record: dict[str, Any], spent: float) -> str:
        loss = "not finite" if record["loss"] is None else f"{record['loss']:.3f}"
        parts = [f"loss {loss}", f"rate {record['rate']:.2g}", f"norm {record['gradient_norm'] or 0:.2f}"]
        rate = record[self.plan.unit] / spent
        parts.append(f"{rate:,.0f} {self.plan.unit}/s")
        share = self.plan.utilisation(rate / self.team.size)
        if share is not None:
            parts.append(f"{share:.0%} of peak")
        return ", ".join([*parts, console.size(own_memory.peak(self.plan.device))])

    def _give_up(self) -> None:
        self.saver.finish()
        good = self.saver.last_good
        raise Diverged(
            f"{self.bad_in_a_row} steps in a row were not finite, so training stops",
            place=f"step {self.step:,}",
            way_out="a new run with a lower train.learning_rate or a longer train.warmup"
            + (f"; the checkpoint of step {good:,} of this one is good" if good else ""),
        )

    def _is_overdue(self) -> bool:
        """By the first process's clock, which all then read: two clocks would part the processes."""
        timed = self.plan.settings.checkpoint_every == "auto" and self.team.leads
        return timed and time.monotonic() - self.saved_at > SECONDS_BETWEEN_CHECKPOINTS

    def _is_save_due(self) -> bool:
        every = self.plan.settings.checkpoint_every
        return self.asked_to_save or self.plan.is_due(0 if every == "auto" else every, self.step)

    def _save(self) -> None:
        self.saved_at, self.asked_to_save = time.monotonic(), False
        if not self.journal:
            return
        watch, bad = self.watch.state(), self.bad_in_a_row
        about = {
            "sizes": self.journal.sizes(),
            "watch": watch,
            "bad_in_a_row": bad,
            "micro_batch": self.stepper.micro_batch,
        }
        self.saver.save(self.step, self.state.weights(), self.state.others(), about)
