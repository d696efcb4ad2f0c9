"""The loop: the update does not depend on micro-batches, and a run that was stopped ends as if it had not been."""

import math
import os
import signal
from dataclasses import replace

import pytest
import torch

from corpora import corpus
from gpt2lab.core import lines
from gpt2lab.model.gpt2 import GPT2, build, initialise
from gpt2lab.text.batches import Blocks
from gpt2lab.train import loop, schedule
from gpt2lab.train.objectives import language_modelling
from gpt2lab.train.settings import TrainSettings
from models import TINY
from vocabularies import small

CONFIG = replace(TINY, vocabulary=small().size)
CPU = torch.device("cpu")


def trained(tmp_path, name, *, dropout=0.0, micro_batch=8, probes=(), **settings):
    made = corpus(tmp_path / "corpus") if not (tmp_path / "corpus").exists() else None
    from gpt2lab.text.corpus import open_corpus

    rows = Blocks((made or open_corpus(tmp_path / "corpus")).split("train"), 16)
    chosen = TrainSettings(**{"steps": 6, "learning_rate": 1e-2, "precision": "fp32", **settings})
    model = build(GPT2, CONFIG.with_dropout(dropout))
    initialise(model, chosen.seed)
    plan = loop.Plan(chosen, CPU, "fp32", 8, micro_batch)
    outcome = loop.train(model, language_modelling, rows, plan, tmp_path / name, probes)
    return model, outcome, list(lines.read(tmp_path / name / "metrics.jsonl"))


def test_the_first_loss_is_near_ln_vocabulary_and_falls(tmp_path):
    _, outcome, metrics = trained(tmp_path, "run", steps=30)
    assert outcome.finished
    assert metrics[0]["loss"] == pytest.approx(math.log(small().size), rel=0.03)
    assert metrics[-1]["loss"] < 0.7 * metrics[0]["loss"]


@pytest.mark.parametrize("micro_batch", [1, 2, 3, 4])
def test_the_update_does_not_depend_on_micro_batches(tmp_path, micro_batch):
    """Means of means once gave a partial micro-batch the weight of a whole one."""
    whole, _, one = trained(tmp_path, "whole")
    parts, _, other = trained(tmp_path, "parts", micro_batch=micro_batch)
    for a, b in zip(one, other):
        assert a["loss"] == pytest.approx(b["loss"], rel=1e-5)
    for a, b in zip(whole.parameters(), parts.parameters()):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


class Stop:
    """A probe that behaves like a user's Ctrl-C after a step."""

    every = 1

    def __init__(self, at):
        self.at = at

    def __call__(self, model, step):
        if step == self.at:
            os.kill(os.getpid(), signal.SIGTERM)
        return {}


@pytest.mark.parametrize("at", [1, 3, 5])
def test_a_run_that_was_stopped_and_resumed_is_bit_equal_to_one_that_was_not(tmp_path, at):
    straight, _, expected = trained(tmp_path, "straight", dropout=0.2, micro_batch=3)
    _, outcome, _ = trained(tmp_path, "stopped", dropout=0.2, micro_batch=3, probes=[Stop(at)])
    assert (outcome.step, outcome.finished) == (at, False)
    resumed, outcome, metrics = trained(tmp_path, "stopped", dropout=0.2, micro_batch=3)
    assert outcome.finished
    assert metrics == expected
    for one, other in zip(straight.parameters(), resumed.parameters()):
        assert torch.equal(one, other)


def test_a_damaged_checkpoint_is_named_and_the_one_before_it_is_used(tmp_path, capsys):
    straight, _, expected = trained(tmp_path, "straight", checkpoint_every=2)
    _, _, _ = trained(tmp_path, "damaged", checkpoint_every=2, probes=[Stop(5)])
    newest = tmp_path / "damaged" / "checkpoints" / "step-00000005" / "model.safetensors"
    newest.write_bytes(newest.read_bytes()[:-1] + b"!")
    resumed, _, metrics = trained(tmp_path, "damaged", checkpoint_every=2)
    assert "step-00000005" in capsys.readouterr().err
    assert metrics == expected
    assert all(torch.equal(a, b) for a, b in zip(straight.parameters(), resumed.parameters()))


@pytest.mark.parametrize(
    ("name", "expected"),
    [("cosine", [0.5, 1, 1, 0.55, 0.1]), ("linear", [0.5, 1, 1, 0.55, 0.1]), ("constant", [0.5, 1, 1, 1, 1])],
)
def test_schedules_rise_and_fall_to_the_floor_at_the_last_step(name, expected):
    for warmup in (2, 0.4):
        settings = TrainSettings(steps=5, schedule=name, warmup=warmup)
        assert [schedule.rate(step, settings) for step in range(5)] == pytest.approx(expected)
