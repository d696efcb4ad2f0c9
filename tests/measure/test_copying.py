"""What stands in the training set word for word, against a brute force, across shards and stretches."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpora import SENTENCES, corpus
from gpt2lab.measure import copying
from gpt2lab.measure.copying import SHORTEST
from gpt2lab.text.corpus import Split
from vocabularies import small


class InMemory(Split):
    """A split that holds its tokens itself."""

    def __init__(self, ids):
        super().__init__(Path(), "train", {"tokens": len(ids)})
        object.__setattr__(self, "ids", np.array(ids, np.int64))

    def read(self, start, stop):
        return self.ids[start:stop]


def brute_force(text, corpus_ids):
    """From each place of the text on, the longest match in the corpus; 0 below eight tokens."""
    found = []
    for start in range(len(text)):
        best = 0
        for place in range(len(corpus_ids)):
            length = 0
            while (
                start + length < len(text)
                and place + length < len(corpus_ids)
                and text[start + length] == corpus_ids[place + length]
            ):
                length += 1
            best = max(best, length)
        found.append(best if best >= SHORTEST else 0)
    return found


@st.composite
def copied_texts(draw):
    """Few different tokens, and texts put together from parts of the corpus, so that matches are many and long."""
    corpus_ids = draw(st.lists(st.integers(0, 2), min_size=10, max_size=120))
    texts = []
    for _ in range(draw(st.integers(1, 3))):
        text = draw(st.lists(st.integers(0, 2), max_size=12))
        for _ in range(draw(st.integers(0, 3))):
            start = draw(st.integers(0, len(corpus_ids) - 1))
            text += corpus_ids[start : start + draw(st.integers(1, 40))]
        texts.append(text)
    return corpus_ids, texts


@settings(max_examples=60)
@given(copied_texts(), st.sampled_from([1, 3, 11, 64, 10_000]), st.sampled_from([1, 7, 10_000]))
def test_every_match_is_the_brute_forces_for_any_stretch_and_any_memory(found, stretch, most_pairs):
    corpus_ids, texts = found
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(copying, "STRETCH", stretch)
        patch.setattr(copying, "MOST_PAIRS", most_pairs)
        copied = copying.find([np.array(text, np.int64) for text in texts], InMemory(corpus_ids))
    for one, text in zip(copied, texts, strict=True):
        assert one.matches.tolist() == brute_force(text, corpus_ids)
        for passage in one.passages:
            length = passage.stop - passage.start
            assert length >= SHORTEST
            assert text[passage.start : passage.stop] == corpus_ids[passage.source : passage.source + length]
        covered = {place for passage in one.passages for place in range(passage.start, passage.stop)}
        starts = np.flatnonzero(one.matches)
        assert covered == {place for start in starts for place in range(start, start + one.matches[start])}
        for n in (8, 13):
            places = range(len(text) - n + 1)
            inside = [
                any(text[start : start + n] == corpus_ids[at : at + n] for at in range(len(corpus_ids)))
                for start in places
            ]
            assert one.share(n) == (pytest.approx(np.mean(inside)) if inside else None)


def test_a_hash_that_collides_never_counts(monkeypatch):
    monkeypatch.setattr(copying, "hashed", lambda ids: np.zeros(max(0, len(ids) - SHORTEST + 1), np.uint64))
    corpus_ids = np.random.default_rng(1).integers(0, 50, 200)
    text = np.concatenate([np.arange(50, 70), corpus_ids[30:42], np.arange(70, 80)])
    copied = copying.find([text], InMemory(corpus_ids))[0]
    assert copied.passages == [copying.Passage(20, 32, 30)]
    assert copied.longest == 12


@pytest.mark.parametrize("shard_tokens", [10**8, 100])
def test_a_text_made_by_copying_is_found_whole_across_shards(tmp_path, shard_tokens):
    made = corpus(tmp_path / "c", shard_tokens=shard_tokens)
    split = made.split("train")
    assert len(split.shards) > 1 or shard_tokens > 100
    texts = [small().encode(SENTENCES[number]).astype(np.int64) for number in (0, 5, 52)]
    for copied, text in zip(copying.find(texts, split), texts):
        assert copied.longest == len(text)
        assert copied.share(8) == copied.share(13) == 1
        (passage,) = copied.passages
        assert (passage.start, passage.stop) == (0, len(text))
        assert split.read(passage.source, passage.source + len(text)).tolist() == text.tolist()


def test_short_and_new_texts_have_nothing_copied(tmp_path):
    split = corpus(tmp_path / "c").split("train")
    nothing, short, new = copying.find([np.arange(0), np.arange(7), np.arange(100, 140)], split)
    assert nothing.share(8) is short.share(8) is None
    assert new.share(8) == 0
    assert [copied.longest for copied in (nothing, short, new)] == [0, 0, 0]
    assert copying.find([], split) == []
