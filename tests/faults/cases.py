"""Trainings that are killed and resumed, and what must be bit-equal afterwards.

Dropout on, accumulation, several epochs and shards; checkpoints at every step, at every second or at epoch ends.
"""

from __future__ import annotations

import random
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import torch

from corpora import corpus
from faults.deaths import dies_at
from gpt2lab.core import lines
from gpt2lab.text.batches import Blocks
from gpt2lab.train import checkpoint, loop
from gpt2lab.train.objectives import language_modelling
from gpt2lab.train.validation import Validate
from trainings import model_of, plan_of, same_weights, settings_of

CASES: dict[str, dict[str, Any]] = {
    "adamw, fp32, every step": {"checkpoint_every": 1},
    "adamw, bf16, at epoch ends": {"checkpoint_every": "epoch", "precision": "bf16"},
    "muon, fp32, every second step": {"checkpoint_every": 2, "optimizer": "muon"},
    "muon, bf16, averaged": {"checkpoint_every": 2, "optimizer": "muon", "precision": "bf16", "average": 0.5},
}
Result = tuple[list[dict[str, Any]], dict[str, torch.Tensor], torch.nn.Module]


def small_rows(place: Path) -> tuple[Blocks, Blocks]:
    """Training and held-out blocks of a corpus of several shards."""
    made = corpus(place / "corpus", [f"Text {n} of few words." for n in range(20)], 200)
    assert len(made.split("train").shards) > 1
    return Blocks(made.split("train"), 16), Blocks(made.split("validation"), 16)


def training(rows: tuple[Blocks, Blocks], folder: Path, given: dict[str, Any], *probes: loop.Probe) -> torch.nn.Module:
    train_rows, held_out = rows
    settings = settings_of(epochs=2, batch_rows=7, **given)
    model = model_of(settings, dropout=0.2)
    plan = plan_of(train_rows, settings, micro_batch=3)
    loop.train(model, language_modelling, train_rows, plan, folder, [Validate([held_out], 2), *probes])
    return model


def result(folder: Path, model: torch.nn.Module) -> Result:
    """Recorded losses, the optimizer, the weights."""
    newest = checkpoint.newest(folder / "checkpoints")
    assert newest is not None
    return list(lines.read(folder / "metrics.jsonl")), newest.others(), model


def assert_same(one: Result, other: Result) -> None:
    assert one[0] == other[0]
    assert one[1].keys() == other[1].keys()
    assert all(torch.equal(one[1][key], other[1][key]) for key in one[1])
    assert same_weights(one[2], other[2])


def deaths(
    rows: tuple[Blocks, Blocks], place: Path, given: dict[str, Any], kind: str, numbers: Iterable[int]
) -> Iterator[int]:
    """Die at the operations of these numbers, resume and compare, until a training survives; the numbers that died."""
    expected = result(place / "straight", training(rows, place / "straight", given))
    shutil.rmtree(place / "straight")
    for number in numbers:
        run = place / "run"
        died = dies_at(kind, number, lambda run=run: training(rows, run, given))
        if died:
            assert_same(result(run, training(rows, run, given)), expected)
        shutil.rmtree(run)
        if not died:
            return
        yield number


def sample(seed: str, stride: int) -> Iterator[int]:
    """Rising numbers, at most so far apart."""
    steps, number = random.Random(seed), 0
    while True:
        number += steps.randint(1, stride)
        yield number
