"""A search killed at random moments repeats no finished trial and ends with the table of one that was not."""

import random
import shutil
import time

import torch

from command_line import gpt2lab
from corpora import corpus
from faults.studies import in_a_child

torch.set_num_threads(1)  # forked children cannot use a parent's threads
SHAPE = ["model.layers=1", "model.heads=1", "model.width=16", "model.context=16"]
SHORT = ["train.steps=12", "train.batch_rows=8", "train.precision=fp32", "train.validate_every=4"]
KILLS = 6


def finished(out):
    """When each trial came to its end, and with what."""
    return {path.parent.name: (path.stat().st_mtime_ns, path.read_bytes()) for path in out.glob("trials/*/trial.json")}


def test_killed_at_random_moments_no_finished_trial_is_repeated_and_the_table_is_the_same(tmp_path):
    corpus(tmp_path / "corpus")
    base = ["--data", tmp_path / "corpus", "--out", tmp_path / "base", *SHAPE, *SHORT]
    assert gpt2lab("pretrain", *base) == 0
    given = [
        "--base",
        tmp_path / "base",
        "--data",
        tmp_path / "corpus",
        "--method",
        "lora",
        *SHORT,
        "train.epochs=none",
    ]
    out = tmp_path / "search"
    search = ["search", *given, "--over", "train.learning_rate=1e-4,1e-2,1e-3", "--out", out]
    begin = time.perf_counter()
    assert in_a_child(search)
    span, expected = time.perf_counter() - begin, (out / "table.csv").read_bytes()
    shutil.rmtree(out)
    moments, killed, before = random.Random("search"), 0, {}
    for _ in range(KILLS):
        killed += not in_a_child(search, moments.uniform(0.2, 0.7) * span)
        assert before.items() <= finished(out).items()
        before = finished(out)
    assert killed > KILLS / 3
    assert in_a_child(search)
    assert before.items() <= finished(out).items()
    assert (out / "table.csv").read_bytes() == expected
