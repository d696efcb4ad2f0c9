"""One training from settings to a finished run folder. A verb on its own is a study of one such run."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from gpt2lab.core import console, hardware, lines, lock
from gpt2lab.core.errors import Failed, Interrupted, UserError
from gpt2lab.measure import perplexity, records
from gpt2lab.model.config import GPT2Config, flops_per_token
from gpt2lab.model.gpt2 import GPT2, build, initialise
from gpt2lab.model.reading import weight_hash
from gpt2lab.model.writing import write_model
from gpt2lab.study import announce, run_folder, trackers
from gpt2lab.study.run_folder import Intent
from gpt2lab.study.sampling import Sample
from gpt2lab.study.settings import RunSettings
from gpt2lab.text import inspection
from gpt2lab.text.batches import Blocks, Mixture, Rows
from gpt2lab.text.corpus import Corpus, open_corpus
from gpt2lab.train import groups, loop, memory, processes, randomness, trial
from gpt2lab.train.objectives import language_modelling
from gpt2lab.train.plan import Plan, batch_rows, limits
from gpt2lab.train.processes import Team
from gpt2lab.train.validation import Validate

WORTH_VERIFYING = 3600  # seconds of training


def pretrain(settings: RunSettings, out: Path, intent: Intent, *, dry_run: bool = False) -> dict[str, Any]:
    """Train from random weights; the run folder holds everything when this returns."""
    if (found := run_folder.finished(out, settings, intent)) is not None:
        console.say(f"{out}: already finished with these settings")
        return found
    corpus = open_corpus(Path(settings.data))
    tokenizer = corpus.tokenizer()
    config = settings.model.config(tokenizer.size, tokenizer.end_of_text)
    block = settings.train.block or config.context
    if block > config.context:
        raise UserError(f"train.block is {block} and the model's context only {config.context}")
    rows = _rows(corpus, block)
    if rows.rows == 0:
        raise UserError("the corpus holds no text to train on", place=corpus.folder, way_out="prepare more text")
    with _team(settings) as (team, device), _alone_in(out, team, dry_run):
        before = None if dry_run else run_folder.begun(out, settings, corpus, intent)
        model = build(GPT2, config, settings.model.vocabulary_multiple)
        initialise(model, settings.train.seed)
        model.transformer.recompute_activations = settings.train.recompute
        groups.freeze(model, settings.train)
        model.to(device)
        plan = _plan(settings, config, model, rows, block, device)
        plan, facts = _decide(plan, config, model, rows, corpus, block, before, out, team, intent)
        if dry_run:
            return facts
        if team.leads:
            run_folder.write(out, settings, corpus, run_folder.decided(plan, team), before)
        probes = _probes(settings, corpus, block, team)
        with trackers.opened(settings, out, team) as sinks:
            outcome = loop.train(model, language_modelling, rows, plan, out, probes, team, sinks)
        if not outcome.finished:
            _stop(outcome, out, team)
        return _finish(out, model, corpus, block, outcome) if team.leads else {}


@contextlib.contextmanager
def _team(settings: RunSettings) -> Iterator[tuple[Team, torch.device]]:
    device = processes.own_device(hardware.choose_device(settings.device))
    hardware.keep_pages()
    randomness.be_deterministic(device.type == "cpu" or settings.train.deterministic)
    team = processes.join(device)
    if not team.leads:
        console.configure("quiet")
    try:
        yield team, device
    finally:
        processes.leave()


@contextlib.contextmanager
def _alone_in(out: Path, team: Team, dry_run: bool) -> Iterator[None]:
    """Two trainings cannot write one run; all processes of one are one training."""
    with contextlib.nullcontext() if dry_run or not team.leads else lock.locked(out / ".lock"):
        yield


def _rows(corpus: Corpus, block: int) -> Rows:
    """Blocks of the shuffled stream, or of several by weight."""
    parts = [Blocks(source.split("train"), block) for source in corpus.sources]
    return Mixture(parts, corpus.weights) if corpus.weights else parts[0]


def _plan(settings: RunSettings, config: GPT2Config, model: GPT2, rows: Rows, block: int, device: torch.device) -> Plan:
    train = settings.train
    if isinstance(rows, Mixture) and (train.epochs or "epoch" in (train.validate_every, train.checkpoint_every)):
        raise UserError(
            "a mixture has no epochs: its sources come round at different times",
            place="train",
            way_out="give train.tokens or train.steps, and numbers of steps",
        )
    precision = hardware.choose_precision(train.precision, device)
    count = batch_rows(train, block)
    ends = limits(train, rows.rows, count, block)
    steps = min(ends.values()) if ends else 1
    epoch_ends = round(train.epochs * rows.rows) if train.epochs and ends["epochs"] == steps else None
    trainable = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
    fits = memory.micro_batch(config, trainable, block, count, train, precision, device)
    micro_batch = fits if train.micro_batch == "auto" else min(train.micro_batch, count)
    work = flops_per_token(config, block)
    peak = hardware.peak_flops(device) or hardware.matmul_rate(device, precision)
    return Plan(train, device, precision, rows.rows, count, micro_batch, steps, epoch_ends, work, peak)


def _decide(
    plan: Plan,
    config: GPT2Config,
    model: GPT2,
    rows: Rows,
    corpus: Corpus,
    block: int,
    before: dict[str, Any] | None,
    out: Path,
    team: Team,
    intent: Intent,
) -> tuple[Plan, dict[str, Any]]:
    """What `auto` and time limits leave open is decided once; a run that goes on takes what was decided then."""
    if before:
        there = before["decided"]
        if not intent.extend:
            plan = replace(plan, steps=there["steps"], last_row=there["last_row"])
        if plan.settings.micro_batch == "auto":
            plan = replace(plan, micro_batch=there["micro_batch"])
        run_folder.refuse_other_circumstances(before["decided"], run_folder.decided(plan, team), out, intent)
        return plan, announce.announce(config, model, plan, block, team)
    tried = trial.try_out(model, language_modelling, rows, plan)
    plan = _same_for_all(_with_time_limit(replace(plan, micro_batch=tried.micro_batch), tried, team), team)
    facts = announce.announce(config, model, plan, block, team)
    trainable = sum(facts["trainable"].values())
    facts |= announce.check_room(config, trainable, plan, block, out)
    facts |= announce.say_trial(tried, config, plan, block, team)
    if facts["expected_seconds"] > WORTH_VERIFYING and team.leads:
        inspection.verify(corpus)
    return plan, facts


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


def _probes(settings: RunSettings, corpus: Corpus, block: int, team: Team) -> list[loop.Probe]:
    train = settings.train
    sampling = settings.sample
    sample = Sample(corpus.tokenizer(), sampling.prompts, sampling, sampling.every) if sampling.prompts else None
    held_out = [Blocks(source.split("validation"), block) for source in corpus.sources if "validation" in source.splits]
    looks = [Validate(held_out, train.validate_every, train.validate_tokens, team)] if held_out else []
    return [*looks, *([sample] if sample else [])]


def _stop(outcome: loop.Outcome, out: Path, team: Team) -> None:
    command = run_folder.resume_command(out, team.size)
    if not outcome.saved:
        raise Failed(f"stopped after step {outcome.step:,}; its checkpoint could not be written", way_out=command)
    raise Interrupted(f"stopped after step {outcome.step:,}, saved", command)


def _finish(out: Path, model: GPT2, corpus: Corpus, block: int, outcome: loop.Outcome) -> dict[str, Any]:
    if outcome.early:
        console.say(f"stopped early after step {outcome.step:,}: nothing better came for a while")
    if outcome.best_step and outcome.best_step != outcome.step:
        console.say(f"the model is the one of step {outcome.best_step:,}, the best on validation")
    _keep_former_model(out)
    write_model(out / "model", model, corpus.tokenizer())
    if "validation" in corpus.splits:
        for source in corpus.sources:
            if "validation" in source.splits:
                _measure(out, model, source, block)
    else:
        console.warn("the corpus has no validation split, so nothing was measured on text that training did not see")
    return run_folder.finish(
        out,
        {
            "steps": outcome.step,
            "best_step": outcome.best_step,
            "training_seconds": sum(line["seconds"] for line in lines.read(out / "timings.jsonl")),
            "peak_memory": hardware.peak_memory(next(model.parameters()).device),
        },
    )


def _keep_former_model(out: Path) -> None:
    """Of a run that was prolonged, or whose last moment was interrupted."""
    if (out / "model").is_dir():
        count = len(list(out.glob("model-before-*")))
        (out / "model").rename(out / f"model-before-{count + 1}")


def _measure(out: Path, model: GPT2, corpus: Corpus, block: int) -> None:
    record = perplexity.blocks(model, corpus.split("validation"), block)
    record["model"] = {"path": "model", "weights": weight_hash(out / "model")}
    record["data"] = {"path": str(corpus.folder), "hash": corpus.hash}
    records.write(out / "results", record)
    scored = record["counts"]["tokens_scored"]
    console.say(f"validation: perplexity {record['value']:.2f} ({record['protocol']}, {scored:,} tokens)")
