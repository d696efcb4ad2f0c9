"""Training text that holds evaluation text is counted, listed, and left out where that is asked for."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpt2lab.core.errors import UserError
from gpt2lab.text import contamination
from gpt2lab.text.prepare import prepare
from gpt2lab.text.settings import PrepareSettings
from vocabularies import small

WORDS = [f"word{number}" for number in range(60)]


@given(st.integers(0, 30), st.integers(0, 30))
def test_two_texts_share_a_run_exactly_when_thirteen_words_in_a_row_are_the_same(start, length):
    known = {"one": frozenset(contamination.runs(" ".join(WORDS))), "other": frozenset([1])}
    text = " ".join(["before", *WORDS[start : start + length], "after"])
    assert contamination.hit(text, known) == (["one"] if length >= contamination.RUN else [])


def test_case_and_punctuation_do_not_hide_a_copy():
    known = {"set": frozenset(contamination.runs(" ".join(WORDS[:13])))}
    assert contamination.hit(", ".join(WORDS[:13]).upper() + "!", known) == ["set"]


def test_a_text_in_several_pieces_is_kept_whole_and_that_is_said(tmp_path, capsys, monkeypatch):
    """Only its first piece was left out once, and the rest went to the document before it."""
    monkeypatch.setattr("gpt2lab.text.sources.PIECE_BYTES", 400)
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "a.txt").write_text("A short text before.")
    (tmp_path / "texts" / "b.txt").write_text(" ".join(WORDS[10:30]) + " and more" * 100)
    (tmp_path / "evaluation.txt").write_text(" ".join(WORDS))
    (tmp_path / "tokenizer").mkdir()
    small().save(tmp_path / "tokenizer")
    settings = PrepareSettings(validation=0, contamination=(str(tmp_path / "evaluation.txt"),), drop_contaminated=True)
    corpus = prepare(str(tmp_path / "texts"), tmp_path / "c", str(tmp_path / "tokenizer"), settings)
    assert corpus.manifest["splits"]["train"]["documents"] == 2
    assert "too long to be left out" in capsys.readouterr().err
    train = corpus.split("train")
    text = corpus.tokenizer().decode(train.read(0, train.tokens))
    assert "word10" in text
    assert text.count(" and more") == 100


@pytest.mark.parametrize("drop", [False, True])
@pytest.mark.parametrize("workers", [1, 2])
def test_contaminated_documents_are_counted_and_listed_or_left_out(tmp_path, drop, workers, capsys):
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
    assert found["places"] == ["train.jsonl, row 6"]
    assert reason.endswith(str(tmp_path / "evaluation.txt"))
    warned = capsys.readouterr().err
    assert "train.jsonl, row 6" in warned
    assert str(tmp_path / "evaluation.txt") in warned
    assert corpus.manifest["splits"]["train"]["documents"] == (5 if drop else 6)
    assert (reason in corpus.manifest["left_out"]) is drop


COPIED = " ".join(WORDS[:20])
EVALUATION_SETS = {
    "text.jsonl": json.dumps({"text": COPIED}),
    "pairs.jsonl": json.dumps({"prompt": COPIED, "completion": "short"}),
    "classes.jsonl": json.dumps({"sentence": COPIED, "label": 1, "note": None}),
    "choices.json": json.dumps([{"number": 1}, {"question": "short", "context": COPIED}]),
    "headed.csv": f'question,answer\nshort,"{COPIED}"\n',
    "headless.csv": f'1,"{COPIED}",short\n',
    "plain.txt": COPIED,
}


@pytest.mark.parametrize("name", EVALUATION_SETS)
def test_every_column_of_an_evaluation_set_that_holds_text_is_compared(tmp_path, name):
    (tmp_path / "train.txt").write_text("Before. " + COPIED)
    (tmp_path / name).write_text(EVALUATION_SETS[name])
    settings = PrepareSettings(validation=0, contamination=(str(tmp_path / name),), vocabulary=300)
    corpus = prepare(str(tmp_path / "train.txt"), tmp_path / "c", "builtin", settings)
    ((_, found),) = corpus.manifest["contaminated"].items()
    assert found == {"count": 1, "places": ["train.txt"]}


def test_evaluation_rows_that_cannot_be_compared_are_said(tmp_path, capsys):
    (tmp_path / "train.txt").write_text("Some text.")
    (tmp_path / "test.jsonl").write_text('{"text": "fine"}\nno json\n')
    settings = PrepareSettings(validation=0, contamination=(str(tmp_path / "test.jsonl"),), vocabulary=300)
    prepare(str(tmp_path / "train.txt"), tmp_path / "c", "builtin", settings)
    warned = capsys.readouterr().err
    assert "1 document not compared" in warned
    assert "test.jsonl, row 2" in warned


def test_an_evaluation_set_that_has_changed_is_compared_anew(tmp_path):
    (tmp_path / "train.txt").write_text("Before. " + COPIED)
    (tmp_path / "test.txt").write_text("Something else.")
    settings = PrepareSettings(validation=0, contamination=(str(tmp_path / "test.txt"),), vocabulary=300)
    prepare(str(tmp_path / "train.txt"), tmp_path / "c", "builtin", settings)
    (tmp_path / "test.txt").write_text(COPIED)
    with pytest.raises(UserError, match=f"another corpus is here: 1 of 1 file changed: {tmp_path / 'test.txt'}\n"):
        prepare(str(tmp_path / "train.txt"), tmp_path / "c", "builtin", settings)


def test_a_corpus_from_before_evaluation_sets_were_described_is_found_as_it_was(tmp_path, capsys):
    (tmp_path / "train.txt").write_text("Before. " + COPIED)
    (tmp_path / "test.txt").write_text(COPIED)
    settings = PrepareSettings(validation=0, contamination=(str(tmp_path / "test.txt"),), vocabulary=300)
    corpus = prepare(str(tmp_path / "train.txt"), tmp_path / "c", "builtin", settings)
    older = {key: value for key, value in corpus.manifest.items() if key != "evaluation_sets"}
    (tmp_path / "c" / "corpus.json").write_text(json.dumps(older))
    prepare(str(tmp_path / "train.txt"), tmp_path / "c", "builtin", settings)
    assert "already prepared" in capsys.readouterr().out


def test_a_corpus_is_no_evaluation_set_and_its_text_is_named_instead(tmp_path):
    (tmp_path / "test.txt").write_text(COPIED)
    prepare(str(tmp_path / "test.txt"), tmp_path / "test", "builtin", PrepareSettings(validation=0, vocabulary=300))
    settings = PrepareSettings(validation=0, contamination=(str(tmp_path / "test"),), vocabulary=300)
    with pytest.raises(UserError, match="this is a corpus, and no text") as caught:
        prepare(str(tmp_path / "test.txt"), tmp_path / "c", "builtin", settings)
    assert "name the text that it was made from" in str(caught.value.way_out)
    assert not (tmp_path / ".c.preparing").exists()
