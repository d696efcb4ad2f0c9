"""Shards that others tokenised are checked and used as they lie."""

from pathlib import Path

import numpy as np
import pytest

from gpt2lab.core.errors import UserError
from gpt2lab.text import inspection
from gpt2lab.text.adopt import split_of
from gpt2lab.text.corpus import open_corpus
from gpt2lab.text.prepare import prepare
from gpt2lab.text.settings import ColumnSettings, PrepareSettings
from vocabularies import small

END = small().end_of_text
TEXTS = ["first document", "the second one", "a third", "and a fourth document"]
STREAM = np.concatenate([[END, *small().encode(text)] for text in TEXTS]).astype(np.uint16)


@pytest.fixture
def tokenizer(tmp_path):
    (tmp_path / "tokenizer").mkdir()
    small().save(tmp_path / "tokenizer")
    return str(tmp_path / "tokenizer")


@pytest.fixture
def shards(tmp_path):
    (tmp_path / "shards").mkdir()
    return tmp_path / "shards"


def llmc(path, ids):
    header = np.zeros(256, "<i4")
    header[:3] = 20240520, 1, len(ids)
    path.write_bytes(header.tobytes() + ids.astype("<u2").tobytes())


WRITERS = {
    ".npy": np.save,
    ".bin of nanoGPT": lambda path, ids: ids.tofile(path),
    ".bin of llm.c": llmc,
}


@pytest.mark.parametrize("kind", WRITERS)
def test_every_form_gives_the_same_stream_without_a_copy(tmp_path, shards, tokenizer, kind):
    suffix = kind.split()[0]
    WRITERS[kind](shards / f"edu_train_000001{suffix}", STREAM[:9])
    WRITERS[kind](shards / f"edu_train_000002{suffix}", STREAM[9:])
    WRITERS[kind](shards / f"edu_val_000000{suffix}", STREAM)
    prepare(str(shards), tmp_path / "corpus", tokenizer, PrepareSettings())
    corpus = open_corpus(tmp_path / "corpus")
    train, validation = corpus.split("train"), corpus.split("validation")
    assert np.array_equal(train.read(0, train.tokens), STREAM)
    assert np.array_equal(validation.starts, np.flatnonzero(STREAM == END))
    assert train.manifest["documents"] == len(TEXTS)
    assert train.manifest["bytes"] == sum(len(text) for text in TEXTS)
    assert not list((tmp_path / "corpus").glob("*.npy"))
    assert inspection.verify(corpus) == 3
    assert inspection.statistics(train, corpus.vocabulary)["documents"] == len(TEXTS)


@pytest.mark.parametrize("text", ["notes.txt", "inner/rows.jsonl"])
def test_texts_and_shards_in_one_folder_are_refused_with_what_tells_them_apart(tmp_path, shards, tokenizer, text):
    np.save(shards / "vectors.npy", STREAM)
    (shards / text).parent.mkdir(exist_ok=True)
    (shards / text).write_text("A text that must not vanish.")
    with pytest.raises(UserError, match=f"texts and token shards lie here together: {text} and vectors.npy"):
        prepare(str(shards), tmp_path / "corpus", tokenizer, PrepareSettings())


def test_what_has_no_effect_on_shards_is_said_in_one_line(tmp_path, shards, tokenizer, capsys):
    np.save(shards / "train.npy", STREAM)
    np.save(shards / "val.npy", STREAM)
    settings, columns = PrepareSettings(validation=0.2, deduplicate=True), ColumnSettings(text=("body",))
    for _ in range(2):
        prepare(str(shards), tmp_path / "corpus", tokenizer, settings, columns=columns, local=tmp_path)
        assert capsys.readouterr().err.count("warning: ") == 1
    prepare(str(shards), tmp_path / "other", tokenizer, settings, columns=columns, local=tmp_path)
    said = capsys.readouterr().err
    assert "without effect on shards" in said
    assert ": prepare.validation, prepare.deduplicate, data.text, --from\n" in said


def test_shards_without_validation_are_warned_of_as_other_corpora_are(tmp_path, shards, tokenizer, capsys):
    np.save(shards / "train.npy", STREAM)
    for _ in range(2):
        prepare(str(shards), tmp_path / "corpus", tokenizer, PrepareSettings())
        assert "there is no validation split: no shard is named for it" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["builtin", "own"])
def test_no_tokenizer_is_trained_for_shards(tmp_path, shards, name):
    np.save(shards / "train.npy", STREAM)
    with pytest.raises(UserError, match="have a tokenizer already") as caught:
        prepare(str(shards), tmp_path / "corpus", name, PrepareSettings())
    assert "--tokenizer FOLDER" in str(caught.value.way_out)
    assert "builtin" not in str(caught.value.way_out)


def test_a_read_me_beside_shards_is_none_of_their_texts(tmp_path, shards, tokenizer):
    np.save(shards / "train.npy", STREAM)
    (shards / "README.md").write_text("How these shards were made.")
    assert prepare(str(shards), tmp_path / "corpus", tokenizer, PrepareSettings()).splits == ["train"]


def test_prepared_again_it_is_found_finished(tmp_path, shards, tokenizer, capsys):
    np.save(shards / "edu_train_000001.npy", STREAM)
    np.save(shards / "edu_val_000000.npy", STREAM)
    for _ in range(2):
        prepare(str(shards), tmp_path / "corpus", tokenizer, PrepareSettings())
    said = capsys.readouterr()
    assert "already prepared" in said.out
    assert "warning" not in said.err


def test_an_end_of_text_after_each_document_is_understood_too(tmp_path, shards, tokenizer):
    """nanoGPT's own data puts it there."""
    np.roll(STREAM, -1).tofile(shards / "train.bin")
    prepare(str(shards), tmp_path / "corpus", tokenizer, PrepareSettings())
    assert len(open_corpus(tmp_path / "corpus").split("train").starts) == len(TEXTS)


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        (np.array([END, 5, 60_000], np.uint16), "token id 60,000 does not exist"),
        (np.array([1, 2, 3], np.uint16), "no end-of-text"),
        (np.array([[1, 2], [3, 4]], np.uint16), "not a shard of tokens"),
        (np.array([0.5, 1.5]), "not a shard of tokens"),
    ],
)
def test_shards_of_another_tokenizer_or_of_no_tokens_are_refused(tmp_path, shards, tokenizer, ids, message):
    np.save(shards / "train.npy", ids)
    with pytest.raises(UserError, match=message):
        prepare(str(shards), tmp_path / "corpus", tokenizer, PrepareSettings())
    assert not (tmp_path / "corpus").exists()


def test_a_shard_cut_short_is_named_when_adopted_and_when_opened_later(tmp_path, shards, tokenizer):
    llmc(shards / "train.bin", STREAM)
    prepare(str(shards), tmp_path / "corpus", tokenizer, PrepareSettings())
    (shards / "train.bin").write_bytes((shards / "train.bin").read_bytes()[:-4])
    with pytest.raises(UserError, match=r"not the one that was written"):
        _ = open_corpus(tmp_path / "corpus").split("train").shards
    with pytest.raises(UserError, match="damaged or cut short"):
        prepare(str(shards), tmp_path / "other", tokenizer, PrepareSettings())


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("retrieval_train_000001.bin", "train"),
        ("latest-000000.npy", "train"),
        ("contest_train.bin", "train"),
        ("fineweb_val_000000.bin", "validation"),
        ("validation.npy", "validation"),
        ("test_1.bin", "test"),
        ("shard_000003.npy", "train"),
    ],
)
def test_the_split_is_a_word_of_the_name(name, split):
    assert split_of(Path(name)) == split
