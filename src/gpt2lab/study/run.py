"""One training from settings to a finished run folder. A verb on its own is a study of one such run."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from gpt2lab.core import console, environment, files, hardware, lines, lock
from gpt2lab.core import settings as strict
from gpt2lab.core.console import counted
from gpt2lab.core.errors import Interrupted, UserError
from gpt2lab.measure import perplexity, records
from gpt2lab.model.config import GPT2Config, describe, parameter_count
from gpt2lab.model.gpt2 import GPT2, build, initialise
from gpt2lab.model.reading import weight_hash
from gpt2lab.model.writing import write_model
from gpt2lab.study.settings import RunSettings, resumed
from gpt2lab.text.batches import Blocks
from gpt2lab.text.corpus import Corpus, open_corpus
from gpt2lab.train import loop, optimizer
from gpt2lab.train.objectives import language_modelling
from gpt2lab.train.validation import summed_loss

MANY_EPOCHS = 20


@dataclass
class Validate:
    """The probe that looks at held-out loss."""

    blocks: Blocks
    every: int

    def __call__(self, model: GPT2, step: int) -> dict[str, Any]:
        total, scored = summed_loss(model, self.blocks)
        return {"validation_loss": total / scored, "validation_tokens": scored}


def pretrain(settings: RunSettings, out: Path, *, resume: bool = False, dry_run: bool = False) -> dict[str, Any]:
    """Train from random weights; the run folder holds everything when this returns."""
    if (finished := _finished(out, settings)) is not None:
        console.say(f"{out}: already finished with these settings")
        return finished
    corpus = open_corpus(Path(settings.data))
    tokenizer = corpus.tokenizer()
    config = settings.model.config(tokenizer.size, tokenizer.end_of_text)
    plan = _plan(settings, config)
    rows = Blocks(corpus.split("train"), settings.train.block or config.context)
    if rows.rows == 0:
        raise UserError("the corpus holds no text to train on", place=corpus.folder, way_out="prepare more text")
    if dry_run:
        return _announce(config, plan, rows, build(GPT2, config))
    with lock.locked(out / ".lock"):
        _begin(out, settings, corpus, plan, resume)
        model = build(GPT2, config, settings.model.vocabulary_multiple)
        initialise(model, settings.train.seed)
        model.transformer.recompute_activations = settings.train.recompute
        _announce(config, plan, rows, model)
        probes = _probes(corpus, rows.block, settings.train.validate_every)
        outcome = loop.train(model.to(plan.device), language_modelling, rows, plan, out, probes)
        if not outcome.finished:
            raise Interrupted(f"stopped after step {outcome.step}, saved", f"gpt2lab pretrain --resume --out {out}")
        return _finish(out, model, corpus, rows.block, outcome)


def _plan(settings: RunSettings, config: GPT2Config) -> loop.Plan:
    device = hardware.choose_device(settings.device)
    precision = hardware.choose_precision(settings.train.precision, device)
    block = settings.train.block or config.context
    if block > config.context:
        raise UserError(f"train.block is {block} and the model's context only {config.context}")
    batch_rows = settings.train.batch_tokens // block
    if batch_rows == 0:
        raise UserError(f"train.batch_tokens ({settings.train.batch_tokens}) is less than one row of {block} tokens")
    if precision == "fp16":
        raise UserError("fp16 training needs a gradient scaler, which is not here yet", way_out="use bf16 or fp32")
    micro_batch = min(settings.train.micro_batch or batch_rows, batch_rows)
    return loop.Plan(settings.train, device, precision, batch_rows, micro_batch)


def _announce(config: GPT2Config, plan: loop.Plan, rows: Blocks, model: GPT2) -> dict[str, Any]:
    """Say what will happen before it does; the same as plain data."""
    train = plan.settings
    epochs = train.steps * plan.batch_rows / rows.rows
    console.say(f"model: {describe(config)}")
    console.say(
        f"training: {counted(train.steps, 'step')} of {counted(plan.batch_rows, 'row')} of {rows.block} tokens "
        f"({epochs:.2f} epochs), on {hardware.device_name(plan.device)}, {plan.precision}"
    )
    if epochs > MANY_EPOCHS:
        console.warn(f"every text will be seen {epochs:,.0f} times: the corpus is small for so many steps")
    groups = optimizer.groups(model, train)
    table = [
        (group.name, group.count(config.vocabulary), f"{train.learning_rate:g}", f"{group.weight_decay:g}")
        for group in groups
    ]
    console.table("what will be trained", ("group", "parameters", "highest rate", "weight decay"), table)
    return {
        "parameters": parameter_count(config),
        "trainable": {group.name: group.count(config.vocabulary) for group in groups},
        "steps": train.steps,
        "rows_a_step": plan.batch_rows,
        "tokens_a_row": rows.block,
        "tokens": train.steps * plan.batch_rows * rows.block,
        "epochs": epochs,
        "device": hardware.device_name(plan.device),
        "precision": plan.precision,
    }


def _begin(out: Path, settings: RunSettings, corpus: Corpus, plan: loop.Plan, resume: bool) -> None:
    if (out / "study.json").is_file():
        raise UserError("a study is here", place=out, way_out="choose another --out")
    if (out / "run.yaml").is_file():
        if not resume:
            raise UserError("an unfinished run is here", place=out, way_out=f"gpt2lab pretrain --resume --out {out}")
        _refuse_change(out, settings)
        stored = files.read_json(out / "run.json")
        if stored["corpus"] != corpus.hash:
            raise UserError("the corpus has changed since the run began", place=settings.data)
        return
    files.write_json(
        out / "run.json",
        {
            "kind": settings.kind,
            "state": "unfinished",
            "started": datetime.now(UTC).isoformat(timespec="seconds"),
            "corpus": corpus.hash,
            "tokenizer": corpus.manifest["tokenizer"]["hash"],
            "device": hardware.device_name(plan.device),
            "precision": plan.precision,
            "environment": environment.record(),
        },
    )
    files.write_text(out / "run.yaml", yaml.safe_dump(settings.as_dict(), sort_keys=False, allow_unicode=True))


def _finished(out: Path, settings: RunSettings) -> dict[str, Any] | None:
    if not (out / "run.json").is_file():
        return None
    stored = files.read_json(out / "run.json")
    if stored["state"] != "finished":
        return None
    _refuse_change(out, settings)
    return stored


def _refuse_change(out: Path, settings: RunSettings) -> None:
    """The corpus may have moved, and the device is the user's affair: what they hold is checked by its hash."""
    free = {"data", "device"}
    there = {key: value for key, value in resumed(out).as_dict().items() if key not in free}
    wanted = {key: value for key, value in settings.as_dict().items() if key not in free}
    if changed := strict.differences(there, wanted):
        raise UserError(
            "a run with other settings is here: " + "; ".join(changed), place=out, way_out="choose another --out"
        )


def _probes(corpus: Corpus, block: int, every: int) -> list[loop.Probe]:
    return [Validate(Blocks(corpus.split("validation"), block), every)] if "validation" in corpus.splits else []


def _finish(out: Path, model: GPT2, corpus: Corpus, block: int, outcome: loop.Outcome) -> dict[str, Any]:
    if not (out / "model").is_dir():
        write_model(out / "model", model, corpus.tokenizer())
    if "validation" in corpus.splits:
        record = perplexity.blocks(model, corpus.split("validation"), block)
        record["model"] = {"path": "model", "weights": weight_hash(out / "model")}
        record["data"] = {"path": str(corpus.folder), "hash": corpus.hash}
        records.write(out / "results", record)
        scored = record["counts"]["tokens_scored"]
        console.say(f"validation: perplexity {record['value']:.2f} ({record['protocol']}, {scored:,} tokens)")
    else:
        console.warn("the corpus has no validation split, so nothing was measured on text that training did not see")
    stored = files.read_json(out / "run.json")
    stored |= {
        "state": "finished",
        "steps": outcome.step,
        "training_seconds": sum(line["seconds"] for line in lines.read(out / "timings.jsonl")),
        "peak_memory": hardware.peak_memory(next(model.parameters()).device),
        "finished": datetime.fromtimestamp(time.time(), UTC).isoformat(timespec="seconds"),
    }
    files.write_json(out / "run.json", stored)
    return stored
