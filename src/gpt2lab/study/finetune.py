"""`gpt2lab finetune`: a model and data become a tuned model, or an adapter."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from gpt2lab.core import console
from gpt2lab.core.errors import UserError
from gpt2lab.model.config import GPT2Config
from gpt2lab.model.gpt2 import GPT2, GPT2Classifier
from gpt2lab.model.reading import (
    find_model,
    read_config,
    read_language_model,
    read_model,
    weight_hash,
    with_head,
)
from gpt2lab.study import methods, run_folder, tasks, training
from gpt2lab.study.data import corpus_for
from gpt2lab.study.job import Job, block_of
from gpt2lab.study.run_folder import Intent
from gpt2lab.study.settings import TuneSettings
from gpt2lab.text.corpus import Corpus
from gpt2lab.train.loop import Sink


def finetune(
    settings: TuneSettings, out: Path, intent: Intent, *, dry_run: bool = False, sinks: Sequence[Sink] = ()
) -> dict[str, Any]:
    if (found := run_folder.finished(out, settings, intent)) is not None:
        _refuse_changed(found, settings, out)
        console.say(f"{out}: already finished with these settings")
        return found
    base = find_model(settings.base)
    with console.announcement("data"):
        corpus = corpus_for(settings, base)
        config = config_of(settings, base, corpus)
        window = config.context - (soft := methods.soft_tokens(settings))
        block = block_of(settings, window)
        if soft:
            console.say(
                f"{console.counted(soft, 'soft token')} of the model's {config.context:,} leave {window:,} to a text"
            )
        task = (
            tasks.labels(settings, corpus, block)
            if settings.task == "labels"
            else tasks.text(settings, corpus, block, settings.data.rows)
        )
    tokenizer = corpus.tokenizer()

    def make() -> GPT2 | GPT2Classifier:
        model = _model(settings, base, config)
        methods.apply(settings, model, tokenizer)
        return model

    weights = weight_hash(base)
    job = Job(
        corpus,
        config,
        block,
        task,
        make,
        methods.writer(settings, tokenizer, methods.Base(base, weights)),
        groups=methods.groups(settings, config),
        lineage={"path": settings.base, "weights": weights},
    )
    if settings.task == "text" and settings.data.label:
        console.warn("data.label has no effect on running text; --task labels learns classes")
    if settings.task == "labels" and settings.data.rows != "auto":
        console.warn("data.rows has no effect on labelled texts: each is a row")
    return training.carry_out(settings, out, job, intent, dry_run=dry_run, sinks=sinks)


def _refuse_changed(found: dict[str, Any], settings: TuneSettings, out: Path) -> None:
    """What a finished run began from may be gone; where it is there, or data at another place, it is what it was."""
    try:
        with console.hushed():
            base = find_model(settings.base)
            corpus, weights = corpus_for(settings, base), weight_hash(base)
    except UserError:
        if run_folder.has_data_elsewhere(out, settings):
            raise
        return
    run_folder.refuse_changed(found, corpus, {"path": settings.base, "weights": weights})


def config_of(settings: TuneSettings, base: Path, corpus: Corpus) -> GPT2Config:
    """The base's, with the classes of the data where these are learned."""
    config = read_config(base)
    if settings.task == "text":
        return config
    labels = tasks.class_names(corpus)
    if config.labels and sorted(config.labels) != sorted(labels):
        console.warn(f"the base tells {', '.join(config.labels)} apart; these are other classes, so it gets a new head")
    return replace(config, labels=labels)


def _model(settings: TuneSettings, base: Path, config: GPT2Config) -> GPT2 | GPT2Classifier:
    dropout = settings.model.dropout
    if settings.task == "text":
        return read_language_model(base, dropout=dropout)
    return with_head(read_model(base, dropout=dropout), config.labels, settings.train.seed)
