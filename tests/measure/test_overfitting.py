"""Overfitting, from two records under one protocol and from what a run wrote down."""

import pytest

from gpt2lab.core import files
from gpt2lab.core.errors import UserError
from gpt2lab.measure import overfitting
from gpt2lab.train.validation import Validate
from trainings import BLOCK, rows_in, trained


def record(split, sum_nll, tokens, **settings):
    return {
        "protocol": "perplexity/blocks@1",
        "settings": {"block": 64, "split": split, **settings},
        "sum_nll": sum_nll,
        "sum_weights": float(tokens),
    }


def test_the_gap_is_validation_minus_training_a_token():
    train, validation = record("train", 300.0, 100), record("validation", 35.0, 10)
    assert overfitting.gap(train, validation) == pytest.approx(0.5)
    assert overfitting.gap(train, train) == 0


def test_other_settings_or_protocols_are_refused_by_name():
    train = record("train", 300.0, 100)
    with pytest.raises(UserError, match="differ in their settings"):
        overfitting.gap(train, record("validation", 35.0, 10, compat="group_texts"))
    with pytest.raises(UserError, match="differ in their protocol"):
        overfitting.gap(train, {**record("validation", 35.0, 10), "protocol": "bits-per-byte@1"})


def test_the_best_look_of_a_run_and_what_training_longer_cost(tmp_path):
    losses = [None, 3.9, 3.4, None, 3.6]
    metrics = [{"step": 5 * number, "loss": 1.0, "validation_loss": loss} for number, loss in enumerate(losses)]
    best = overfitting.best_look(metrics, steps_an_epoch=5)
    assert (best["step"], best["epoch"], best["looks"], best["was_last"]) == (10, 2.0, 3, False)
    assert best["after"] == pytest.approx(0.2)
    assert overfitting.best_look(metrics[:1], 5) is None


def test_a_run_that_overfits_shows_it(tmp_path):
    """Twenty epochs of one row: the loss on others falls, then rises."""
    from gpt2lab.text.batches import Blocks
    from gpt2lab.text.corpus import open_corpus

    rows_in(tmp_path)
    held_out = Blocks(open_corpus(tmp_path / "corpus").split("validation"), BLOCK)
    _, _, metrics = trained(tmp_path, "run", probes=[Validate([held_out], 2)], steps=30, learning_rate=5e-2, warmup=0)
    files.write_json(tmp_path / "run" / "run.json", {"decided": {"rows": 80, "batch_rows": 8}})
    best = overfitting.of_run(tmp_path / "run")
    looks = {line["step"]: line["validation_loss"] for line in metrics if "validation_loss" in line}
    assert best["validation_loss"] == min(looks.values()) == looks[best["step"]]
    assert best["epoch"] == best["step"] / 10
