"""A corpus holds every token of every document, whatever its shards, and says when it does not."""

import json

import numpy as np
import pytest

from corpora import SENTENCES, corpus
from gpt2lab.core.errors import UserError
from gpt2lab.text.corpus import open_corpus
from vocabularies import small


def stream(texts):
    return np.concatenate([[small().end_of_text, *small().encode(text)] for text in texts])


TRAIN = [text for index, text in enumerate(SENTENCES) if index % 10 != 9]


@pytest.mark.parametrize("shard_tokens", [7, 100, 10**8])
def test_the_stream_is_every_document_after_an_end_of_text_whatever_the_shards(tmp_path, shard_tokens):
    corpus(tmp_path / "c", shard_tokens=shard_tokens)
    split = open_corpus(tmp_path / "c").split("train")
    expected = stream(TRAIN)
    assert np.array_equal(split.read(0, split.tokens), expected)
    assert np.array_equal(expected[split.starts], np.full(len(TRAIN), small().end_of_text))
    assert all(len(shard) == shard_tokens for shard in split.shards[:-1])
    assert all(shard.dtype == np.uint16 for shard in split.shards)
    for start, stop in [(0, 1), (5, 23), (6, 7), (99, 101), (split.tokens - 3, split.tokens)]:
        assert np.array_equal(split.read(start, stop), expected[start:stop])


def test_the_manifest_counts_documents_tokens_bytes_and_words(tmp_path):
    corpus(tmp_path / "c")
    manifest = json.loads((tmp_path / "c" / "corpus.json").read_text())["splits"]["train"]
    assert manifest["documents"] == len(TRAIN)
    assert manifest["tokens"] == len(stream(TRAIN))
    assert manifest["bytes"] == sum(len(text.encode()) for text in TRAIN)
    assert manifest["words"] == sum(len(text.split()) for text in TRAIN)


def test_numpy_alone_opens_a_shard(tmp_path):
    corpus(tmp_path / "c")
    assert np.array_equal(np.load(tmp_path / "c" / "train-00000.npy"), stream(TRAIN))


@pytest.mark.parametrize("damage", ["cut", "other", "gone"])
def test_a_truncated_swapped_or_missing_shard_is_named(tmp_path, damage):
    corpus(tmp_path / "c")
    shard = tmp_path / "c" / "train-00000.npy"
    if damage == "cut":
        shard.write_bytes(shard.read_bytes()[:-10])
    elif damage == "other":
        shard.write_bytes((tmp_path / "c" / "validation-00000.npy").read_bytes())
    else:
        shard.unlink()
    with pytest.raises(UserError, match="shard") as caught:
        _ = open_corpus(tmp_path / "c").split("train").shards
    assert "train-00000.npy" in str(caught.value)


def test_its_hash_follows_its_content(tmp_path):
    one, same, other = (corpus(tmp_path / name, texts) for name, texts in zip("abc", [None, None, SENTENCES[1:]]))
    assert one.hash == same.hash != other.hash


def test_a_folder_that_is_no_corpus_and_a_split_that_is_not_there(tmp_path):
    with pytest.raises(UserError, match="no corpus here"):
        open_corpus(tmp_path)
    with pytest.raises(UserError, match="no split 'test'"):
        corpus(tmp_path / "c").split("test")


@pytest.mark.parametrize(
    "manifest", [{"format": 1}, {"format": 1, "source": {}, "tokenizer": {}, "splits": {"train": {}}}]
)
def test_a_manifest_that_lacks_something_is_named(tmp_path, manifest):
    (tmp_path / "corpus.json").write_text(json.dumps(manifest))
    with pytest.raises(UserError, match=r"corpus\.json") as caught:
        open_corpus(tmp_path)
    assert "prepare it again" in str(caught.value.way_out)
