"""Data sets straight from the Hub's parquet files, over the real client, against a Hub on loopback."""

import io

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gpt2lab.core.errors import UserError
from gpt2lab.text import hub_data
from gpt2lab.text.prepare import prepare
from gpt2lab.text.settings import ColumnSettings, PrepareSettings
from loopback_hub import LoopbackHub
from vocabularies import small


def parquet(**columns):
    written = io.BytesIO()
    pq.write_table(pa.table(columns), written, row_group_size=3)
    return written.getvalue()


@pytest.fixture
def tokenizer(tmp_path):
    (tmp_path / "tokenizer").mkdir()
    small().save(tmp_path / "tokenizer")
    return str(tmp_path / "tokenizer")


def texts(corpus, name):
    split = corpus.split(name)
    ends = np.append(split.starts[1:], split.tokens)
    return [small().decode(split.read(int(a) + 1, int(b))) for a, b in zip(split.starts, ends)]


ROWS = [f"Row number {n} of the set." for n in range(12)]
OWN = {
    "small/train-00000-of-00002.parquet": parquet(body=ROWS[:6], kind=["a", "b"] * 3),
    "small/train-00001-of-00002.parquet": parquet(body=ROWS[6:10], kind=["b", "a"] * 2),
    "small/test-00000-of-00001.parquet": parquet(body=ROWS[10:], kind=["a", "b"]),
    "large/train-00000-of-00001.parquet": parquet(body=["another configuration"], kind=["a"]),
    "README.md": b"about",
}


def test_any_data_set_by_its_address_and_configuration(online, tmp_path, tokenizer):
    columns = ColumnSettings(text=("body",), label="kind")
    with LoopbackHub(datasets={"someone/set": OWN}) as hub:
        online(hub)
        corpus = prepare(
            "hub:someone/set/small", tmp_path / "c", tokenizer, PrepareSettings(validation=0), columns=columns
        )
        asked = {request.path for request in hub.requests}
    assert texts(corpus, "train") == ROWS[:10]
    assert texts(corpus, "test") == ROWS[10:]
    assert corpus.manifest["labels"] == ["a", "b"]
    assert set(corpus.manifest["source"]["files"]) == {path for path in OWN if path.startswith("small")}
    assert not [path for path in asked if "large" in path]


def test_a_set_in_another_form_is_read_from_the_hubs_own_conversion(online, monkeypatch):
    listed = {None: [], hub_data.CONVERTED: ["default/train/0000.parquet"]}
    monkeypatch.setattr(
        hub_data.hub,
        "list_files",
        lambda repository, kind, revision: [hub_data.RemoteFile(path, 1, None, "0" * 40) for path in listed[revision]],
    )
    assert hub_data.HubSource("x", "someone/script").found[0] == hub_data.CONVERTED


LINES = [
    "",
    " = First = \n",
    "",
    " Text of the first . \n",
    " = = Part = = \n",
    " More . \n",
    "",
    " = Second = \n",
    " Its text . \n",
]


def test_wikitext_by_name_gives_articles_also_across_files(online, tmp_path, tokenizer):
    files = {
        "wikitext-2-raw-v1/train-00000-of-00002.parquet": parquet(text=LINES[:5]),
        "wikitext-2-raw-v1/train-00001-of-00002.parquet": parquet(text=LINES[5:]),
        "wikitext-2-raw-v1/test-00000-of-00001.parquet": parquet(text=LINES[-2:]),
    }
    with LoopbackHub(datasets={"Salesforce/wikitext": files}) as hub:
        online(hub)
        corpus = prepare("wikitext-2", tmp_path / "c", tokenizer, PrepareSettings(validation=0))
    first = " = First = \n\n Text of the first . \n = = Part = = \n More . \n"
    assert texts(corpus, "train") == [first, " = Second = \n Its text . \n"]
    assert texts(corpus, "test") == [" = Second = \n Its text . \n"]


def test_ag_news_and_hellaswag_by_name(online, tmp_path, tokenizer):
    news = {
        "data/train-0.parquet": parquet(text=["a", "b"], label=[0, 3]),
        "data/test-0.parquet": parquet(text=["c"], label=[1]),
    }
    items = {"data/validation-0.parquet": parquet(ctx=["He", "She"], endings=[["runs", "flies"]] * 2, label=["1", "0"])}
    with LoopbackHub(datasets={"fancyzhx/ag_news": news, "Rowan/hellaswag": items}) as hub:
        online(hub)
        corpus = prepare("ag-news", tmp_path / "c", tokenizer, PrepareSettings(validation=0))
        choices = prepare("hellaswag", tmp_path / "d", tokenizer, PrepareSettings())
    assert corpus.manifest["labels"] == ["World", "Sports", "Business", "Sci/Tech"]
    assert corpus.split("train").of_documents("labels").tolist() == [0, 3]
    assert texts(choices, "validation") == ["He flies", "She runs"]


def test_an_interrupted_download_continues_and_wrong_bytes_are_named(online, tmp_path, tokenizer):
    columns = ColumnSettings(text=("body",))
    with LoopbackHub(datasets={"someone/set": OWN}) as hub:
        online(hub)
        hub.send_instead("small/train-00001-of-00002.parquet", b"x" * len(OWN["small/train-00001-of-00002.parquet"]))
        with pytest.raises(UserError, match="wrong bytes"):
            prepare("hub:someone/set/small", tmp_path / "c", tokenizer, PrepareSettings(validation=0), columns=columns)
        corpus = prepare(
            "hub:someone/set/small", tmp_path / "c", tokenizer, PrepareSettings(validation=0), columns=columns
        )
    assert texts(corpus, "train") == ROWS[:10]


@pytest.mark.parametrize(
    ("path", "split"),
    [
        ("data/train-00000-of-00001.parquet", "train"),
        ("plain_text/validation/0000.parquet", "validation"),
        ("x/dev.parquet", "validation"),
        ("default/partial-test/0000.parquet", "test"),
        ("sample/10BT/000_00000.parquet", None),
        ("latest/part-0.parquet", None),
    ],
)
def test_a_files_split_is_in_its_name(path, split):
    assert hub_data.split_of(path) == split


def test_what_has_no_parquet_files_or_no_such_address_is_one_clear_line(online, tmp_path, tokenizer):
    with LoopbackHub(datasets={"someone/text": {"a.txt": b"text"}}) as hub:
        online(hub)
        for address, message in (("hub:someone/text", "no parquet files"), ("hub:someone", "not a data set")):
            with pytest.raises(UserError, match=message):
                prepare(address, tmp_path / "c", tokenizer, PrepareSettings())
