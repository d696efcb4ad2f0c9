"""Batches are a pure function of corpus, seed and step."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from corpora import corpus
from gpt2lab.core.errors import UserError
from gpt2lab.text.batches import (
    UNSCORED,
    Blocks,
    Documents,
    Labelled,
    Mixture,
    Packed,
    by_length,
    rows_from,
    rows_of_process,
)
from gpt2lab.text.documents import Document
from vocabularies import small


def rows_of_step(rows, batch_rows, seed, step):
    return rows_from(rows, step * batch_rows, (step + 1) * batch_rows, seed)


class Counted:
    def __init__(self, rows):
        self.rows = rows


@given(st.integers(1, 50), st.integers(1, 60), st.integers(0, 5))
def test_every_row_is_seen_once_an_epoch(rows, batch_rows, seed):
    steps = rows  # rows · batch_rows places: batch_rows whole epochs
    seen = np.concatenate([rows_of_step(Counted(rows), batch_rows, seed, step) for step in range(steps)])
    for epoch in range(batch_rows):
        assert sorted(seen[epoch * rows : (epoch + 1) * rows]) == list(range(rows))


@given(st.integers(1, 40), st.sampled_from([1, 2, 4, 8]), st.integers(0, 20))
def test_the_size_of_the_batch_does_not_change_the_order_of_rows(rows, size, step):
    whole = rows_of_step(Counted(rows), 8, 7, step)
    parts = [rows_of_step(Counted(rows), size, 7, step * (8 // size) + part) for part in range(8 // size)]
    assert np.array_equal(whole, np.concatenate(parts))


def test_epochs_and_seeds_have_orders_of_their_own():
    epochs = [tuple(rows_of_step(Counted(30), 30, seed, step)) for seed in (1, 2) for step in (0, 1)]
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


@given(st.integers(1, 40), st.integers(1, 9), st.integers(0, 50))
def test_processes_share_a_batch_without_gap_or_overlap(rows, processes, step):
    """A process may get no row at all; it takes part all the same."""
    whole = rows_of_step(Counted(rows), 8, 3, step)
    parts = [rows_of_process(whole, rank, processes) for rank in range(processes)]
    assert np.array_equal(np.concatenate(parts), whole)
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


@given(st.lists(st.integers(1, 50), min_size=1, max_size=40), st.integers(50, 300))
def test_groups_of_like_length_hold_every_row_once_within_the_budget(lengths, budget):
    groups = list(by_length(np.array(lengths), budget))
    assert sorted(np.concatenate(groups)) == list(range(len(lengths)))
    assert all(len(group) * max(lengths[place] for place in group) <= budget for group in groups)


END = small().end_of_text
TEXTS = [
    Document("short"),
    Document("a longer text about tokens and pieces"),
    Document("mid size text"),
    Document("x"),
] * 5


def encoded(document):
    return [END, *small().encode(document.prompt), *small().encode(document.text), END]


@pytest.mark.parametrize("block", [4, 16, 64])
@pytest.mark.parametrize("together", [True, False])
def test_packed_documents_score_each_of_their_tokens_once_and_their_end(tmp_path, block, together):
    split = corpus(tmp_path / "c", TEXTS).split("train")
    packed = Packed(Documents(split, block), together)
    batch = packed.batch(np.arange(packed.rows))
    expected = sorted(token for n, text in enumerate(TEXTS) if n % 10 != 9 for token in encoded(text)[1:])
    assert sorted(batch.targets[batch.targets != UNSCORED]) == expected
    assert sorted(batch.ids[batch.documents >= 0]).count(END) == len(split.starts)
    filled = (batch.documents >= 0).sum(axis=1)
    assert np.array_equal(filled, packed.lengths(np.arange(packed.rows)))
    if block == 64:
        assert filled.mean() > 0.8 * block * 0.9
        documents_a_row = [len(set(row[row >= 0])) for row in batch.documents]
        assert (max(documents_a_row) == 1) is together


def test_in_a_packed_row_each_document_stands_whole_with_a_number_of_its_own(tmp_path):
    split = corpus(tmp_path / "c", TEXTS).split("train")
    packed = Packed(Documents(split, 64))
    batch = packed.batch(np.arange(packed.rows))
    whole = {tuple(encoded(text)) for text in TEXTS}
    for ids, targets, numbers in zip(batch.ids, batch.targets, batch.documents):
        for number in set(numbers[numbers >= 0]):
            mine = numbers == number
            assert (*ids[mine], targets[mine][-1]) in whole


def test_packing_is_the_same_every_time_and_loses_no_document(tmp_path):
    split = corpus(tmp_path / "c", TEXTS).split("train")
    one, other = (Packed(Documents(split, 32)).bins for _ in range(2))
    assert all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))
    assert sorted(np.concatenate(one)) == list(range(len(split.starts)))


def test_only_the_completion_is_scored_never_the_prompt(tmp_path):
    rows = [Document(f" answer {n}.", prompt=f"Question number {n}?") for n in range(20)]
    split = corpus(tmp_path / "c", rows).split("train")
    documents = Documents(split, 64)
    batch = documents.batch(np.arange(documents.rows))
    kept = [row for n, row in enumerate(rows) if n % 10 != 9]
    for ids, targets, row in zip(batch.ids, batch.targets, kept, strict=True):
        prompt, text = small().encode(row.prompt).tolist(), small().encode(row.text).tolist()
        assert targets[targets != UNSCORED].tolist() == [*text, END]
        assert ids[: 1 + len(prompt) + len(text)].tolist() == [END, *prompt, *text]
        assert (targets[: len(prompt)] == UNSCORED).all()


def test_a_row_of_prompt_alone_has_no_target_and_does_no_harm(tmp_path):
    """Cut rows of a long prompt score nothing; ΣNLL / Σtargets must not become 0/0."""
    split = corpus(tmp_path / "c", [Document("yes", prompt="word " * 40)]).split("train")
    documents = Documents(split, 8)
    batch = documents.batch(np.array([0]))
    assert batch.scored == 0
    assert documents.batch(np.arange(documents.rows)).scored == len(small().encode("yes")) + 1


def test_labelled_texts_keep_their_label_and_are_cut_and_counted(tmp_path):
    rows = [Document("word " * (n + 1), label="AB"[n % 2]) for n in range(20)]
    made = corpus(tmp_path / "c", rows)
    assert made.manifest["labels"] == ["A", "B"]
    labelled = Labelled(made.split("train"), 12)
    batch = labelled.batch(np.arange(labelled.rows))
    kept = [row for n, row in enumerate(rows) if n % 10 != 9]
    for ids, numbers, label, row in zip(batch.ids, batch.documents, batch.labels, kept, strict=True):
        expected = small().encode(row.text).tolist()[:12]
        assert ids[numbers >= 0].tolist() == expected
        assert "AB"[label] == row.label
    assert labelled.truncated == sum(len(small().encode(row.text)) > 12 for row in kept)


@given(st.lists(st.floats(0.05, 1), min_size=1, max_size=4), st.integers(0, 3))
def test_a_mixture_is_exact_over_every_thousand_places_and_even_in_between(weights, seed):
    mixture = Mixture([Counted(7 + n) for n in range(len(weights))], weights)
    found = mixture.at(np.arange(2000), seed)
    shares = np.array(weights) / sum(weights)
    for begin in (0, 1000):
        counts = np.bincount([source for source, _ in found[begin : begin + 1000]], minlength=len(weights))
        assert np.abs(counts - shares * 1000).max() < 1
    for until in (50, 333, 700):
        counts = np.bincount([source for source, _ in found[:until]], minlength=len(weights))
        assert np.abs(counts - shares * until).max() <= len(weights)


@pytest.mark.parametrize("weights", [[1e-9, 1], [1, 2, 0.001]])
def test_a_weight_too_small_to_be_drawn_at_all_is_refused(weights):
    with pytest.raises(UserError, match=f"source {weights.index(min(weights)) + 1} of the mixture is never drawn"):
        Mixture([Counted(10) for _ in weights], weights)
    Mixture([Counted(10), Counted(10)], [0.001, 0.999])


def test_within_a_mixture_each_source_shows_every_row_once_an_epoch_of_its_own():
    mixture = Mixture([Counted(10), Counted(5)], [2, 1])
    found = mixture.at(np.arange(3000), 1)
    for source, rows in ((0, 10), (1, 5)):
        mine = [row for owner, row in found if owner == source]
        for begin in range(0, len(mine) - rows, rows):
            assert sorted(mine[begin : begin + rows]) == list(range(rows))


def test_a_batch_of_a_mixture_holds_each_sources_rows_in_the_order_of_the_mixture(tmp_path):
    one = Blocks(corpus(tmp_path / "one").split("train"), 16)
    other = Blocks(corpus(tmp_path / "other", [f"Other {n} text." for n in range(40)]).split("train"), 16)
    mixture = Mixture([one, other], [3, 1])
    keys = rows_of_step(mixture, 40, 5, 2)
    batch = mixture.batch(keys)
    for place, (source, row) in enumerate(mixture.at(np.arange(80, 120), 5)):
        alone = (one, other)[source].batch(np.array([row]))
        assert np.array_equal(batch.ids[place], alone.ids[0])
        assert np.array_equal(batch.targets[place], alone.targets[0])
    assert np.array_equal(mixture.lengths(keys), (batch.targets != UNSCORED).sum(axis=1))


@pytest.mark.parametrize("kind", [lambda split: Documents(split, 24), lambda split: Packed(Documents(split, 24))])
def test_a_mixture_of_documents_hides_what_each_source_hides(tmp_path, kind):
    """A short source's rows are padded to those of the others, and nothing sees the padding."""
    short = [Document(f"{n}.", prompt="Answer ") for n in range(30)]
    one = kind(corpus(tmp_path / "one", short).split("train"))
    other = kind(
        corpus(tmp_path / "other", [f"Other {n} text, and a good deal more." for n in range(40)]).split("train")
    )
    mixture = Mixture([one, other], [1, 1])
    batch = mixture.batch(rows_of_step(mixture, 12, 5, 1))
    assert batch.documents is not None
    for place, (source, row) in enumerate(mixture.at(np.arange(12, 24), 5)):
        alone = (one, other)[source].batch(np.array([row]))
        width = alone.ids.shape[1]
        for found, expected, empty in (
            (batch.ids, alone.ids, 0),
            (batch.targets, alone.targets, UNSCORED),
            (batch.documents, alone.documents, -1),
        ):
            assert np.array_equal(found[place, :width], expected[0])
            assert (found[place, width:] == empty).all()


def test_a_mixture_may_give_a_process_no_row_of_a_source_or_none_at_all(tmp_path):
    one = Blocks(corpus(tmp_path / "one").split("train"), 16)
    mixture = Mixture([one, one], [1, 1])
    assert mixture.batch(np.array([], np.int64)).ids.shape == (0, 16)
