"""Small trainings for tests."""

from __future__ import annotations

from dataclasses import replace

import torch

from corpora import corpus
from gpt2lab.core import lines
from gpt2lab.model.gpt2 import GPT2, build, initialise
from gpt2lab.text.batches import Blocks
from gpt2lab.text.corpus import open_corpus
from gpt2lab.train import groups, loop
from gpt2lab.train.objectives import language_modelling
from gpt2lab.train.plan import Plan, batch_rows, limits
from gpt2lab.train.settings import TrainSettings
from models import TINY
from vocabularies import small

CPU = torch.device("cpu")
CONFIG = replace(TINY, vocabulary=small().size)
BLOCK = 16


def rows_in(tmp_path):
    folder = tmp_path / "corpus"
    made = open_corpus(folder) if folder.exists() else corpus(folder)
    return Blocks(made.split("train"), BLOCK)


def settings_of(**given):
    limit = {} if given.keys() & {"steps", "epochs", "tokens"} else {"steps": 6}
    return TrainSettings(**{**limit, "learning_rate": 1e-2, "precision": "fp32", "batch_rows": 8, **given})


def plan_of(rows, settings, micro_batch=8):
    count = batch_rows(settings, BLOCK)
    steps = min(limits(settings, rows.rows, count, BLOCK).values())
    last = round(settings.epochs * rows.rows) if settings.epochs else None
    return Plan(settings, CPU, settings.precision, rows.rows, count, micro_batch, steps, last)


def model_of(settings, dropout=0.0):
    model = build(GPT2, CONFIG.with_dropout(dropout))
    initialise(model, settings.seed)
    groups.freeze(model, settings)
    return model


def trained(tmp_path, name, *, dropout=0.0, micro_batch=8, probes=(), objective=language_modelling, sinks=(), **given):
    """(model, outcome, what metrics.jsonl says)"""
    rows, settings = rows_in(tmp_path), settings_of(**given)
    model = model_of(settings, dropout)
    plan = plan_of(rows, settings, micro_batch)
    outcome = loop.train(model, objective, rows, plan, tmp_path / name, probes, sinks=sinks)
    return model, outcome, list(lines.read(tmp_path / name / "metrics.jsonl"))


def same_weights(one, other):
    return all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))
