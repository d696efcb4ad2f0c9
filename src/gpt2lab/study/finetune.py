"""`gpt2lab finetune`: a model and a corpus become a tuned model, or an adapter."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from gpt2lab.core import console
from gpt2lab.core.errors import UserError
from gpt2lab.model.gpt2 import GPT2, GPT2Classifier
from gpt2lab.model.reading import (
    find_model,
    read_config,
    read_language_model,
    read_model,
    tokenizer_of,
    weight_hash,
    with_head,
)
from gpt2lab.study import methods, run_folder, training
from gpt2lab.study.job import Job
from gpt2lab.study.pretrain import block_of, blocks_of, measure, text_probes
from gpt2lab.study.run_folder import Intent
from gpt2lab.study.settings import TuneSettings
from gpt2lab.text.batches import Labelled
from gpt2lab.text.corpus import Corpus, open_corpus
from gpt2lab.train.loop import Probe
from gpt2lab.train.objectives import classification, language_modelling
from gpt2lab.train.processes import Team
from gpt2lab.train.validation import ValidateLabels


def finetune(settings: TuneSettings, out: Path, intent: Intent, *, dry_run: bool = False) -> dict[str, Any]:
    if (found := run_folder.finished(out, settings, intent)) is not None:
        console.say(f"{out}: already finished with these settings")
        return found
    base = find_model(settings.base)
    corpus = open_corpus(Path(settings.data))
    if corpus.manifest["tokenizer"]["hash"] != tokenizer_of(base).hash:
        raise UserError(
            "the corpus was made with another tokenizer than the base", place=corpus.folder,
            way_out=f"prepare it with --tokenizer {base}",
        )  # fmt: skip
    job = (_labels if settings.task == "labels" else _text)(settings, base, corpus)
    arranged = settings.train.model_copy(update={"groups": methods.groups(settings, job.config)})
    with_groups = settings.model_copy(update={"train": arranged})
    return training.carry_out(with_groups, out, job, intent, dry_run=dry_run)


def _text(settings: TuneSettings, base: Path, corpus: Corpus) -> Job:
    config = read_config(base)
    block = block_of(settings, config)
    lineage = {"path": settings.base, "weights": weight_hash(base)}

    def make() -> GPT2 | GPT2Classifier:
        model = read_language_model(base, dropout=settings.model.dropout)
        methods.apply(settings, model)
        return model

    return Job(
        corpus,
        config,
        block,
        blocks_of(corpus, block),
        make,
        language_modelling,
        lambda team: text_probes(settings, corpus, block, team),
        methods.writer(settings, corpus.tokenizer(), base, lineage["weights"]),
        lambda out, model: measure(out, model, corpus, block),
        lineage=lineage,
    )


def _labels(settings: TuneSettings, base: Path, corpus: Corpus) -> Job:
    labels = _class_names(corpus)
    config = replace(read_config(base), labels=labels)
    block = block_of(settings, config)
    lineage = {"path": settings.base, "weights": weight_hash(base)}
    rows = Labelled(corpus.split("train"), block)
    if rows.truncated:
        console.say(f"{console.counted(rows.truncated, 'text')} of {rows.rows:,} are cut to {block} tokens")

    def make() -> GPT2Classifier:
        model = with_head(read_model(base, dropout=settings.model.dropout), labels, settings.train.seed)
        methods.apply(settings, model)
        return model

    return Job(
        corpus,
        config,
        block,
        rows,
        make,
        classification,
        lambda team: _label_probes(settings, corpus, block, team),
        methods.writer(settings, corpus.tokenizer(), base, lineage["weights"]),
        lambda out, model: _say_accuracy(corpus, block, model),
        unit="texts",
        lineage=lineage,
    )


def _class_names(corpus: Corpus) -> tuple[str, ...]:
    names = tuple(str(name) for name in corpus.manifest.get("labels") or ())
    if len(names) < 2:
        raise UserError(
            f"a classifier needs at least two classes, and the corpus has {len(names)}",
            place=corpus.folder,
            way_out="say which column holds them when preparing: data.label=COLUMN",
        )
    return names


def _label_probes(settings: TuneSettings, corpus: Corpus, block: int, team: Team) -> Sequence[Probe]:
    if "validation" not in corpus.splits:
        return []
    return [ValidateLabels(Labelled(corpus.split("validation"), block), settings.train.validate_every, team)]


def _say_accuracy(corpus: Corpus, block: int, model: GPT2Classifier) -> None:
    found = ValidateLabels(Labelled(corpus.split("validation"), block), 0)(model.eval(), 0)
    console.say(f"validation: accuracy {found['validation_accuracy']:.2%} of {found['validation_texts']:,} texts")
