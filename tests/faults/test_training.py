"""A training killed anywhere and resumed is bit-equal to one that was not: weights, optimizer, recorded losses.

Children are forked from this process, which has imported everything, and die at the n-th open, write, fsync or rename,
or at a random moment. Dropout on, accumulation, several epochs and shards, checkpoints at every step or at epoch ends.
"""

import os
import random
import shutil
import signal
import time

import pytest
import torch

from corpora import corpus
from faults.deaths import KINDS, dies_at
from gpt2lab.core import lines
from gpt2lab.text.batches import Blocks
from gpt2lab.train import checkpoint, loop
from gpt2lab.train.objectives import language_modelling
from gpt2lab.train.validation import Validate
from trainings import model_of, plan_of, same_weights, settings_of

torch.set_num_threads(1)  # forked children cannot use a parent's threads

CASES = {
    "adamw, fp32, every step": {"checkpoint_every": 1},
    "adamw, bf16, at epoch ends": {"checkpoint_every": "epoch", "precision": "bf16"},
    "muon, fp32, every second step": {"checkpoint_every": 2, "optimizer": "muon"},
    "muon, bf16, averaged": {"checkpoint_every": 2, "optimizer": "muon", "precision": "bf16", "average": 0.5},
}
MOMENTS = int(os.environ.get("GPT2LAB_RANDOM_DEATHS", "13"))


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    made = corpus(tmp_path_factory.mktemp("data") / "corpus", [f"Text {n} of few words." for n in range(20)], 200)
    assert len(made.split("train").shards) > 1
    return Blocks(made.split("train"), 16), Blocks(made.split("validation"), 16)


def training(rows, folder, given, *probes):
    train_rows, held_out = rows
    settings = settings_of(epochs=2, batch_rows=7, **given)
    model = model_of(settings, dropout=0.2)
    plan = plan_of(train_rows, settings, micro_batch=3)
    loop.train(model, language_modelling, train_rows, plan, folder, [Validate([held_out], 2), *probes])
    return model


def result(folder, model):
    newest = checkpoint.newest(folder / "checkpoints")
    return list(lines.read(folder / "metrics.jsonl")), newest.others(), model


def assert_same(one, other):
    assert one[0] == other[0]
    assert one[1].keys() == other[1].keys()
    assert all(torch.equal(one[1][key], other[1][key]) for key in one[1])
    assert same_weights(one[2], other[2])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("case", CASES)
def test_killed_at_any_operation(tmp_path, rows, case, kind):
    """Every n for the first case; a seeded sample of n for the others."""
    given = CASES[case]
    expected = result(tmp_path / "straight", training(rows, tmp_path / "straight", given))
    number, deaths = 0, 0
    every_n = given == CASES["adamw, fp32, every step"] and kind != "write"
    steps, stride = random.Random(f"{case}{kind}"), 60 if kind == "write" else 12
    while True:
        number += 1 if every_n else steps.randint(1, stride)
        died = dies_at(kind, number, lambda: training(rows, tmp_path / "run", given))
        if not died:
            break
        deaths += 1
        assert_same(result(tmp_path / "run", training(rows, tmp_path / "run", given)), expected)
        shutil.rmtree(tmp_path / "run")
    assert deaths >= (10 if every_n else 1)


@pytest.mark.parametrize("case", CASES)
def test_killed_at_random_moments_again_and_again(tmp_path, rows, case):
    given = CASES[case]
    begin = time.perf_counter()
    expected = result(tmp_path / "straight", training(rows, tmp_path / "straight", given))
    span = time.perf_counter() - begin
    moments = random.Random(case)
    for _ in range(MOMENTS):
        _kill_after(moments.uniform(0, span), lambda: training(rows, tmp_path / "run", given))
    assert_same(result(tmp_path / "run", training(rows, tmp_path / "run", given)), expected)


class CtrlCTwice:
    every = 1

    def __call__(self, model, step):
        if step == 5:
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGINT)
        return {}


def test_a_second_ctrl_c_stops_at_once_and_loses_only_what_came_after_the_last_checkpoint(tmp_path, rows):
    given = {"checkpoint_every": 2}
    expected = result(tmp_path / "straight", training(rows, tmp_path / "straight", given))
    child = os.fork()
    if child == 0:
        training(rows, tmp_path / "run", given, CtrlCTwice())
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.WTERMSIG(status) == signal.SIGINT
    assert checkpoint.newest(tmp_path / "run" / "checkpoints").step in (2, 4)  # the last may still be on its way
    assert_same(result(tmp_path / "run", training(rows, tmp_path / "run", given)), expected)


def _kill_after(seconds, action):
    child = os.fork()
    if child == 0:
        try:
            action()
        finally:
            os._exit(0)
    time.sleep(seconds)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
