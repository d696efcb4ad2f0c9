"""Before a training: everything that will happen, and what cannot work, said at once."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from torch import nn

from gpt2lab.core import console, hardware
from gpt2lab.core.console import counted
from gpt2lab.core.errors import UserError
from gpt2lab.model.config import GPT2Config, describe, parameter_count
from gpt2lab.model.quantised import packed_weights
from gpt2lab.study.job import Job
from gpt2lab.text.batches import Mixture
from gpt2lab.train import groups, memory
from gpt2lab.train.objectives import untrained_loss
from gpt2lab.train.plan import Plan
from gpt2lab.train.processes import Team
from gpt2lab.train.schedule import warmup_steps
from gpt2lab.train.settings import TrainSettings
from gpt2lab.train.trial import Trial

MANY_EPOCHS = 20
FAR_FROM_UNTRAINED = 0.5
BYTES_A_WEIGHT_SAVED = 12  # the weight and AdamW's two numbers


def announce(model: nn.Module, plan: Plan, job: Job, team: Team, *, is_open: bool = False) -> dict[str, Any]:
    """What will be trained, on what, for how long, unless its end `is_open`; the same as plain data."""
    train, config = plan.settings, job.config
    console.say(f"model: {describe(config)}")
    if is_open:
        console.say(f"training: as many steps as there is time for in {train.minutes:g} minutes")
        facts = {}
    else:
        facts = amount(plan, job)
    machines = f", {team.size} processes" if team.size > 1 else ""
    console.say(
        f"on {hardware.device_name(plan.device)}{machines}, {plan.precision}, micro-batches of {plan.micro_batch}"
    )
    console.say(f"resume: {_exactness(plan)}")
    parted = groups.split(model, train)
    table = [
        (group.name, group.count(config.vocabulary), f"{group.rate:g}", f"{group.weight_decay:g}") for group in parted
    ]
    every = groups.Group("", dict(model.named_parameters()), 0, 0).count(config.vocabulary)
    frozen = every - sum(row[1] for row in table)
    packed = packed_weights(model)
    if packed:
        table.append(("frozen, in 4 bits", packed, "", ""))
    if frozen > packed:
        table.append(("frozen", frozen - packed, "", ""))
    console.table("what will be trained", ("group", "parameters", "highest rate", "weight decay"), table)
    return {
        "parameters": every,
        "trainable": {group.name: group.count(config.vocabulary) for group in parted},
        "in_four_bits": packed,
        **facts,
        "rows_a_step": plan.batch_rows,
        "micro_batch": plan.micro_batch,
        "tokens_a_row": job.block,
        "device": hardware.device_name(plan.device),
        "precision": plan.precision,
    }


def has_open_end(train: TrainSettings) -> bool:
    """Whether the time alone ends it, so that someone must first see how long a step takes."""
    return bool(train.minutes) and not (train.steps or train.tokens or train.epochs)


def amount(plan: Plan, job: Job) -> dict[str, Any]:
    """For how long, and over what."""
    train, block, source = plan.settings, job.block, job.task.rows
    rows, warmup = plan.last_row or plan.steps * plan.batch_rows, warmup_steps(plan.steps, train)
    passes = source.passes(rows) if isinstance(source, Mixture) else [rows / plan.rows]
    often = ", ".join(f"{times:.2f}" for times in passes)
    epochs = f"its sources {often} times" if isinstance(source, Mixture) else f"{often} epochs"
    step = f"{counted(plan.batch_rows, 'row')} of {block:,} tokens = {rows * block:,} tokens"
    if plan.unit == "texts":
        step = f"{counted(plan.batch_rows, 'text')} of at most {block:,} tokens"
    warm = f"warm-up {counted(warmup, 'step')}, then " if warmup else ""
    console.say(f"training: {counted(plan.steps, 'step')} of {step} ({epochs}), {warm}{train.schedule}")
    if max(passes) > MANY_EPOCHS:
        which = "texts of one source" if isinstance(source, Mixture) else "every text"
        console.warn(f"{which} will be seen {max(passes):,.0f} times: the corpus is small for so many steps")
    return {
        "steps": plan.steps,
        "warmup_steps": warmup,
        "tokens": rows * block,
        "epochs": passes[0] if len(passes) == 1 else passes,
    }


def check_room(
    config: GPT2Config, trainable: int, plan: Plan, block: int, out: Path, packed: int = 0
) -> dict[str, int]:
    """Memory and disk by calculation; what cannot fit is refused before anything is written."""
    number = plan.precision
    tokens = plan.micro_batch * block
    memory_needed = memory.needed(config, trainable, tokens, plan.settings, number, plan.device.type, packed)
    disk_needed = disk(config, trainable, plan.settings)
    there = hardware.device_memory(plan.device)
    place = next(folder for folder in (out, *out.absolute().parents) if folder.exists())
    free = shutil.disk_usage(place).free
    console.say(
        f"expected memory {console.size(memory_needed)} of {console.size(there)}, "
        f"disk {console.size(disk_needed)} of {console.size(free)} free"
    )
    if memory_needed > there:
        raise UserError(
            f"this needs about {console.size(memory_needed)} of memory, and there are {console.size(there)}",
            place=hardware.device_name(plan.device),
            way_out="a smaller model.size, train.block or train.micro_batch, or train.recompute=true",
        )
    if disk_needed > free:
        raise UserError(
            f"checkpoints need about {console.size(disk_needed)}, and {console.size(free)} are free",
            place=place,
            way_out="free some space, or choose another --out",
        )
    return {"memory": memory_needed, "disk": disk_needed}


def disk(config: GPT2Config, trainable: int, train: TrainSettings) -> int:
    """Bytes of all checkpoints that are there at once, and of the finished model."""
    saved = BYTES_A_WEIGHT_SAVED + (4 if train.average else 0)
    return saved * trainable * (train.keep + 2) + 4 * parameter_count(config)


def say_trial(trial: Trial, job: Job, plan: Plan, team: Team) -> dict[str, Any]:
    """Time and utilisation from a few timed steps, and whether the untrained model is one."""
    seconds = trial.seconds_a_step / team.size
    rate = plan.batch_rows * (job.block if job.task.unit == "tokens" else 1) / seconds
    left = seconds * plan.steps
    share = plan.utilisation(rate / team.size)
    of_peak = f", {share:.0%} of what matrix products reach here" if share is not None else ""
    console.say(f"expected time: {console.duration(left)} ({rate:,.0f} {job.task.unit}/s{of_peak})")
    expected = untrained_loss(job.config.vocabulary)
    if job.untrained and abs(trial.first_loss - expected) > FAR_FROM_UNTRAINED:
        console.warn(
            f"the untrained model's loss is {trial.first_loss:.2f}, and ln(vocabulary) is {expected:.2f}: "
            "something is wrong with its start"
        )
    return {"expected_seconds": left, f"{job.task.unit}_per_second": rate, "untrained_loss": trial.first_loss}


def _exactness(plan: Plan) -> str:
    if plan.device.type == "cpu" or plan.settings.deterministic:
        return "bit for bit, on the same kind of machine"
    return "the same rows and draws, equal to rounding; train.deterministic=true makes it bit for bit, slower"
