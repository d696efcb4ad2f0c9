"""What people see of a corpus: which part is learned, which class a text has, and how to get over damage."""

import pytest

from corpora import corpus
from gpt2lab.core.errors import UserError
from gpt2lab.text import inspection
from gpt2lab.text.corpus import open_corpus
from gpt2lab.text.documents import Document

PAIRS = [Document(f" answer {number}", f"Question {number}?", "odd" if number % 2 else "even") for number in range(20)]


def test_a_preview_marks_where_the_learned_part_begins_and_names_the_class(tmp_path):
    shown = inspection.preview(corpus(tmp_path / "c", PAIRS), "train", 2, 100)
    for number, found in enumerate(shown):
        read, learned = found["text"].split(inspection.LEARNED)
        assert read.replace(inspection.BORDER, "") == f"<|endoftext|>Question {number}?"
        assert learned.replace(inspection.BORDER, "") == f" answer {number}"
    assert [found["class"] for found in shown] == ["even", "odd"]


def test_without_prompts_a_preview_marks_tokens_alone(tmp_path):
    (shown,) = inspection.preview(corpus(tmp_path / "c"), "train", 1, 10)
    assert inspection.LEARNED not in shown["text"]
    assert shown["text"].count(inspection.BORDER) == 9
    assert "class" not in shown


def test_classes_are_counted_in_each_split(tmp_path):
    assert inspection.classes(corpus(tmp_path / "c", PAIRS)) == {"even": [10, 0], "odd": [8, 2]}
    assert inspection.classes(corpus(tmp_path / "d")) == {}


@pytest.mark.parametrize("damage", ["changed", "cut", "gone"])
def test_damage_is_named_with_what_helps(tmp_path, damage):
    """`prepare` alone would find a finished corpus and do nothing."""
    corpus(tmp_path / "c")
    shard = tmp_path / "c" / "train-00000.npy"
    content = bytearray(shard.read_bytes())
    content[-1] ^= 1
    if damage == "gone":
        shard.unlink()
    else:
        shard.write_bytes(content if damage == "changed" else content[:-10])
    with pytest.raises(UserError, match="shard") as caught:
        inspection.verify(open_corpus(tmp_path / "c"))
    assert "remove" in str(caught.value.way_out)
    assert "prepare it again" in str(caught.value.way_out)
