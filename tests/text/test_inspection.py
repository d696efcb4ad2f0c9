"""What people see of a corpus: which part is learned, which class a text has, and how to get over damage."""

import numpy as np
import pytest

from corpora import corpus
from gpt2lab.core import files
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


def damaged(path, damage):
    array = np.load(path)
    if damage == "gone":
        path.unlink()
    elif damage == "cut":
        path.write_bytes(path.read_bytes()[:-10])
    elif damage == "empty":
        path.write_bytes(b"")
    else:
        changed = {"another number": [*array[:-1], 10**6], "falling": np.sort(array)[::-1], "fewer": array[:-1]}
        np.save(path, np.array(changed[damage], np.int64))


@pytest.mark.parametrize("hashed", [True, False], ids=["hashed", "made before there were hashes"])
@pytest.mark.parametrize("what", ["starts", "labels"])
@pytest.mark.parametrize("damage", ["another number", "falling", "fewer", "cut", "empty", "gone"])
def test_damage_of_what_says_where_documents_are_and_of_their_classes_is_named(tmp_path, damage, what, hashed):
    corpus(tmp_path / "c", PAIRS)
    if not hashed:
        manifest = files.read_json(tmp_path / "c" / "corpus.json")
        del manifest["documents_sha256"]
        files.write_json(tmp_path / "c" / "corpus.json", manifest)
    damaged(tmp_path / "c" / "documents" / f"train.{what}.npy", damage)
    if (damage, what, hashed) == ("falling", "labels", False):
        return  # classes in another order: nothing but a hash can tell
    with pytest.raises(UserError) as caught:
        inspection.verify(open_corpus(tmp_path / "c"))
    assert caught.value.place.endswith(f"train.{what}.npy")
    assert "prepare it again" in str(caught.value.way_out)


@pytest.mark.parametrize("damage", ["fewer", "cut", "empty", "gone"])
def test_a_look_into_a_damaged_corpus_names_the_damage(tmp_path, damage):
    made = corpus(tmp_path / "c", PAIRS)
    damaged(tmp_path / "c" / "documents" / "train.starts.npy", damage)
    with pytest.raises(UserError, match=r"train\.starts\.npy"):
        inspection.statistics(made.split("train"), made.vocabulary)
    with pytest.raises(UserError, match=r"train\.starts\.npy"):
        inspection.preview(made, "train", 1, 10)


def test_a_shard_without_tokens_is_sound(tmp_path):
    made = corpus(tmp_path / "c")
    np.save(tmp_path / "c" / "empty.npy", np.empty(0, np.uint16))
    about = {"file": "empty.npy", "tokens": 0, "sha256": files.sha256(tmp_path / "c" / "empty.npy")}
    made.manifest["splits"]["train"]["shards"].append(about)
    assert inspection.verify(made) == 3
