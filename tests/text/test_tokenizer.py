"""Text becomes ids and comes back; special tokens in text are plain; nothing broken is ever shown."""

import json
import sys
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpt2lab.core.errors import UserError
from gpt2lab.text import engines, vocabulary
from gpt2lab.text import tokenizer as tokenizers
from gpt2lab.text.tokenizer import Tokenizer
from vocabularies import SAMPLE, small

TEXTS = (
    st.text()
    | st.text(alphabet=st.sampled_from(" \n\taA1!'ß日👍\u200d\u0301\x00"))
    | st.text(st.characters(codec="utf-8"))
)


@given(TEXTS)
def test_any_text_comes_back(text):
    assert small().decode(small().encode(text)) == text


@given(st.lists(TEXTS, max_size=6))
def test_many_at_once_are_the_same_as_one_by_one(texts):
    ids, offsets = small().encode_many(texts)
    assert offsets[0] == 0
    assert offsets[-1] == len(ids)
    for text, begin, end in zip(texts, offsets[:-1], offsets[1:], strict=True):
        assert np.array_equal(ids[begin:end], small().encode(text))


@given(st.text(), st.lists(st.integers(1, 4), min_size=1))
def test_a_stream_never_shows_half_a_character_and_adds_up(text, sizes):
    ids = small().encode(text).tolist()
    stream, shown = small().stream(), []
    while ids:
        for size in sizes:
            shown.append(stream.add(*ids[:size]))
            ids = ids[size:]
    shown.append(stream.finish())
    assert "".join(shown) == text
    if "\ufffd" not in text:
        assert not any("\ufffd" in part for part in shown)


def test_bytes_that_form_no_character_are_shown_as_such():
    snake = "🐍".encode()
    ids = [small().vocabulary.bytes_of.index(bytes([byte])) for byte in snake]
    assert small().decode(ids) == "🐍"
    assert small().decode(ids[:2]) == "\ufffd"
    stream = small().stream()
    assert stream.add(*ids[:2]) == ""
    assert stream.finish() == "\ufffd"


def test_special_tokens_in_text_are_plain_characters_unless_asked_for():
    """A web page that says <|endoftext|> must not end a document."""
    text = "before<|endoftext|>after"
    plain = small().encode(text)
    assert small().end_of_text not in plain
    assert small().decode(plain) == text
    special = small().encode_with_special(text)
    assert np.count_nonzero(special == small().end_of_text) == 1
    assert small().decode(special) == text


def test_end_of_text_is_the_last_id_as_in_gpt2():
    assert small().end_of_text == small().size - 1
    assert small().size == 400


def test_training_twice_gives_the_same_vocabulary():
    assert tokenizers.train([SAMPLE], 400).hash == small().hash
    assert tokenizers.train([SAMPLE], 350).hash != small().hash


@pytest.mark.parametrize("size", [0, 256])
def test_a_vocabulary_without_room_for_every_byte_is_refused(size):
    with pytest.raises(UserError, match="at least 257"):
        tokenizers.train([SAMPLE], size)
    assert tokenizers.train([SAMPLE], 257).size == 257


def two_files(folder, names):
    folder.mkdir()
    spec = small().vocabulary
    (folder / names[0]).write_text(json.dumps(spec.ids))
    merges = "\n".join(f"{a} {b}" for a, b in spec.merges)
    (folder / names[1]).write_text(f"#version: 0.2\n{merges}\n")
    return folder


def saved(folder, _):
    folder.mkdir()
    small().save(folder)
    for name in ("vocab.json", "merges.txt"):
        (folder / name).unlink()
    return folder


@pytest.mark.parametrize(
    ("store", "names"),
    [(two_files, ("encoder.json", "vocab.bpe")), (two_files, ("vocab.json", "merges.txt")), (saved, ())],
    ids=["encoder.json", "vocab.json", "tokenizer.json"],
)
def test_every_stored_form_gives_the_same_ids_and_the_same_hash(tmp_path, store, names):
    found = tokenizers.load(store(tmp_path / "stored", names))
    assert np.array_equal(found.encode(SAMPLE), small().encode(SAMPLE))
    assert found.hash == small().hash
    assert found.end_of_text == small().end_of_text


def test_the_older_form_of_merges_in_tokenizer_json_is_read(tmp_path):
    """Until 2024 a merge was written "a b", since then ["a", "b"]."""
    spec = json.loads(json.dumps(small().vocabulary.spec))
    spec["model"]["merges"] = [" ".join(pair) for pair in small().vocabulary.merges]
    (tmp_path / "tokenizer.json").write_text(json.dumps(spec))
    found = tokenizers.load(tmp_path / "tokenizer.json")
    assert found.hash == small().hash
    assert np.array_equal(found.encode(SAMPLE), small().encode(SAMPLE))


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "no tokenizer here"),
        ({"tokenizer.json": "{"}, "not valid JSON"),
        ({"tokenizer.json": '{"model": {"type": "WordPiece"}}'}, "not a BPE tokenizer"),
        ({"tokenizer.json": '{"model": {"vocab": {}, "merges": []}, "decoder": {"type": "Metaspace"}}'}, "byte-level"),
        (
            {"tokenizer.json": '{"model": {"vocab": {"a": 0}, "merges": []}, "decoder": {"type": "ByteLevel"}}'},
            "end-of-",
        ),
        ({"vocab.json": '{"a": 0}', "merges.txt": ""}, "no end-of-text token"),
        ({"vocab.json": '{"<|endoftext|>": 0, "a": 1}', "merges.txt": "#version: 0.2\na b\n"}, "line 2"),
    ],
)
def test_what_is_no_tokenizer_is_one_clear_line(tmp_path, files, message):
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    with pytest.raises(UserError, match=message):
        tokenizers.load(tmp_path)


def test_lone_surrogates_become_the_replacement_character():
    """JSON can hold half of a surrogate pair; UTF-8 cannot."""
    assert small().decode(small().encode("a\ud83d b")) == "a\ufffd b"
    assert small().decode(small().encode("\ud83d\ude00")) == "😀"


class Wrong(engines.Reference):
    name = "wrong"

    def encode_many(self, texts):
        ids, offsets = super().encode_many(texts)
        return ids[::-1], offsets


def test_a_fast_engine_that_disagrees_is_dropped_loudly(monkeypatch, capsys, tmp_path):
    monkeypatch.setenv("GPT2LAB_HOME", str(tmp_path))
    monkeypatch.setattr(engines, "Fast", Wrong)
    assert engines.choose(small().vocabulary).name == "tokenizers"
    assert "slower engine" in capsys.readouterr().err


def test_without_the_fast_engine_the_reference_does_the_work(monkeypatch):
    monkeypatch.setitem(sys.modules, "fastokens", None)
    assert engines.choose(small().vocabulary).name == "tokenizers"
    assert Tokenizer(small().vocabulary).decode(Tokenizer(small().vocabulary).encode("text")) == "text"


def test_with_the_extra_the_fast_engine_is_chosen():
    assert engines.choose(small().vocabulary).name == "fastokens"


def test_engines_are_compared_once_for_a_vocabulary_and_these_versions(monkeypatch, tmp_path):
    monkeypatch.setenv("GPT2LAB_HOME", str(tmp_path))
    engines.choose(small().vocabulary)
    monkeypatch.setattr(engines, "Fast", Wrong)  # nobody looks again …
    assert isinstance(engines.choose(small().vocabulary), Wrong)
    monkeypatch.setattr(engines, "version", lambda name: "another")  # … until a package changes
    assert not isinstance(engines.choose(small().vocabulary), Wrong)


def test_a_home_that_cannot_be_written_to_costs_a_comparison(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("GPT2LAB_HOME", str(tmp_path / "file"))
    assert engines.choose(small().vocabulary).name == "fastokens"


@given(st.text(alphabet=st.sampled_from("ab .\n1ß"), min_size=20), st.integers(1, 9))
def test_long_texts_may_be_cut_without_changing_an_id(text, size):
    pieces, firsts = engines.cut([text, "", text * 3], size)
    assert ["".join(pieces[a:b]) for a, b in pairwise(firsts)] == [text, "", text * 3]
    reference = engines.Reference(small().vocabulary)
    assert np.array_equal(reference.encode_many(pieces)[0], reference.encode_many([text, "", text * 3])[0])


@given(TEXTS)
def test_both_engines_agree_on_any_text(text):
    reference, fast = engines.Reference(small().vocabulary), engines.Fast(small().vocabulary)
    assert engines.agree(fast, reference, [tokenizers.whole_characters(text)])


def test_bytes_and_letters_are_gpt2s_own_table():
    assert len(vocabulary.BYTE_OF) == 256
    assert vocabulary.BYTE_OF["Ġ"] == ord(" ")
    assert vocabulary.BYTE_OF["Ċ"] == ord("\n")
    assert vocabulary.BYTE_OF["a"] == ord("a")
