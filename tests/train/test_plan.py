"""How long a training is, what each step holds, and when something is due."""

from dataclasses import replace

import numpy as np
import pytest

from gpt2lab.core.errors import UserError
from gpt2lab.train import schedule
from gpt2lab.train.plan import Plan, batch_rows, limits
from gpt2lab.train.settings import TrainSettings


class Ten:
    rows = 10


def plan(rows, batch, steps, last=None, **given):
    return Plan(TrainSettings(steps=steps, **given), None, "fp32", rows, batch, 1, steps, last)


def test_the_first_limit_to_come_ends_the_run():
    settings = TrainSettings(steps=100, tokens=8 * 16 * 10, epochs=3)
    assert limits(settings, rows=20, rows_a_step=8, block=16) == {"steps": 100, "tokens": 10, "epochs": 8}


def test_the_only_step_of_a_training_moves_something():
    for kind in ("cosine", "linear", "polynomial", "wsd", "constant"):
        assert schedule.rate(0, 1, TrainSettings(steps=1, schedule=kind, floor=0, warmup=0.05)) == 1


def test_a_run_without_an_end_is_refused():
    with pytest.raises(UserError, match="how long"):
        limits(TrainSettings(), 10, 1, 1)


def test_epochs_end_within_a_batch_and_every_row_is_seen_as_often():
    made = plan(rows=10, batch=4, steps=8, last=30)
    seen = np.concatenate([made.rows_of(Ten(), step) for step in range(8)])
    assert [len(made.rows_of(Ten(), step)) for step in range(8)] == [4] * 7 + [2]
    assert sorted(seen) == sorted(list(range(10)) * 3)


def test_a_run_that_is_prolonged_begins_with_the_rest_of_the_batch_that_was_cut_short():
    made = plan(rows=10, batch=4, steps=6, last=20)
    first = np.concatenate([plan(rows=10, batch=4, steps=3, last=10).rows_of(Ten(), step) for step in range(3)])
    longer = replace(made, partial=((2, 2),))
    rest = np.concatenate([longer.rows_of(Ten(), step) for step in range(3, 6)])
    assert sorted(np.concatenate([first, rest])) == sorted(list(range(10)) * 2)
    assert [step for step in range(1, 7) if longer.is_due("epoch", step)] == [3, 6]


def test_an_epoch_is_over_at_the_step_that_sees_its_last_row():
    made = plan(rows=10, batch=4, steps=8, last=30)
    assert [step for step in range(1, 9) if made.is_due("epoch", step)] == [3, 5, 8]


def test_what_is_due_every_so_many_steps_is_due_at_the_end_too():
    made = plan(rows=10, batch=1, steps=7)
    assert [step for step in range(1, 8) if made.is_due(3, step)] == [3, 6, 7]
    assert [step for step in range(1, 8) if made.is_due(0, step)] == [7]


def test_the_global_batch_is_given_by_rows_or_by_tokens():
    assert batch_rows(TrainSettings(steps=1, batch_tokens=100), block=16) == 6
    assert batch_rows(TrainSettings(steps=1, batch_rows=5), block=16) == 5
    assert batch_rows(TrainSettings(steps=1), block=16) == 512
    with pytest.raises(UserError, match="less than one row"):
        batch_rows(TrainSettings(steps=1, batch_tokens=10), block=16)
    with pytest.raises(UserError, match="same thing"):
        batch_rows(TrainSettings(steps=1, batch_tokens=10, batch_rows=1), block=16)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"schedule": "cosine"}, [0.5, 1, 1, 0.55, 0.1]),
        ({"schedule": "linear"}, [0.5, 1, 1, 0.55, 0.1]),
        ({"schedule": "constant"}, [0.5, 1, 1, 1, 1]),
        ({"schedule": "polynomial", "power": 2, "floor": 0}, [0.5, 1, 1, 0.25, 0]),
        ({"schedule": "wsd", "cooldown": 0.4, "floor": 0}, [0.5, 1, 1, 0.5, 0]),
    ],
)
def test_schedules_rise_and_fall_to_the_floor_at_the_last_step(given, expected):
    for warmup in (2, 0.4):
        settings = TrainSettings(warmup=warmup, **given)
        assert [schedule.rate(step, 5, settings) for step in range(5)] == pytest.approx(expected)
