"""What is learned: which rows, which loss, what is looked at on the way, and what is measured at the end."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gpt2lab.core import console
from gpt2lab.core.errors import UserError
from gpt2lab.measure import labels as class_labels
from gpt2lab.measure import perplexity, records
from gpt2lab.measure.settings import DataSettings, Evaluation
from gpt2lab.model.gpt2 import GPT2, GPT2Classifier
from gpt2lab.model.reading import weight_hash
from gpt2lab.study import probing
from gpt2lab.study.sampling import Sample
from gpt2lab.study.settings import AnySettings
from gpt2lab.text.batches import Blocks, Documents, Labelled, Mixture, Packed, Rows, are_blocks
from gpt2lab.text.corpus import Corpus, Split
from gpt2lab.train.loop import Probe
from gpt2lab.train.objectives import Objective, classification, language_modelling
from gpt2lab.train.plan import Unit
from gpt2lab.train.processes import Team
from gpt2lab.train.validation import Validate, ValidateLabels

CLASSES_SHOWN = 8


@dataclass(frozen=True)
class Task:
    rows: Rows
    objective: Objective
    probes: Callable[[Team], Sequence[Probe]]
    measure: Callable[[Path, Any], None]  # of the run folder and the finished model
    unit: Unit  # what has a target


def text(settings: AnySettings, corpus: Corpus, block: int, kind: str = "blocks") -> Task:
    """Running text: every token is predicted, or what follows each prompt."""
    make = kind_of_rows(corpus, kind, block)
    held_out = [make(source.split("validation")) for source in corpus.sources if "validation" in source.splits]
    look = probing.looker(settings.probe, corpus.tokenizer(), block)
    rows = _to_train_on(corpus, make)
    _say_what_is_cut(rows, block)
    return Task(
        rows,
        language_modelling,
        lambda team: [*_text_probes(settings, corpus, held_out, team), *([look(team)] if look else [])],
        lambda out, model: _measure(out, model, corpus, block, as_trained=are_blocks(rows)),
        "tokens",
    )


def labels(settings: AnySettings, corpus: Corpus, block: int) -> Task:
    """Labelled texts: one class a text."""
    if settings.probe.protocols:
        raise UserError("probes measure language models, and this is a classifier", place="probe.protocols")
    rows = Labelled(corpus.split("train"), block)
    _check_classes(corpus)
    held_out = Labelled(corpus.split("validation"), block) if "validation" in corpus.splits else None
    for which, found in (("to train on", rows), ("of validation", held_out)):
        if found and found.truncated:
            texts = f"{console.counted(found.truncated, 'text')} of {found.rows:,}"
            console.warn(f"longer than {block} tokens and cut there: {texts} {which}")
    every = settings.train.validate_every
    return Task(
        rows,
        classification,
        lambda team: [ValidateLabels(held_out, every, team)] if held_out else [],
        lambda out, model: _measure_labels(out, model, corpus, block),
        "texts",
    )


def class_names(corpus: Corpus) -> tuple[str, ...]:
    names = tuple(str(name) for name in corpus.manifest.get("labels") or ())
    if not names:
        raise UserError(
            "these texts have no labels",
            place=_source(corpus),
            way_out="say which column holds them: data.label=COLUMN",
        )
    if len(names) == 1:
        raise UserError(
            f"every text is of the class {names[0]!r}, and a classifier needs at least two",
            place=_source(corpus),
            way_out="texts of other classes as well, or another column: data.label=COLUMN",
        )
    return names


def _source(corpus: Corpus) -> str:
    return str(corpus.manifest["source"].get("data", corpus.folder))


def _check_classes(corpus: Corpus) -> None:
    """What the labels are is said before training: a number that is none, or the wrong column, shows here."""
    names = class_names(corpus)
    for split in set(corpus.splits) - {"test"}:  # which is for `evaluate` alone
        numbers = np.asarray(corpus.split(split).of_documents("labels"))
        if len(numbers) and not (numbers.min() >= 0 and numbers.max() < len(names)):
            wrong = int(numbers.min() if numbers.min() < 0 else numbers.max())
            raise UserError(
                f"a text has class {wrong}, and there are {len(names)}, counted from 0",
                place=f"{corpus.folder}, {split}",
                way_out="prepare the corpus again",
            )
    counts = np.bincount(np.asarray(corpus.split("train").of_documents("labels")), minlength=len(names))
    shown = [f"{name} {count:,}" for name, count in zip(names, counts)][:CLASSES_SHOWN]
    more = f" and {len(names) - CLASSES_SHOWN} more" if len(names) > CLASSES_SHOWN else ""
    console.say(f"classes, with their texts to train on: {', '.join(shown)}{more}")
    if rare := [name for name, count in zip(names, counts) if count < 2]:
        shown = ", ".join(rare[:CLASSES_SHOWN])
        console.warn(
            f"of {len(names):,} classes {len(rare):,} have fewer than two texts to learn from, such as {shown}"
        )


def kind_of_rows(corpus: Corpus, kind: str, block: int) -> Callable[[Split], Blocks | Documents | Packed]:
    has_prompts = any(source.split("train").has("prompts") for source in corpus.sources if "train" in source.splits)
    kind = ("documents" if has_prompts else "blocks") if kind == "auto" else kind
    if kind == "blocks":
        return lambda split: Blocks(split, block)
    if kind == "documents":
        return lambda split: Documents(split, block)
    return lambda split: Packed(Documents(split, block))


def _to_train_on(corpus: Corpus, make: Callable[[Split], Rows]) -> Rows:
    """Rows of the corpus, or of several by weight."""
    if "train" not in corpus.sources[0].splits:
        raise UserError("the corpus has no train split", place=corpus.folder, way_out="prepare text to train on")
    parts = [make(source.split("train")) for source in corpus.sources]
    rows = Mixture(parts, corpus.weights) if corpus.weights else parts[0]
    if rows.rows == 0:
        raise UserError("the corpus holds no text to train on", place=corpus.folder, way_out="prepare more text")
    return rows


def _say_what_is_cut(rows: Rows, block: int) -> None:
    """A document that does not fit goes on in rows that do not see its beginning."""
    if isinstance(rows, Mixture):
        for source in rows.sources:
            _say_what_is_cut(source, block)
        return
    documents = rows.documents if isinstance(rows, Packed) else rows
    if not isinstance(documents, Documents):
        return
    every = console.counted(len(documents.split.starts), "document")
    if documents.cut:
        console.warn(
            f"longer than {block} tokens, and cut into rows blind to what came before: {documents.cut:,} of {every}"
        )
    if documents.unread:
        console.warn(
            f"prompts that fill a row, so that what follows is learned without them: {documents.unread:,} of {every}"
        )


def _text_probes(
    settings: AnySettings, corpus: Corpus, held_out: Sequence[Blocks | Documents | Packed], team: Team
) -> Sequence[Probe]:
    train, sampling = settings.train, settings.sample
    sample = Sample(corpus.tokenizer(), sampling.prompts, sampling, sampling.every, team) if sampling.prompts else None
    looks = [Validate(held_out, train.validate_every, train.validate_tokens, team)] if held_out else []
    return [*looks, *([sample] if sample else [])]


def _measure(out: Path, model: GPT2, corpus: Corpus, block: int, as_trained: bool) -> None:
    """Every source's held-out text, under its protocol."""
    for source in corpus.sources:
        if "validation" in source.splits:
            record = perplexity.blocks(model, source.split("validation"), block)
            _keep(out, record, source)
            scored = console.counted(record["counts"]["tokens_scored"], "token")
            how = "" if as_trained else "; in blocks, prompts and all, where validation_loss was of the rows trained on"
            console.say(f"validation: perplexity {record['value']:.2f} ({record['protocol']}, {scored}{how})")


def _measure_labels(out: Path, model: GPT2Classifier, corpus: Corpus, block: int) -> None:
    """What selection looked at, under its protocol; the test split is left to `evaluate`."""
    asked = Evaluation(data=DataSettings(split="validation", max_tokens=block))
    record = class_labels.measure(model.eval(), corpus.tokenizer(), corpus.folder, asked)
    _keep(out, record, corpus)
    low, high = record["interval"]["low"], record["interval"]["high"]
    console.say(
        f"validation: accuracy {record['value']:.2%} [{low:.2%}, {high:.2%}] of {record['counts']['texts']:,} texts "
        f"({record['protocol']})"
    )


def _keep(out: Path, record: dict[str, Any], corpus: Corpus) -> None:
    record["model"] = {"path": "model", "weights": weight_hash(out / "model")}
    record["data"] = {"path": str(corpus.folder), "hash": corpus.hash}
    records.write(out / "results", record)
