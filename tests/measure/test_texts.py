"""What is measured is the text as it stands: of a file, of rows, of WikiText as it was released, of a corpus."""

import json

import pytest

from corpora import SENTENCES, corpus
from gpt2lab.core.errors import UserError
from gpt2lab.measure import plans, texts
from gpt2lab.measure.settings import DataSettings, EvaluateSettings, Evaluation
from gpt2lab.text.detokenise import detokeniser
from gpt2lab.text.named import open_set
from vocabularies import gpt2, small

NOTHING = DataSettings()
WIKI = (
    " \n = First = \n \n A page . \n \n = = Part = = \n \n More , of it . \n \n"
    " = Second = \n \n Another @-@ page . \n \n"
)


def test_a_text_file_is_one_document_exactly_as_it_stands(tmp_path):
    for name in ("a.txt", "b.raw", "c"):
        (tmp_path / name).write_bytes(b"\xef\xbb\xbf one \r\n\n two ")
        found = texts.read(str(tmp_path / name), NOTHING)
        assert (found.documents, found.form, found.split) == (["\ufeff one \r\n\n two "], "file", "all")
        assert found.in_one_stream() == (found.documents[0], [0])


def test_rows_are_documents_joined_by_a_blank_line_and_bad_ones_are_counted(tmp_path):
    rows = [{"body": "one"}, {"body": None}, {"body": "two"}]
    (tmp_path / "r.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = texts.read(str(tmp_path / "r.jsonl"), DataSettings(text=("body",)))
    assert found.in_one_stream() == ("one\n\ntwo", [0, 5])
    assert found.left_out["null body"]["count"] == 1
    assert found.pages() == ["one", "two"]


def test_wikitext_is_read_as_released_in_every_form_the_protocols_name(tmp_path):
    (tmp_path / "wiki.test.raw").write_text(WIKI)
    found = texts.read("wikitext-2", NOTHING, tmp_path)
    assert (found.form, found.split, "".join(found.documents)) == ("rows", "test", WIKI)
    stream, starts = found.in_one_stream()
    rows = ["", " = First = \n", "", " A page . \n", "", " = = Part = = \n", "", " More , of it . \n", ""]
    rows += [" = Second = \n", "", " Another @-@ page . \n", ""]
    assert stream == "\n\n".join(rows)
    assert stream[starts[1] :].startswith(" = Second = ")
    assert found.pages() == [
        " = First = \n \n A page . \n \n = = Part = = \n \n More , of it . \n ",
        " = Second = \n \n Another @-@ page . \n \n",
    ]
    assert texts.read(str(tmp_path / "wiki.test.raw"), NOTHING).pages() == found.pages()


def test_a_copy_whose_blank_rows_lost_their_space_is_the_same_text(tmp_path):
    """The Hub's rows are such."""
    for folder, text in (("a", WIKI), ("b", WIKI.replace(" \n \n", " \n\n").replace(" \n =", "\n =", 1))):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "wiki.test.raw").write_text(text)
    one, other = (texts.read("wikitext-2", NOTHING, tmp_path / folder) for folder in ("a", "b"))
    assert one.hash == other.hash


def test_a_corpus_gives_back_the_text_it_was_made_from(tmp_path):
    made = corpus(tmp_path / "c", [*SENTENCES[:19], "naïve 日本 👩‍👩‍👧\r\n"])
    found = texts.read(str(made.folder), NOTHING)
    assert (found.split, found.documents) == ("validation", [SENTENCES[9], "naïve 日本 👩‍👩‍👧\r\n"])
    train = texts.read(str(made.folder), DataSettings(split="train"))
    assert train.documents == [*SENTENCES[:9], *SENTENCES[10:19]]


def test_the_hash_is_of_the_texts_and_their_borders(tmp_path):
    def of(*documents):
        return texts.Texts(list(documents), "documents", "all", "", {}).hash

    assert of("ab", "c") == of("ab", "c")
    assert of("ab", "c") != of("a", "bc")


def test_what_cannot_be_read_is_one_clear_line(tmp_path):
    (tmp_path / "empty.txt").write_text(" \n")
    with pytest.raises(UserError, match="empty"):
        texts.read(str(tmp_path / "empty.txt"), NOTHING)
    (tmp_path / "latin.txt").write_bytes(b"ok\ncaf\xe9")
    with pytest.raises(UserError, match=r"latin\.txt, line 2"):
        texts.read(str(tmp_path / "latin.txt"), NOTHING)
    (tmp_path / "a.txt").write_text("text")
    with pytest.raises(UserError, match="no splits"):
        texts.read(str(tmp_path / "a.txt"), DataSettings(split="test"))
    with pytest.raises(UserError, match="no split 'test' here"):
        texts.read(str(corpus(tmp_path / "c").folder), DataSettings(split="test"))


@pytest.mark.real_data
def test_the_real_wikitext_2_has_the_known_numbers_of_tokens_words_and_pages(real_data):
    tokenizer = gpt2(real_data)
    found = texts.read("wikitext-2", NOTHING, real_data / "wikitext-2")
    stream = plans.plan("perplexity/token-window", found, tokenizer, 1024, Evaluation())
    assert stream.stream.tokens == 287_644
    assert stream.sizes["words"].sum() == 241_211
    pages = plans.plan("perplexity/word", found, tokenizer, 1024, Evaluation())
    assert len(pages.sizes["words"]) == 62
    file = texts.read(str(real_data / "wikitext-2" / "wiki.test.raw.xz"), NOTHING)
    whole = plans.plan("perplexity/token-window", file, tokenizer, 1024, Evaluation())
    assert whole.stream.tokens == 286_221
    assert file.pages() == found.pages()
    repaired = detokeniser("wikitext")
    articles = open_set("wikitext-2", real_data / "wikitext-2").only("test").pieces()
    prepared = [document.text for piece in articles for document in piece.documents()]
    # An article of a corpus is the harness' page, but for the blank rows at its end.
    assert [repaired(page).rstrip() for page in found.pages()] == [repaired(text).rstrip() for text in prepared]


def test_limit_and_columns_reach_the_plan(tmp_path):
    (tmp_path / "r.jsonl").write_text("".join(json.dumps({"q": f"q{n}", "a": f"a{n}"}) + "\n" for n in range(5)))
    found = texts.read(str(tmp_path / "r.jsonl"), DataSettings(prompt="q", completion="a"))
    assert found.documents[1] == "q1a1"
    settings = Evaluation(evaluate=EvaluateSettings(limit=2))
    assert len(plans.plan("bits-per-byte", found, small(), 24, settings).stream.starts) == 2
