"""Batches are a pure function of corpus, seed and step."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from corpora import corpus
from gpt2lab.text.batches import UNSCORED, Blocks, rows_of_step


@given(st.integers(1, 50), st.integers(1, 60), st.integers(0, 5))
def test_every_row_is_seen_once_an_epoch(rows, batch_rows, seed):
    steps = rows  # rows · batch_rows places: batch_rows whole epochs
    seen = np.concatenate([rows_of_step(rows, batch_rows, seed, step) for step in range(steps)])
    for epoch in range(batch_rows):
        assert sorted(seen[epoch * rows : (epoch + 1) * rows]) == list(range(rows))


@given(st.integers(1, 40), st.sampled_from([1, 2, 4, 8]), st.integers(0, 20))
def test_the_size_of_the_batch_does_not_change_the_order_of_rows(rows, size, step):
    whole = rows_of_step(rows, 8, 7, step)
    parts = [rows_of_step(rows, size, 7, step * (8 // size) + part) for part in range(8 // size)]
    assert np.array_equal(whole, np.concatenate(parts))


def test_epochs_and_seeds_have_orders_of_their_own():
    epochs = [tuple(rows_of_step(30, 30, seed, step)) for seed in (1, 2) for step in (0, 1)]
    assert len(set(epochs)) == 4


@pytest.mark.parametrize("block", [1, 7, 16, 10_000])
def test_blocks_score_every_token_but_the_first_exactly_once(tmp_path, block):
    split = corpus(tmp_path / "c").split("train")
    blocks = Blocks(split, block)
    batch = blocks.batch(np.arange(blocks.rows))
    real = batch.targets != UNSCORED
    stream = split.read(0, split.tokens)
    assert batch.scored == split.tokens - 1
    assert np.array_equal(batch.targets[real], stream[1:])
    assert np.array_equal(batch.ids[real], stream[:-1])
