"""One training from a job to a finished run folder. A verb on its own is a study of one such run."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from gpt2lab.core import console, hardware, lock, own_memory
from gpt2lab.core.errors import Failed, Interrupted, UserError
from gpt2lab.model.config import flops_per_token
from gpt2lab.model.quantised import packed_weights
from gpt2lab.study import announce, measured, probing, run_folder, trackers
from gpt2lab.study.job import Job
from gpt2lab.study.run_folder import Intent
from gpt2lab.study.settings import AnySettings
from gpt2lab.text import inspection
from gpt2lab.text.batches import Mixture, are_blocks
from gpt2lab.train import groups, loop, memory, processes, randomness, signals, trial
from gpt2lab.train.plan import Plan, batch_rows, limits
from gpt2lab.train.processes import Team

WORTH_VERIFYING = 3600  # seconds of training


def carry_out(
    settings: AnySettings,
    out: Path,
    job: Job,
    intent: Intent,
    *,
    dry_run: bool = False,
    sinks: Sequence[loop.Sink] = (),
) -> dict[str, Any]:
    """Train; the run folder holds everything when this returns."""
    with _team(settings) as (team, device), _says_how_to_go_on(settings, out, team), _alone_in(out, team, dry_run):
        before = None if dry_run else run_folder.begun(out, settings, job.corpus, intent, job.lineage)
        model = job.make()
        model.transformer.recompute_activations = settings.train.recompute
        arranged = _arranged(settings, job)
        groups.freeze(model, arranged.train)
        model.to(device)
        plan = _plan(arranged, job, model, device, team)
        with console.announcement("training"):
            plan, facts = (
                _as_decided(plan, before, job, model, out, team, intent)
                if before
                else _decide(plan, job, model, out, team)
            )
        if dry_run:
            return facts
        if team.leads:
            run_folder.write(out, settings, job.corpus, run_folder.decided(plan, team), before, job.lineage)
        with trackers.opened(settings, out, team) as opened:
            probes = job.task.probes(team)
            outcome = loop.train(
                model,
                job.task.objective,
                job.task.rows,
                plan,
                out,
                probes,
                team,
                [*opened, *sinks],
                prolonged=intent.extend,
            )
        if not outcome.finished:
            _stop(settings, outcome, out, team)
        return _finish(out, model, job, outcome) if team.leads else {}


def _arranged(settings: AnySettings, job: Job) -> AnySettings:
    """With the method's groups of parameters, and compiled where that helps; this follows from the settings and is not
    stored as such."""
    changes: dict[str, Any] = {} if job.groups is None else {"groups": job.groups}
    if settings.train.compile and not are_blocks(job.task.rows):
        console.warn(
            "train.compile is left out: it is for blocks, and rows of other lengths would be compiled each anew"
        )
        changes["compile"] = False
    return settings.model_copy(update={"train": settings.train.model_copy(update=changes)})


@contextlib.contextmanager
def _team(settings: AnySettings) -> Iterator[tuple[Team, torch.device]]:
    device = processes.own_device(hardware.choose_device(settings.device))
    processes.die_with_launcher()
    own_memory.forget_peak(device)
    own_memory.keep_pages()
    randomness.be_deterministic(device.type == "cpu" or settings.train.deterministic)
    team = processes.join(device)
    if not team.leads:
        console.configure("quiet")
    try:
        yield team, device
    finally:
        processes.leave()
        randomness.be_deterministic(False)


@contextlib.contextmanager
def _says_how_to_go_on(settings: AnySettings, out: Path, team: Team) -> Iterator[None]:
    """Before the first step and after the last, when the loop does not listen for Ctrl-C and SIGTERM."""
    try:
        with signals.terminated_like_ctrl_c():
            yield
    except KeyboardInterrupt:
        if not run_folder.is_unfinished(out):
            raise  # nothing was written: the same command begins
        raise Interrupted(
            "interrupted; everything up to the last checkpoint is saved", _again(settings, out, team)
        ) from None


@contextlib.contextmanager
def _alone_in(out: Path, team: Team, dry_run: bool) -> Iterator[None]:
    """Two trainings cannot write one run; all processes of one are one training."""
    if dry_run or not team.leads:
        yield
        return
    try:
        with lock.locked(out / ".lock"):
            yield
    finally:
        with contextlib.suppress(OSError):
            out.rmdir()  # of what was refused nothing is left


def _plan(settings: AnySettings, job: Job, model: nn.Module, device: torch.device, team: Team) -> Plan:
    train, rows, block = settings.train, job.task.rows, job.block
    every = (train.validate_every, train.checkpoint_every, settings.sample.every, settings.probe.every)
    if isinstance(rows, Mixture) and (train.epochs or "epoch" in every):
        raise UserError(
            "a mixture has no epochs: its sources come round at different times",
            place="train",
            way_out="give train.tokens or train.steps, and numbers of steps",
        )
    probing.refuse_blind_watch(settings, job.task.unit)
    precision = hardware.choose_precision(train.precision, device)
    count = batch_rows(train, block)
    ends = limits(train, rows.rows, count, block)
    steps = min(ends.values()) if ends else 1
    epoch_ends = round(train.epochs * rows.rows) if train.epochs and ends["epochs"] == steps else None
    trainable = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
    own = -(-count // team.size)  # rows of a step that one process has at most
    fits = memory.micro_batch(job.config, trainable, block, own, train, precision, device, packed_weights(model))
    micro_batch = fits if train.micro_batch == "auto" else min(train.micro_batch, own)
    work = (
        flops_per_token(job.config, block)
        if job.task.unit == "tokens" and all(p.requires_grad for p in model.parameters())
        else 0
    )
    peak = (hardware.peak_flops(device, precision) or hardware.matmul_rate(device, precision)) if work else None
    return Plan(
        train,
        device,
        precision,
        rows.rows,
        count,
        micro_batch,
        steps,
        epoch_ends,
        block=block,
        unit=job.task.unit,
        flops_a_token=work,
        peak_flops=peak,
    )


def _decide(plan: Plan, job: Job, model: nn.Module, out: Path, team: Team) -> tuple[Plan, dict[str, Any]]:
    """What `auto` and time limits leave open is decided once. What cannot fit is refused before it is tried."""
    is_open, wanted = announce.has_open_end(plan.settings), plan.steps
    facts = announce.announce(model, plan, job, team, is_open=is_open)
    packed = facts["in_four_bits"]
    facts |= announce.check_room(job.config, sum(facts["trainable"].values()), plan, job.block, out, packed)
    tried = trial.try_out(model, job.task.objective, job.task.rows, plan)
    plan = _same_for_all(_with_time_limit(replace(plan, micro_batch=tried.micro_batch), tried, team), team)
    if is_open or plan.steps != wanted:
        facts |= announce.amount(plan, job)
    facts |= announce.say_trial(tried, job, plan, team)
    if facts["expected_seconds"] > WORTH_VERIFYING and team.leads:
        inspection.verify(job.corpus)
    return plan, facts


def _as_decided(
    plan: Plan, before: dict[str, Any], job: Job, model: nn.Module, out: Path, team: Team, intent: Intent
) -> tuple[Plan, dict[str, Any]]:
    """A run that goes on takes what was decided when it began; prolonged, it has another end."""
    there, train = before["decided"], plan.settings
    plan = replace(plan, partial=tuple(map(tuple, there["partial"])))
    if train.micro_batch == "auto" or not intent.allow_different:
        plan = replace(plan, micro_batch=there["micro_batch"])
    if train.precision == "auto":
        plan = replace(plan, precision=there["precision"])
    plan = (
        _prolonged(plan, before, job, model, team)
        if intent.extend
        else replace(plan, steps=there["steps"], last_row=there["last_row"])
    )
    run_folder.refuse_other_circumstances(there, run_folder.decided(plan, team), out, intent)
    return plan, announce.announce(model, plan, job, team)


def _prolonged(plan: Plan, before: dict[str, Any], job: Job, model: nn.Module, team: Team) -> Plan:
    """The rest of a batch that the earlier end cut short is not lost: the next step begins with it."""
    there, train = before["decided"], plan.settings
    done = before.get("steps", 0)
    if train.minutes:
        plan = _with_time_limit(plan, trial.try_out(model, job.task.objective, job.task.rows, plan), team)
    if there["last_row"] is not None and done == there["steps"]:
        missing = plan.first_row(done) - there["last_row"]
        plan = replace(plan, partial=(*plan.partial, (done - 1, missing))) if missing else plan
    if plan.last_row is not None:
        lost = sum(rows for _, rows in plan.partial)
        plan = replace(plan, steps=-(-(plan.last_row + lost) // plan.batch_rows))
    plan = _same_for_all(plan, team)
    if plan.steps <= done:
        raise UserError(
            f"{done:,} steps are done, and the new end would be after {plan.steps:,}",
            place="--extend",
            way_out="give a later end: more train.steps, train.tokens, train.epochs or train.minutes",
        )
    return plan


def _with_time_limit(plan: Plan, tried: trial.Trial, team: Team) -> Plan:
    minutes = plan.settings.minutes
    if not minutes:
        return plan
    steps = max(1, int(minutes * 60 * team.size / tried.seconds_a_step))
    known = limits(plan.settings, plan.rows, plan.batch_rows, 1)
    if known and plan.steps <= steps:
        return plan
    return replace(plan, steps=steps, last_row=None)


def _same_for_all(plan: Plan, team: Team) -> Plan:
    """The first process decides."""
    numbers = torch.tensor([plan.steps, plan.micro_batch, plan.last_row or 0], device=plan.device)
    team.take_from_first([numbers])
    steps, micro_batch, last_row = numbers.tolist()
    return replace(plan, steps=steps, micro_batch=micro_batch, last_row=last_row or None)


def _stop(settings: AnySettings, outcome: loop.Outcome, out: Path, team: Team) -> None:
    command = _again(settings, out, team)
    if not outcome.saved:
        raise Failed(f"stopped after step {outcome.step:,}; its checkpoint could not be written", way_out=command)
    raise Interrupted(f"stopped after step {outcome.step:,}, saved", command)


def _again(settings: AnySettings, out: Path, team: Team) -> str:
    return run_folder.resume_command(settings.kind, out, team.size if processes.by_our_launcher() else 1)


def _finish(out: Path, model: nn.Module, job: Job, outcome: loop.Outcome) -> dict[str, Any]:
    if outcome.early:
        console.say(f"stopped early after step {outcome.step:,}: nothing better came for a while")
    if outcome.weights == "best":
        console.say(f"the model is the one of step {outcome.best_step:,}, the best on validation")
    if outcome.weights == "average":
        console.say("the model is the mean of the last weights")
    facts = measured.facts(out, model, job.config.vocabulary, job.task.unit)
    _keep_former_model(out)
    job.write(out / "model", model)
    if "validation" in job.corpus.splits:
        job.task.measure(out, model)
    else:
        console.warn("the corpus has no validation split, so nothing was measured on text that training did not see")
    return run_folder.finish(
        out,
        {
            "steps": outcome.step,
            "best_step": outcome.best_step,
            **facts,
        },
    )


def _keep_former_model(out: Path) -> None:
    """Of a run that was prolonged, or whose last moment was interrupted."""
    if (out / "model").is_dir():
        count = len(list(out.glob("model-before-*")))
        (out / "model").rename(out / f"model-before-{count + 1}")
