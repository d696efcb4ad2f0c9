"""Training text that holds evaluation text is counted, listed, and left out where that is asked for."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpt2lab.text import contamination
from gpt2lab.text.prepare import prepare
from gpt2lab.text.settings import PrepareSettings
from vocabularies import small

WORDS = [f"word{number}" for number in range(60)]


@given(st.integers(0, 30), st.integers(0, 30))
def test_two_texts_share_a_run_exactly_when_thirteen_words_in_a_row_are_the_same(start, length):
    known = frozenset(contamination.runs(" ".join(WORDS)))
    text = " ".join(["before", *WORDS[start : start + length], "after"])
    assert contamination.shared(text, known) == max(0, length - contamination.RUN + 1)


def test_case_and_punctuation_do_not_hide_a_copy():
    known = frozenset(contamination.runs(" ".join(WORDS[:13])))
    assert contamination.shared(", ".join(WORDS[:13]).upper() + "!", known) == 1


@pytest.mark.parametrize("drop", [False, True])
@pytest.mark.parametrize("workers", [1, 2])
def test_contaminated_documents_are_counted_and_listed_or_left_out(tmp_path, drop, workers):
    copied = "Here stands " + " ".join(WORDS[10:30])
    texts = [f"clean text number {number}" for number in range(5)] + [copied]
    (tmp_path / "train.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    (tmp_path / "evaluation.txt").write_text(" ".join(WORDS))
    (tmp_path / "tokenizer").mkdir()
    small().save(tmp_path / "tokenizer")
    settings = PrepareSettings(validation=0, contamination=(str(tmp_path / "evaluation.txt"),), drop_contaminated=drop)
    corpus = prepare(
        str(tmp_path / "train.jsonl"), tmp_path / "c", str(tmp_path / "tokenizer"), settings, workers=workers
    )
    ((reason, found),) = corpus.manifest["contaminated"].items()
    assert found["count"] == 1
    assert "Here stands" in found["places"][0]
    assert corpus.manifest["splits"]["train"]["documents"] == (5 if drop else 6)
    assert (reason in corpus.manifest["left_out"]) is drop
