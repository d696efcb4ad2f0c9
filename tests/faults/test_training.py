"""A training killed anywhere and resumed is bit-equal to one that was not: weights, optimizer, recorded losses.

Children are forked from this process, which has imported everything, and die at the n-th open, write, fsync or rename,
or at a random moment. `benchmarks/every_death.py` does without the sample.
"""

import itertools
import os
import random
import signal
import time

import pytest
import torch

from faults.cases import CASES, assert_same, deaths, result, sample, small_rows, training
from faults.deaths import KINDS
from gpt2lab.core import lines
from gpt2lab.train import checkpoint

torch.set_num_threads(1)  # forked children cannot use a parent's threads

MOMENTS = int(os.environ.get("GPT2LAB_RANDOM_DEATHS", "13"))


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    return small_rows(tmp_path_factory.mktemp("data"))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("case", CASES)
def test_killed_at_any_operation(tmp_path, rows, case, kind):
    """Every n for the first case; a seeded sample of n for the others."""
    every_n = case == "adamw, fp32, every step" and kind != "write"
    numbers = itertools.count(1) if every_n else sample(f"{case}{kind}", 60 if kind == "write" else 12)
    assert sum(1 for _ in deaths(rows, tmp_path, CASES[case], kind, numbers)) >= (10 if every_n else 1)


@pytest.mark.parametrize("case", CASES)
def test_killed_at_random_moments_again_and_again(tmp_path, rows, case):
    given = CASES[case]
    expected = result(tmp_path / "straight", training(rows, tmp_path / "straight", given))
    begin = time.perf_counter()
    training(rows, tmp_path / "again", given)
    span = time.perf_counter() - begin
    moments, unfinished = random.Random(case), 0
    for number in range(MOMENTS):
        run = tmp_path / f"run-{number // 2}"  # killed twice, then finished
        _kill_after(moments.uniform(0.1, 0.8) * span, lambda run=run: training(rows, run, given))
        unfinished += len(list(lines.read(run / "metrics.jsonl"))) < len(expected[0])
        if number % 2:
            assert_same(result(run, training(rows, run, given)), expected)
    assert unfinished > MOMENTS / 3


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
