"""`prepare`: every source, split so that no document is on both sides, done once, nothing lost in silence."""

import json
import lzma
import os
from pathlib import Path

import numpy as np
import pytest

from gpt2lab.core.errors import UserError
from gpt2lab.text import builtin, named, routing
from gpt2lab.text import tokenizer as tokenizers
from gpt2lab.text.corpus import open_corpus
from gpt2lab.text.prepare import prepare
from gpt2lab.text.settings import ColumnSettings, PrepareSettings
from vocabularies import SAMPLE, small

SMALL = PrepareSettings(vocabulary=300)


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tokenizer") / "small"
    folder.mkdir()
    small().save(folder)
    return str(folder)


@pytest.fixture(scope="module")
def docs():
    return [document.text for document in builtin.documents("docs")]


def words(corpus, name):
    split = corpus.split(name)
    ends = np.append(split.starts[1:], split.tokens)
    return [small().decode(split.read(int(a) + 1, int(b))) for a, b in zip(split.starts, ends)]


def test_builtin_docs_are_real_english_and_about_half_a_million_tokens(docs):
    text = "\n\n".join(docs)
    found = text.lower().split()
    assert 300 < len(docs) < 3000
    assert 1_200_000 < len(text) < 4_000_000
    assert 0.04 < sum(word == "the" for word in found) / len(found) < 0.09
    assert ">>>" not in text


def test_builtin_docs_are_the_same_every_time(docs):
    assert [document.text for document in builtin.documents("docs")] == docs


@pytest.mark.parametrize("name", builtin.NAMES)
def test_every_builtin_set_becomes_a_corpus(tmp_path, tokenizer, name):
    corpus = prepare(f"builtin:{name}", tmp_path / "c", tokenizer, PrepareSettings())
    assert {"train", "validation"} <= set(corpus.splits)
    assert bool(corpus.manifest["labels"]) is (name == "topics")


def rows(path, texts):
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    return str(path)


TEXTS = [f"Document number {number}. {SAMPLE[number : number + 60]}" for number in range(400)]


def test_no_document_is_on_both_sides_and_all_are_somewhere(tmp_path, tokenizer):
    settings = PrepareSettings(validation=0.2, test=0.1)
    corpus = prepare(rows(tmp_path / "a.jsonl", TEXTS), tmp_path / "c", tokenizer, settings)
    found = {name: words(corpus, name) for name in ("train", "validation", "test")}
    assert sorted(text for texts in found.values() for text in texts) == sorted(TEXTS)
    for name, share in (("train", 0.7), ("validation", 0.2), ("test", 0.1)):
        assert len(found[name]) / len(TEXTS) == pytest.approx(share, abs=0.06)


def test_the_split_of_a_document_depends_on_its_text_alone(tmp_path, tokenizer):
    """More rows, another order, another file: whoever was validation stays validation."""
    settings = PrepareSettings(validation=0.2)
    one = prepare(rows(tmp_path / "a.jsonl", TEXTS[:200]), tmp_path / "c", tokenizer, settings)
    other = prepare(rows(tmp_path / "b.jsonl", TEXTS[::-1]), tmp_path / "d", tokenizer, settings)
    assert set(words(one, "validation")) <= set(words(other, "validation"))


def test_the_first_shard_is_validation_where_that_is_asked_for(tmp_path, tokenizer):
    """As published scripts do it: by position, in the middle of a document if need be."""
    settings = PrepareSettings(validation="first-shard", shard_tokens=1000)
    corpus = prepare(rows(tmp_path / "a.jsonl", TEXTS), tmp_path / "c", tokenizer, settings)
    stream = np.concatenate([[small().end_of_text, *small().encode(text)] for text in TEXTS])
    validation, train = corpus.split("validation"), corpus.split("train")
    assert validation.tokens == 1000
    assert np.array_equal(validation.read(0, 1000), stream[:1000])
    assert np.array_equal(train.read(0, train.tokens), stream[1000:])


@pytest.mark.parametrize("share", [0.05, 0.2])
def test_fewer_than_a_hundred_documents_are_cut_at_a_paragraph_near_the_end_and_it_is_said(
    tmp_path, tokenizer, capsys, share
):
    book = "".join(f"Paragraph {number} of the book.\nIt has two lines.\n\n" for number in range(900))
    (tmp_path / "book.txt").write_text(book)
    corpus = prepare(str(tmp_path / "book.txt"), tmp_path / "c", tokenizer, PrepareSettings(validation=share))
    (train,), (validation,) = words(corpus, "train"), words(corpus, "validation")
    assert train + validation == book
    assert validation.startswith("Paragraph")
    assert share - 0.01 < len(validation) / len(book) < share + 0.01
    said = capsys.readouterr().out
    assert "fewer than 100 documents" in said
    assert "cut in two and counts on both sides" in said
    for name, text in (("train", train), ("validation", validation)):
        manifest = corpus.manifest["splits"][name]
        assert (manifest["bytes"], manifest["words"]) == (len(text.encode()), len(text.split()))


@pytest.mark.parametrize("piece_bytes", [1 << 24, 3_000])
@pytest.mark.parametrize("books", [1, 7])
def test_of_fewer_than_a_hundred_documents_the_end_is_test_and_what_stands_before_it_validation(
    tmp_path, tokenizer, capsys, monkeypatch, books, piece_bytes
):
    monkeypatch.setattr("gpt2lab.text.sources.PIECE_BYTES", piece_bytes)
    paragraphs = [f"Paragraph {number} of the book.\nIt has two lines.\n\n" for number in range(910)]
    texts = ["".join(paragraphs[number::books]) for number in range(books)]
    for number, text in enumerate(texts):
        (tmp_path / f"{number}.txt").write_text(text)
    settings = PrepareSettings(validation=0.1, test=0.2)
    corpus = prepare(str(tmp_path / "*.txt"), tmp_path / "c", tokenizer, settings)
    found = {name: "".join(words(corpus, name)) for name in ("train", "validation", "test")}
    assert "".join(found.values()) == "".join(texts)
    for name, share in (("train", 0.7), ("validation", 0.1), ("test", 0.2)):
        assert found[name].startswith("Paragraph")
        assert len(found[name]) / len("".join(texts)) == pytest.approx(share, abs=0.01)
        manifest = corpus.manifest["splits"][name]
        assert (manifest["bytes"], manifest["words"]) == (len(found[name].encode()), len(found[name].split()))
    assert "validation and test are chosen by position" in capsys.readouterr().out


REPEATED = [f"{text} The end.\n" for text in TEXTS[:50] + TEXTS[:20] + TEXTS[40:50]]


@pytest.mark.parametrize(
    "settings", [PrepareSettings(), PrepareSettings(validation="first-shard", shard_tokens=400)], ids=["last", "first"]
)
def test_a_text_on_both_sides_is_warned_of_where_position_decides(tmp_path, tokenizer, capsys, settings):
    source = rows(tmp_path / "a.jsonl", REPEATED)
    corpus = prepare(source, tmp_path / "c", tokenizer, settings)
    train = words(corpus, "train")
    both = sum(any(other.startswith(text) for other in train) for text in words(corpus, "validation"))
    assert both > 1
    assert corpus.manifest["held_out_and_in_train"] == both
    warned = capsys.readouterr().err
    assert f"the texts of {both} held-out documents" in warned
    assert "prepare.deduplicate=true" in warned
    clean = prepare(source, tmp_path / "d", tokenizer, settings.model_copy(update={"deduplicate": True}))
    assert clean.manifest["held_out_and_in_train"] == 0
    assert not set(words(clean, "train")) & set(words(clean, "validation"))


def test_a_text_on_both_sides_is_warned_of_where_the_source_decides(tmp_path, tokenizer, capsys):
    items = {"train": TEXTS[:30] * 2, "test": TEXTS[28:40]}
    for split, texts in items.items():
        lines = [json.dumps({"text": text, "label": number % 30 % 4}) for number, text in enumerate(texts)]
        (tmp_path / f"{split}.jsonl").write_text("\n".join(lines))
    corpus = prepare("ag-news", tmp_path / "c", tokenizer, PrepareSettings(), local=tmp_path)
    assert corpus.manifest["held_out_and_in_train"] == 2
    assert "the texts of 2 held-out documents" in capsys.readouterr().err


def test_a_text_that_is_held_out_by_the_source_stays_there_and_its_repeats_leave_train(tmp_path, tokenizer, capsys):
    (tmp_path / "wiki.train.raw").write_text(" = One = \n\n Some text .\n = Two = \n\n More text .\n")
    (tmp_path / "wiki.valid.raw").write_text(" = Three = \n\n Other text .\n = Two = \n\n More text .\n")
    (tmp_path / "wiki.test.raw").write_text(" = Two = \n\n More text .\n")
    settings = PrepareSettings(deduplicate=True)
    corpus = prepare("wikitext-2", tmp_path / "c", tokenizer, settings, local=tmp_path)
    titles = {name: [text.split()[1] for text in words(corpus, name)] for name in corpus.splits}
    assert titles == {"train": ["One"], "validation": ["Three"], "test": ["Two"]}
    assert "2 documents left out: the same text is held out" in capsys.readouterr().err


def test_a_split_of_which_nothing_is_left_is_said(tmp_path, tokenizer, capsys):
    for split in ("train", "valid", "test"):
        (tmp_path / f"wiki.{split}.raw").write_text(f" = {split[0] == 'v'} = \n\n Some text .\n")
    settings = PrepareSettings(deduplicate=True)
    corpus = prepare("wikitext-2", tmp_path / "c", tokenizer, settings, local=tmp_path)
    assert corpus.splits == ["validation", "test"]
    assert "there is no train split: nothing is left of what the source has for it" in capsys.readouterr().err


def test_where_a_hash_decides_repeats_are_on_one_side_and_nothing_is_warned_of(tmp_path, tokenizer, capsys):
    corpus = prepare(rows(tmp_path / "a.jsonl", TEXTS * 2), tmp_path / "c", tokenizer, PrepareSettings(validation=0.2))
    assert not set(words(corpus, "train")) & set(words(corpus, "validation"))
    assert capsys.readouterr().err.count("warning") == 0


def test_the_test_split_of_a_source_never_becomes_training_text(tmp_path, tokenizer):
    """However few documents there are, and whatever position decides of the others."""
    for split, texts in (("train", TEXTS[:50]), ("test", TEXTS[50:80])):
        (tmp_path / f"input-{split}.txt").write_text("\n\n".join(texts))
    sources = {"train": [tmp_path / "input-train.txt"], "test": [tmp_path / "input-test.txt"]}
    local = named.LocalSet("tinyshakespeare", named.SETS["tinyshakespeare"], sources)
    for validation in (0.05, "first-shard"):
        settings = PrepareSettings(validation=validation, shard_tokens=300)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(named, "open_set", lambda name, folder: local)
            corpus = prepare("tinyshakespeare", tmp_path / f"c{validation}", tokenizer, settings)
        assert words(corpus, "test") == ["\n\n".join(TEXTS[50:80])]
        assert "Document number 50" not in words(corpus, "train")[0]


def test_a_first_shard_that_is_everything_is_refused_and_another_choice_goes_on_from_there(tmp_path, tokenizer, capsys):
    source = rows(tmp_path / "a.jsonl", TEXTS)
    with pytest.raises(UserError, match="nothing is left to train on"):
        prepare(source, tmp_path / "c", tokenizer, PrepareSettings(validation="first-shard"))
    prepare(source, tmp_path / "c", tokenizer, PrepareSettings())
    assert "continuing" in capsys.readouterr().out


def test_settings_that_leave_nothing_do_not_stand_in_the_way_of_others(tmp_path, tokenizer):
    source = rows(tmp_path / "a.jsonl", TEXTS)
    with pytest.raises(UserError, match="no document is left"):
        prepare(source, tmp_path / "c", tokenizer, PrepareSettings(minimum_length=10_000))
    prepare(source, tmp_path / "c", tokenizer, PrepareSettings())


def test_a_split_whose_file_is_not_there_is_said(tmp_path, tokenizer, capsys):
    (tmp_path / "wiki.valid.raw").write_text(" = A title = \n\n Some text .\n" * 3)
    corpus = prepare("wikitext-2", tmp_path / "c", tokenizer, PrepareSettings(), local=tmp_path)
    assert corpus.splits == ["validation"]
    warned = capsys.readouterr().err
    assert f"no train split: {tmp_path} holds no wiki.train.raw" in warned
    assert f"no test split: {tmp_path} holds no wiki.test.raw" in warned


def test_of_a_few_documents_of_one_paragraph_none_is_cut(tmp_path, tokenizer, capsys):
    notes = [f"Note number {number}\nhas two lines.\n" for number in range(50)]
    corpus = prepare(rows(tmp_path / "a.jsonl", notes), tmp_path / "c", tokenizer, PrepareSettings())
    assert words(corpus, "train") + words(corpus, "validation") == notes
    assert "cut in two" not in capsys.readouterr().out


@pytest.mark.parametrize("pairs", [1, 10, 50])
def test_a_prompt_keeps_its_completion_however_few_there_are(tmp_path, tokenizer, capsys, pairs):
    lines = [{"q": f"Question {n}?\n\nThink.", "a": f"\n\nAnswer\n\n{n}."} for n in range(pairs)]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    columns = ColumnSettings(prompt="q", completion="a")
    corpus = prepare(str(tmp_path / "a.jsonl"), tmp_path / "c", tokenizer, PrepareSettings(), columns=columns)
    found = [text for name in corpus.splits for text in words(corpus, name)]
    assert found == [line["q"] + line["a"] for line in lines]
    assert ("validation" in corpus.splits) is (pairs > 1)
    for split in map(corpus.split, corpus.splits):
        prompts = split.of_documents("prompts")
        read = [small().decode(split.read(start + 1, start + 1 + n)) for start, n in zip(split.starts, prompts)]
        assert all(text.endswith("Think.") for text in read)


def test_a_text_longer_than_a_piece_is_still_one_document(tmp_path, tokenizer, monkeypatch):
    monkeypatch.setattr("gpt2lab.text.sources.PIECE_BYTES", 5_000)
    (tmp_path / "long.txt").write_text(SAMPLE * 4)
    corpus = prepare(str(tmp_path / "long.txt"), tmp_path / "c", tokenizer, PrepareSettings(validation=0))
    split = corpus.split("train")
    assert split.manifest["documents"] == 1
    assert np.array_equal(split.read(1, split.tokens), small().encode(SAMPLE * 4))
    assert split.manifest["bytes"] == len((SAMPLE * 4).encode())
    assert split.manifest["words"] == len((SAMPLE * 4).split())


def test_of_long_texts_that_begin_alike_none_loses_a_part_and_a_whole_repeat_is_left_out(
    tmp_path, tokenizer, monkeypatch
):
    monkeypatch.setattr("gpt2lab.text.sources.PIECE_BYTES", 2_000)
    (tmp_path / "data").mkdir()
    beginning = SAMPLE[:2_500] + " and so on"
    found = {
        "a": f"{beginning} to the end of a.",
        "b": f"{beginning} to the end of b.",
        "c": f"{beginning} to the end of a.",
    }
    for name, text in found.items():
        (tmp_path / "data" / f"{name}.txt").write_text(text)
    settings = PrepareSettings(validation=0, deduplicate=True)
    corpus = prepare(str(tmp_path / "data"), tmp_path / "c", tokenizer, settings)
    assert words(corpus, "train") == [found["a"], found["b"]]
    assert corpus.manifest["left_out"]["the same text came before"]["count"] == 1


def test_rows_that_cannot_be_read_are_counted_and_named_or_stop_a_strict_call(tmp_path, tokenizer, capsys):
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "fine"}\n{"text": null}\nnot json\n{"text": "fine too"}\n{"other": 1}\n{"text": "  "}\n')
    corpus = prepare(str(path), tmp_path / "c", tokenizer, PrepareSettings(validation=0))
    left_out = corpus.manifest["left_out"]
    assert sum(found["count"] for found in left_out.values()) == 4
    places = [place for found in left_out.values() for place in found["places"]]
    assert {"row 2", "row 3", "row 5", "row 6"} == {place.split(", ")[1] for place in places}
    assert "left out" in capsys.readouterr().err
    with pytest.raises(UserError) as caught:
        prepare(str(path), tmp_path / "d", tokenizer, PrepareSettings(validation=0), strict=True)
    assert "row 2" in str(caught.value)
    assert not (tmp_path / "d").exists()


def test_repeats_and_short_texts_are_left_out_and_counted(tmp_path, tokenizer):
    texts = ["a first text", "another text", "a first text", "tiny", "another text", "a third text"]
    settings = PrepareSettings(validation=0, deduplicate=True, minimum_length=6)
    corpus = prepare(rows(tmp_path / "a.jsonl", texts), tmp_path / "c", tokenizer, settings)
    assert words(corpus, "train") == ["a first text", "another text", "a third text"]
    counts = {reason: found["count"] for reason, found in corpus.manifest["left_out"].items()}
    assert counts == {"the same text came before": 2, "shorter than the minimum": 1}


def test_labels_and_prompts_of_columns_reach_the_corpus(tmp_path, tokenizer):
    lines = [{"q": f"Question {n}?", "a": f" Answer {n}.", "kind": "even" if n % 2 == 0 else "odd"} for n in range(150)]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    columns = ColumnSettings(prompt="q", completion="a", label="kind")
    corpus = prepare(str(tmp_path / "a.jsonl"), tmp_path / "c", tokenizer, PrepareSettings(), columns=columns)
    assert corpus.manifest["labels"] == ["even", "odd"]
    split = corpus.split("train")
    assert np.array_equal(np.bincount(split.of_documents("labels")) > 0, [True, True])
    assert (split.of_documents("prompts") > 0).all()


def test_a_class_written_as_a_number_and_as_text_is_one_class(tmp_path, tokenizer):
    rows = [{"text": f"text {n}", "label": n % 2 if n < 60 else str(n % 2)} for n in range(200)]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    columns = ColumnSettings(label="label")
    corpus = prepare(str(tmp_path / "a.jsonl"), tmp_path / "c", tokenizer, PrepareSettings(), columns=columns)
    assert corpus.manifest["labels"] == ["0", "1"]
    counts = [np.bincount(corpus.split(name).of_documents("labels")) for name in corpus.splits]
    assert sum(counts).tolist() == [100, 100]


@pytest.mark.parametrize(
    ("name", "before", "after"),
    [
        ("none", "a @-@ b 1 @,@ 000", "a @-@ b 1 @,@ 000"),
        ("hyphen-only", "a @-@ b 1 @,@ 000", "a-b 1 @,@ 000"),
        ("wikitext", 'a @-@ b 1 @,@ 000 ( x ) , " y " .', 'a-b 1,000 (x), "y" .'),
    ],
)
def test_detokenisation_is_a_named_choice_that_is_stored(tmp_path, tokenizer, name, before, after):
    settings = PrepareSettings(validation=0, detokenise=name)
    corpus = prepare(rows(tmp_path / "a.jsonl", [before]), tmp_path / "c", tokenizer, settings)
    assert words(corpus, "train") == [after]
    assert corpus.manifest["settings"]["detokenise"] == name


def test_a_tokenizer_can_be_trained_on_the_very_data(tmp_path):
    corpus = prepare(rows(tmp_path / "a.jsonl", TEXTS), tmp_path / "c", "own", PrepareSettings(vocabulary=350))
    builtin_one = prepare(rows(tmp_path / "a.jsonl", TEXTS), tmp_path / "d", "builtin", PrepareSettings(vocabulary=350))
    assert corpus.vocabulary == 350
    assert corpus.manifest["splits"]["train"]["tokens"] < builtin_one.manifest["splits"]["train"]["tokens"]


def test_a_corpus_lends_its_tokenizer(tmp_path, capsys):
    source = rows(tmp_path / "a.jsonl", TEXTS)
    one = prepare(source, tmp_path / "c", "own", PrepareSettings(vocabulary=350))
    assert "training a tokenizer" in capsys.readouterr().out
    other = prepare(source, tmp_path / "d", str(tmp_path / "c"), PrepareSettings())
    assert other.manifest["tokenizer"] == one.manifest["tokenizer"]
    assert other.hash == one.hash


def test_the_same_call_again_finds_it_finished_and_another_names_the_difference(tmp_path, capsys):
    (tmp_path / "a.txt").write_text("Some text.")
    settings = PrepareSettings(validation=0, vocabulary=300)
    prepare(str(tmp_path / "a.txt"), tmp_path / "c", "builtin", settings)
    prepare(str(tmp_path / "a.txt"), tmp_path / "c", "builtin", settings)
    assert "already prepared" in capsys.readouterr().out
    with pytest.raises(UserError, match=r"validation: 0\.0 there, 0\.5 asked for"):
        prepare(str(tmp_path / "a.txt"), tmp_path / "c", "builtin", PrepareSettings(validation=0.5, vocabulary=300))
    (tmp_path / "a.txt").write_text("Some other text.")
    with pytest.raises(UserError, match=r"another corpus is here: 1 of 1 file changed: a\.txt\n"):
        prepare(str(tmp_path / "a.txt"), tmp_path / "c", "builtin", settings)


def test_a_tokenizer_whose_folder_has_changed_makes_another_corpus(tmp_path, docs):
    folder = tmp_path / "tokenizer"
    folder.mkdir()
    small().save(folder)
    source = rows(tmp_path / "a.jsonl", TEXTS)
    prepare(source, tmp_path / "c", str(folder), PrepareSettings())
    tokenizers.train(docs, 300).save(folder)
    with pytest.raises(UserError, match="another corpus is here: the tokenizer is another one than it was\n"):
        prepare(source, tmp_path / "c", str(folder), PrepareSettings())
    assert open_corpus(tmp_path / "c").tokenizer().hash == small().hash


def test_what_changed_in_a_folder_is_said_in_a_few_words(tmp_path, tokenizer):
    folder = tmp_path / "notes"
    folder.mkdir()
    for number in range(160):
        (folder / f"{number}.txt").write_text(f"Note {number}.")
    prepare(str(folder), tmp_path / "c", tokenizer, PrepareSettings())
    (folder / "1.txt").write_text("Another note.")
    (folder / "new.txt").write_text("A new note.")
    for name in range(5, 10):
        (folder / f"{name}.txt").unlink()
    with pytest.raises(UserError) as caught:
        prepare(str(folder), tmp_path / "c", tokenizer, PrepareSettings(test=0.1))
    assert caught.value.cause == (
        "another corpus is here: 1 of 160 files changed: 1.txt; 1 file added: new.txt; "
        "5 files gone: 5.txt, 6.txt, 7.txt …; test: 0.0 there, 0.1 asked for"
    )


def test_a_file_name_that_is_no_utf8_is_written_down_escaped(tmp_path, tokenizer, capsys):
    folder = os.fsencode(tmp_path / "data")
    os.mkdir(folder)  # noqa: PTH102 pathlib knows no bytes
    for name, content in ((b"caf\xe9.txt", b"Some text.\n"), (b"\xe9.jsonl", b"no row\n"), (b"\xe9.png", b"")):
        Path(os.fsdecode(folder + b"/" + name)).write_bytes(content)
    corpus = prepare(str(tmp_path / "data"), tmp_path / "c", tokenizer, PrepareSettings(validation=0))
    assert [file["name"] for file in corpus.manifest["source"]["files"]] == ["caf\\xe9.txt", "\\xe9.jsonl"]
    assert words(corpus, "train") == ["Some text.\n"]
    said = capsys.readouterr()
    assert "such as \\xe9.png" in said.out
    assert "first \\xe9.jsonl, row 1" in said.err


@pytest.mark.parametrize("content", [b"", b"  \n ", b"\xff\xfe\n"])
def test_a_file_without_text_is_no_corpus(tmp_path, tokenizer, content):
    (tmp_path / "a.txt").write_bytes(content)
    with pytest.raises(UserError, match="no document is left"):
        prepare(str(tmp_path / "a.txt"), tmp_path / "c", tokenizer, PrepareSettings())
    assert not (tmp_path / "c").exists()


@pytest.mark.parametrize("name", ["builtin:nothing", "nowhere.txt", "hub", "wikitext-2", "hub:someone/data"])
def test_data_that_is_not_there_is_named(tmp_path, tokenizer, name):
    with pytest.raises(UserError):
        prepare(name, tmp_path / "c", tokenizer, SMALL)


def test_a_corpus_named_as_data_is_told_from_texts(tmp_path, tokenizer):
    prepare(rows(tmp_path / "a.jsonl", TEXTS), tmp_path / "c", tokenizer, PrepareSettings())
    with pytest.raises(UserError, match="this is a corpus, and no text") as caught:
        prepare(str(tmp_path / "c"), tmp_path / "d", tokenizer, PrepareSettings())
    assert f"gpt2lab pretrain --data {tmp_path / 'c'}" in str(caught.value.way_out)
    assert "name the text that it was made from" in str(caught.value.way_out)


def test_corpora_in_a_folder_of_texts_are_not_read_as_texts(tmp_path, tokenizer, capsys, monkeypatch):
    """`prepare .` puts its own corpus there, and finds it the next time."""
    (tmp_path / "notes.txt").write_text("A note.\n" * 50)
    monkeypatch.chdir(tmp_path)
    for _ in range(2):
        prepare(".", tmp_path / "corpus", tokenizer, PrepareSettings(validation=0))
    said = capsys.readouterr().out
    assert "already prepared" in said
    assert "not read: the corpus in corpus" in said


def test_a_file_of_ones_own_may_be_called_as_a_corpus_calls_its_manifest(tmp_path, tokenizer):
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "corpus.json").write_text(json.dumps([{"text": "A text."}]))
    corpus = prepare(str(tmp_path / "texts"), tmp_path / "c", tokenizer, PrepareSettings(validation=0))
    assert words(corpus, "train") == ["A text."]


def split_folder(folder, names):
    for name, texts in names.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        rows(folder / name, texts)
    return str(folder)


def test_the_splits_of_a_downloaded_folder_stay_what_they_are(tmp_path, tokenizer, capsys):
    files = {"train-00000-of-00001.jsonl": TEXTS[:150], "test-00000-of-00001.jsonl": TEXTS[150:300]}
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "README.md").write_text("---\nlicense: mit\n---\nA data card.")
    corpus = prepare(split_folder(tmp_path / "set", files), tmp_path / "c", tokenizer, PrepareSettings())
    assert words(corpus, "test") == TEXTS[150:300]
    assert sorted(words(corpus, "train") + words(corpus, "validation")) == sorted(TEXTS[:150])
    assert "split by the names of its files: 1 test, 1 train" in capsys.readouterr().out


@pytest.mark.parametrize("other", ["notes.jsonl", "more-train.jsonl"])
def test_files_that_are_not_all_named_for_a_split_are_split_as_ever(tmp_path, tokenizer, other):
    files = {"train.jsonl": TEXTS[:150], other: TEXTS[150:300]}
    if other == "notes.jsonl":
        files["test.jsonl"] = TEXTS[300:]
    corpus = prepare(split_folder(tmp_path / "set", files), tmp_path / "c", tokenizer, PrepareSettings())
    assert set(corpus.splits) == {"train", "validation"}


def test_routing_by_hash_follows_the_shares():
    hashes = np.random.default_rng(1).integers(0, 2**64, (5000, 2), dtype=np.uint64)
    routed = routing.by_hash(hashes, routing.borders_of(PrepareSettings(validation=0.2, test=0.1)))
    for code, share in ((routing.TRAIN, 0.7), (routing.VALIDATION, 0.2), (routing.TEST, 0.1)):
        assert (routed == code).mean() == pytest.approx(share, abs=0.02)


def test_every_class_gives_the_same_share_and_a_repeated_text_stays_on_one_side(tmp_path, tokenizer):
    rows = [{"text": f"text {number}", "label": "rare" if number % 10 == 0 else "often"} for number in range(1000)]
    rows += rows[:500]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    settings = PrepareSettings(validation=0.1, test=0.2)
    corpus = prepare(
        str(tmp_path / "a.jsonl"), tmp_path / "c", tokenizer, settings, columns=ColumnSettings(label="label")
    )
    assert corpus.manifest["split_by"].endswith("the same share of every class")
    assert corpus.manifest["held_out_and_in_train"] == 0
    counts = {name: np.bincount(corpus.split(name).of_documents("labels")) for name in corpus.splits}
    assert np.abs(counts["validation"] - [135, 15]).max() <= 1  # a pair of equal texts may stand at the border
    assert np.abs(counts["test"] - [270, 30]).max() <= 2


@pytest.mark.parametrize("size", [2, 5, 9, 40])
@pytest.mark.parametrize("shares", [(0.05, 0.0), (0.05, 0.1), (0.2, 0.3)])
def test_many_small_classes_together_give_the_shares_and_each_keeps_a_text_to_learn_from(size, shares):
    rng = np.random.default_rng(1)
    classes = [rng.random(size) for _ in range(200)]
    borders = routing.borders_of(PrepareSettings(validation=shares[0], test=shares[1]), classes)
    held_out = np.array([[(places < border).sum() for border in pair] for places, pair in zip(classes, borders)])
    validation, test = held_out[:, 0], held_out[:, 1] - held_out[:, 0]
    assert abs(validation.sum() - 200 * size * shares[0]) <= 1
    assert abs(test.sum() - 200 * size * shares[1]) <= 1
    assert (held_out[:, 1] < size).all()
    assert np.abs(validation - size * shares[0]).max() <= 1.5
    assert np.abs(test - size * shares[1]).max() <= 1.5


def test_classes_of_one_text_leave_the_share_of_another_as_it_is():
    rng = np.random.default_rng(1)
    classes = [*(rng.random(1) for _ in range(500)), rng.random(100)]
    borders = routing.borders_of(PrepareSettings(validation=0.1), classes)
    assert [int((places < pair[0]).sum()) for places, pair in zip(classes, borders)][:-1] == [0] * 500
    assert (classes[-1] < borders[-1][0]).sum() == pytest.approx(10, abs=1)


def test_another_encoding_is_named_with_what_converts_it(tmp_path, tokenizer):
    (tmp_path / "a.csv").write_bytes("label,text\n1,café\n".encode("latin-1"))
    with pytest.raises(UserError, match="no document is left: 1 document left out: invalid UTF-8") as caught:
        prepare(str(tmp_path / "a.csv"), tmp_path / "c", tokenizer, PrepareSettings())
    assert "a.csv, row 2" in caught.value.cause
    assert "iconv" in caught.value.cause


@pytest.mark.parametrize(("name", "content"), [("a.txt", "Some text."), ("a.json", '[{"text": "Some text."}]')])
def test_utf16_is_named_with_what_converts_it(tmp_path, tokenizer, name, content):
    (tmp_path / name).write_bytes(content.encode("utf-16"))
    with pytest.raises(UserError, match="UTF-16, not UTF-8") as caught:
        prepare(str(tmp_path / name), tmp_path / "c", tokenizer, PrepareSettings())
    assert "iconv -f UTF-16 -t UTF-8" in caught.value.cause
    assert "WINDOWS" not in caught.value.cause


def test_too_little_text_to_hold_any_out_is_said(tmp_path, tokenizer, capsys):
    prepare(rows(tmp_path / "a.jsonl", ["short"]), tmp_path / "c", tokenizer, PrepareSettings())
    assert "there is no validation split" in capsys.readouterr().err


def test_a_test_split_is_chosen_also_where_the_source_has_validation_of_its_own(tmp_path, tokenizer):
    for split, first, last in (("train", 0, 300), ("valid", 300, 310)):
        texts = [f" = Title {number} = \n\n Some text .\n" for number in range(first, last)]
        (tmp_path / f"wiki.{split}.raw").write_text("".join(texts))
    settings = PrepareSettings(validation=0.2, test=0.2)
    corpus = prepare("wikitext-2", tmp_path / "c", tokenizer, settings, local=tmp_path)
    documents = {name: corpus.split(name).manifest["documents"] for name in corpus.splits}
    assert documents["validation"] == 10
    assert documents["train"] + documents["test"] == 300
    assert documents["test"] == pytest.approx(60, abs=20)
    assert corpus.manifest["split_by"] == "the source, and test by a hash of each document's text"


def test_the_test_split_of_a_source_is_not_added_to_where_validation_is_its_own_too(tmp_path, tokenizer):
    for split in ("train", "valid", "test"):
        texts = [f" = Title {split} {number} = \n\n Some text .\n" for number in range(30)]
        (tmp_path / f"wiki.{split}.raw").write_text("".join(texts))
    corpus = prepare("wikitext-2", tmp_path / "c", tokenizer, PrepareSettings(test=0.5), local=tmp_path)
    assert {name: corpus.split(name).manifest["documents"] for name in corpus.splits} == {
        "train": 30,
        "validation": 30,
        "test": 30,
    }


@pytest.mark.parametrize(
    ("texts", "settings", "why"),
    [
        (["short", "shorter"], {"test": 0.2}, "of so few documents is none"),
        (
            TEXTS,
            {"test": 0.2, "validation": "first-shard", "shard_tokens": 1000},
            "is none where validation is the first shard",
        ),
        (["short"], {"test": 0.2, "validation": 0}, "so few documents"),
    ],
)
def test_a_test_split_that_is_asked_for_and_not_made_is_said(tmp_path, tokenizer, capsys, texts, settings, why):
    corpus = prepare(rows(tmp_path / "a.jsonl", texts), tmp_path / "c", tokenizer, PrepareSettings(**settings))
    assert "test" not in corpus.splits
    warned = capsys.readouterr().err
    assert "there is no test split: prepare.test=0.2" in warned
    assert why in warned


@pytest.mark.real_data
def test_the_real_sets_by_name_have_their_known_counts(real_data, tmp_path):
    def made(name, folder):
        gpt2 = str(real_data / "gpt2-bpe")
        manifest = prepare(name, tmp_path / name, gpt2, PrepareSettings(), local=real_data / folder).manifest
        assert manifest["left_out"] == {}
        return manifest["splits"]

    raw = made("wikitext-2", "wikitext-2")
    assert {name: split["documents"] for name, split in raw.items()} == {"validation": 60, "test": 62}
    assert raw["test"]["words"] == 241_211
    tokenised = made("wikitext-2-tokenised", "wikitext-2")
    assert tokenised["train"]["documents"] == 629
    files = {"train": "train", "validation": "valid", "test": "test"}
    published = {"train": 2_088_628, "validation": 217_646, "test": 245_569}  # an end of line a row counted in
    for name, expected in published.items():
        with lzma.open(real_data / "wikitext-2" / f"{files[name]}.txt.xz", "rt") as file:
            assert tokenised[name]["words"] + sum(1 for _ in file) == expected
    news = made("ag-news", "ag-news")
    assert news["train"]["documents"] + news["validation"]["documents"] == 22_505
    assert news["test"]["documents"] == 7_600
    labels = open_corpus(tmp_path / "ag-news").split("test").of_documents("labels")
    assert np.bincount(labels).tolist() == [1900] * 4
    assert made("hellaswag", "hellaswag")["validation"]["documents"] == 10_042
    shakespeare = made("tinyshakespeare", "tinyshakespeare")
    assert sum(split["bytes"] for split in shakespeare.values()) == 1_115_394
    assert sum(split["tokens"] for split in shakespeare.values()) == 338_025 + 2  # an end-of-text on each side
    pages = made("fineweb", "fineweb")
    assert sum(split["documents"] for split in pages.values()) == 300
    assert sum(split["tokens"] for split in pages.values()) == 215_790 + 300
