"""Anyone's own files: every row becomes a document or is named with its reason, however the files are cut."""

import bz2
import csv
import gzip
import io
import json
import lzma
import pickle
import random
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pyarrow
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from gpt2lab.core.errors import UserError
from gpt2lab.text import formats, items, named
from gpt2lab.text.documents import BadRow, Document
from gpt2lab.text.formats import Columns, FileSource, find_files
from vocabularies import small

COMPRESS: dict[str, Callable[[bytes], bytes]] = {
    "": bytes,
    ".gz": gzip.compress,
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
    ".zst": lambda data: pyarrow.compress(data, codec="zstd", asbytes=True),
}
ROWS = [
    {"text": "a first text", "kind": "x", "stars": 5},
    {"text": 'with "quotes", commas\tand\nline ends', "kind": "y", "stars": 1},
    {"text": "Ωmega 日本語 👍", "kind": "x", "stars": 3},
]
Read = list[Document | BadRow]


def lines(rows: list[dict]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def table(rows: list[dict], delimiter: str = ",", header: bool = True) -> bytes:
    file = io.StringIO(newline="")
    writer = csv.writer(file, delimiter=delimiter)
    writer.writerows([list(rows[0])] * header + [list(row.values()) for row in rows])
    return file.getvalue().encode()


def arrow(rows: list[dict], new: Callable, chunk: int | None = None) -> bytes:
    sink, contents = pyarrow.BufferOutputStream(), pyarrow.Table.from_pylist(rows)
    with new(sink, contents.schema) as writer:
        writer.write_table(contents, max_chunksize=chunk)
    return sink.getvalue().to_pybytes()


def parquet_of(rows: list[dict], group: int | None = None, **options) -> bytes:
    sink = pyarrow.BufferOutputStream()
    parquet.write_table(pyarrow.Table.from_pylist(rows), sink, row_group_size=group, **options)
    return sink.getvalue().to_pybytes()


TABLES: dict[str, bytes] = {
    f"rows{suffix}{packed}": compress(data)
    for packed, compress in COMPRESS.items()
    for suffix, data in {
        ".jsonl": lines(ROWS),
        ".json": json.dumps(ROWS, indent=1).encode(),
        ".csv": table(ROWS),
        ".tsv": table(ROWS, "\t"),
    }.items()
} | {
    "rows.parquet": parquet_of(ROWS),
    "stream.arrow": arrow(ROWS, pyarrow.ipc.new_stream),
    "file.arrow": arrow(ROWS, pyarrow.ipc.new_file),
}


def read(source: FileSource) -> Read:
    """As worker processes do: every piece is pickled and read on its own."""
    pieces = [pickle.loads(pickle.dumps(piece)) for piece in source.pieces()]
    return [row for piece in pieces for row in piece.documents()]


def read_file(folder: Path, name: str, data: bytes, columns: Columns | None = None, piece_bytes: int = 1) -> Read:
    path = folder / name
    path.write_bytes(data)
    return read(FileSource([path], columns or Columns(), None, piece_bytes))


def texts(rows: Read) -> list[str]:
    assert all(isinstance(row, Document) for row in rows), rows
    return [row.text for row in rows if isinstance(row, Document)]


# ── every format ─────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("piece_bytes", [1, 1 << 20])
@pytest.mark.parametrize("name", TABLES)
def test_every_table_gives_the_same_documents(tmp_path, name, piece_bytes):
    given = read_file(tmp_path, name, TABLES[name], Columns(label="stars"), piece_bytes)
    assert given == [Document(row["text"], label=row["stars"]) for row in ROWS]


@pytest.mark.parametrize("packed", COMPRESS)
@pytest.mark.parametrize("suffix", [".txt", ".md"])
def test_a_text_file_is_one_document(tmp_path, suffix, packed):
    text = "# Title\r\n\r\n  a paragraph, Ωmega\n"
    given = read_file(tmp_path, f"note{suffix}{packed}", COMPRESS[packed](text.encode()), piece_bytes=1 << 20)
    assert given == [Document(text)]


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.csv", "rows.json", "note.txt", "rows.jsonl.gz", "rows.csv.xz"])
def test_the_mark_before_utf8_is_no_text(tmp_path, name):
    data = {"json": lines(ROWS[:1]), "csv": table(ROWS[:1]), "txt": b"a first text"}
    packed = COMPRESS[Path(name).suffix if name.count(".") == 2 else ""]
    kind = next(data[key] for key in data if f".{key}" in name)
    assert texts(read_file(tmp_path, name, packed(b"\xef\xbb\xbf" + kind), piece_bytes=50)) == ["a first text"]


def test_one_object_is_one_row(tmp_path):
    assert texts(read_file(tmp_path, "one.json", b'{"text": "alone"}')) == ["alone"]


def test_json_lines_called_json_are_read_as_lines(tmp_path):
    given = read_file(tmp_path, "rows.json", lines(ROWS) + b"{broken\n")
    assert texts(given[:3]) == [row["text"] for row in ROWS]
    assert given[3:] == [
        BadRow("rows.json, row 4", "not valid JSON: Expecting property name enclosed in double quotes")
    ]


def test_binary_columns_hold_text_too(tmp_path):
    data = parquet_of([{"text": "naïve".encode()}, {"text": b"\xff"}])
    given = read_file(tmp_path, "rows.parquet", data)
    assert given == [Document("naïve"), BadRow("rows.parquet, row 2", "invalid UTF-8: invalid start byte")]


@pytest.mark.parametrize("kind", [pyarrow.large_string(), pyarrow.string_view(), None])
def test_texts_of_every_arrow_type(tmp_path, kind):
    column = pyarrow.array(["one", "two", "one"])
    column = column.dictionary_encode() if kind is None else column.cast(kind)
    sink = pyarrow.BufferOutputStream()
    with pyarrow.ipc.new_stream(sink, pyarrow.schema([("words", column.type), ("id", pyarrow.int64())])) as writer:
        for start in range(3):
            part = column.slice(start, 1)
            writer.write_batch(pyarrow.record_batch([part, pyarrow.array([start])], names=["words", "id"]))
    assert texts(read_file(tmp_path, "rows.arrow", sink.getvalue().to_pybytes())) == ["one", "two", "one"]


# ── cut anywhere ─────────────────────────────────────────────────────────────────────────────────────────────────────

ANY_TEXT = st.text() | st.text(alphabet=st.sampled_from(" \",\n\r\t\\\x00\u2028\x85aß日👍'{}[]"))


@settings(deadline=None)
@given(
    st.lists(ANY_TEXT, min_size=1, max_size=12),
    st.sampled_from([".jsonl", ".jsonl.gz", ".csv", ".csv.zst", ".tsv", ".parquet", ".arrow", "file.arrow"]),
    st.integers(1, 80),
    st.integers(1, 5),
)
def test_any_texts_come_back_in_order_for_any_piece_size(written, suffix, piece_bytes, group):
    rows = [{"text": text} for text in written]
    data = {
        ".jsonl": lambda: "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode(),
        ".jsonl.gz": lambda: gzip.compress(lines(rows)),
        ".csv": lambda: table(rows),
        ".csv.zst": lambda: COMPRESS[".zst"](table(rows)),
        ".tsv": lambda: table(rows, "\t"),
        ".parquet": lambda: parquet_of(rows, group),
        ".arrow": lambda: arrow(rows, pyarrow.ipc.new_stream, group),
        "file.arrow": lambda: arrow(rows, pyarrow.ipc.new_file, group),
    }[suffix]()
    header = "csv" in suffix or "tsv" in suffix
    name = f"rows{suffix}"
    expected = [
        Document(text) if text.strip() else BadRow(f"{name}, row {number}", "empty text")
        for number, text in enumerate(written, 1 + header)
    ]
    with tempfile.TemporaryDirectory() as folder:
        assert read_file(Path(folder), name, data, piece_bytes=piece_bytes) == expected


HOSTILE = st.lists(
    st.sampled_from([b'"', b",", b"\t", b"\n", b"\r", b"a", b" ", b"1", b"\xff", "ß".encode(), b"{", b'{"text":"a"}'])
)


@settings(deadline=None, max_examples=300)
@given(
    HOSTILE.map(b"".join),
    st.sampled_from(["rows.csv", "rows.csv.gz", "rows.tsv", "rows.jsonl", "note.txt"]),
    st.integers(1, 9),
)
def test_where_a_file_is_cut_changes_nothing_even_if_it_is_broken(data, name, piece_bytes):
    columns = Columns(text=("0",)) if "csv" in name or "tsv" in name else Columns()
    packed = gzip.compress(data) if name.endswith(".gz") else data
    with tempfile.TemporaryDirectory() as folder:
        cut = read_file(Path(folder), name, packed, columns, piece_bytes)
        whole = read_file(Path(folder), name, packed, columns, 1 << 20)
    if name == "note.txt":
        cut = joined(cut)
    assert cut == whole


def joined(pieces: Read) -> Read:
    """The one document that the pieces of a long text are."""
    assert [isinstance(piece, Document) and piece.continues for piece in pieces] == [False] + [True] * (len(pieces) - 1)
    return pieces if isinstance(pieces[0], BadRow) else [Document("".join(texts(pieces)))]


@settings(deadline=None)
@given(st.text(st.sampled_from("ab1.' \n\r\t\u00a0\u3000日é"), max_size=60), st.integers(1, 8))
def test_a_long_text_is_cut_where_no_token_is(text, piece_bytes):
    with tempfile.TemporaryDirectory() as folder:
        pieces = read_file(Path(folder), "long.txt", text.encode(), piece_bytes=piece_bytes)
        if not text.strip():
            assert pieces == [BadRow("long.txt", "empty text")]
            return
    assert joined(pieces) == [Document(text)]
    assert [token for part in texts(pieces) for token in small().encode(part)] == list(small().encode(text))


def test_a_long_text_comes_in_several_pieces(tmp_path):
    pieces = read_file(tmp_path, "long.txt", b"word " * 1000, piece_bytes=100)
    assert len(pieces) > 30
    assert joined(pieces) == [Document("word " * 1000)]


@pytest.mark.parametrize("name", [name for name in TABLES if ".json" not in name or "jsonl" in name])
def test_small_pieces_are_many_and_add_up_to_the_file(tmp_path, name):
    rows = [{"text": f"text {number} " + "word " * 5} for number in range(200)]
    suffix, packed = Path(name.split(".", 1)[1]).stem, f".{name.rsplit('.', 1)[1]}" if name.count(".") == 2 else ""
    data = {
        "jsonl": lambda: lines(rows),
        "csv": lambda: table(rows),
        "tsv": lambda: table(rows, "\t"),
        "parquet": lambda: parquet_of(rows, 10),
        "arrow": lambda: arrow(rows, pyarrow.ipc.new_file if name.startswith("file") else pyarrow.ipc.new_stream, 10),
    }[suffix]()
    path = tmp_path / name
    path.write_bytes(COMPRESS[packed](data))
    source = FileSource([path], Columns(), "train", 500)
    pieces = list(source.pieces())
    assert len(pieces) > 10
    assert {piece.split for piece in pieces} == {"train"}
    if suffix == "arrow":  # its end is no part of any piece
        assert 0.8 * source.size < sum(piece.size for piece in pieces) <= source.size
    else:
        assert sum(piece.size for piece in pieces) == source.size
    assert texts(read(source)) == [row["text"] for row in rows]


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.csv"])
def test_pieces_of_plain_files_hold_no_text(tmp_path, name):
    path = tmp_path / name
    path.write_bytes({"rows.jsonl": lines, "rows.csv": table}[name]([{"text": "x" * 100_000}] * 3))
    assert all(len(pickle.dumps(piece)) < 2000 for piece in FileSource([path]).pieces())


# ── rows without a document ──────────────────────────────────────────────────────────────────────────────────────────

GOOD_LINE = b'{"text": "good", "label": 1}\n'
BROKEN_LINES = {
    b'{"text": null, "label": 1}': "null text",
    b'{"label": 1}': "no text",
    b'{"text": 5, "label": 1}': "text is a number, not text",
    b'{"text": ["a"], "label": 1}': "text is a list, not text",
    b'{"text": {"a": 1}, "label": 1}': "text is an object, not text",
    b'{"text": true, "label": 1}': "text is true or false, not text",
    b'{"text": "", "label": 1}': "empty text",
    b'{"text": " \\n\\t", "label": 1}': "empty text",
    b'{"text": "\\ud800 alone", "label": 1}': "invalid UTF-8: what stands there is no character",
    b'{"text": "\xff", "label": 1}': "invalid UTF-8: invalid start byte",
    b'{"text": "cut': "not valid JSON: Unterminated string starting at",
    b'{"text": "good"} {': "not valid JSON: Extra data",
    b'["good"]': "not an object",
    b'"good"': "not an object",
    b"[" * 100_000: "not valid JSON: too deep or too long",
    b'{"text": "good", "label": ' + b"1" * 5000 + b"}": "not valid JSON: too deep or too long",
    b'{"text": "good", "label": null}': "null label",
    b'{"text": "good"}': "no label",
    b'{"text": "good", "label": 1.5}': "label is a decimal number, neither text nor a whole number",
    b'{"text": "good", "label": ""}': "empty label",
}


@pytest.mark.parametrize(("line", "reason"), BROKEN_LINES.items(), ids=BROKEN_LINES.values())
@pytest.mark.parametrize("name", ["rows.jsonl", "rows.jsonl.xz"])
def test_a_broken_line_is_named_with_its_row(tmp_path, name, line, reason):
    data = (GOOD_LINE * 10 + line + b"\n") * 3
    packed = lzma.compress(data) if name.endswith(".xz") else data
    given = read_file(tmp_path, name, packed, Columns(label="label"), piece_bytes=200)
    assert [row for row in given if isinstance(row, BadRow)] == [
        BadRow(f"{name}, row {n}", reason) for n in (11, 22, 33)
    ]
    assert given.count(Document("good", label=1)) == 30


BROKEN_ROWS = {
    b"1": "1 cell, not 2",
    b"1,good,more": "3 cells, not 2",
    b'1,""': "empty text",
    b"1, ": "empty text",
    b"1,caf\xe9": "invalid UTF-8: what stands there is no character",
    b'1,"a"b': "not valid csv: ',' expected after '\"'",
    b"1,a\rb": "not valid csv: new-line character seen in unquoted field",
    b",good": "empty label",
}


@pytest.mark.parametrize(("line", "reason"), BROKEN_ROWS.items(), ids=BROKEN_ROWS.values())
def test_a_broken_row_of_a_table_is_named_with_its_row(tmp_path, line, reason):
    data = b"label,text\n" + (b'1,"go\n""od"""\n' * 10 + line + b"\n") * 3
    given = read_file(tmp_path, "rows.csv", data, Columns(label="label"), piece_bytes=50)
    bad = [row for row in given if isinstance(row, BadRow)]
    assert [row.place for row in bad] == [f"rows.csv, row {number}" for number in (12, 23, 34)]
    assert all(row.reason.startswith(reason) for row in bad)
    assert given.count(Document('go\n"od"', label=1)) == 30


@pytest.mark.parametrize("piece_bytes", [1, 20, 1 << 20])
@pytest.mark.parametrize("limit", [100, 1 << 24])
@pytest.mark.parametrize("later", [b"good,1\n", b'"good",1\n', b'"go\nod",1\n'])
def test_a_quote_that_is_never_closed_costs_its_own_row_alone(tmp_path, monkeypatch, limit, later, piece_bytes):
    monkeypatch.setattr("gpt2lab.text.csv_files.CELL_CHARACTERS", limit)
    data = b'text,n\ngood,1\n"open,1\n' + later * 50
    given = read_file(tmp_path, "rows.csv", data, piece_bytes=piece_bytes)
    assert given.pop(1) == BadRow("rows.csv, row 3", "not valid csv: a quote is never closed")
    assert len(given) == 51
    assert {text.replace("\n", "") for text in texts(given)} == {"good"}


@pytest.mark.parametrize("piece_bytes", [1, 1 << 20])
def test_in_tab_separated_text_a_quote_is_a_character_like_any_other(tmp_path, piece_bytes):
    said = ['"Wow, he said', "nothing", 'a screen of 5"', '"Hi," she said, "bye."', "nothing more"]
    data = "".join(f"{text}\t{number}\n" for number, text in enumerate(said))
    given = read_file(tmp_path, "rows.tsv", f"text\tlabel\n{data}".encode(), Columns(label="label"), piece_bytes)
    assert given == [Document(text, label=number) for number, text in enumerate(said)]


@pytest.mark.parametrize("piece_bytes", [1, 1 << 20])
@pytest.mark.parametrize("inside", ["", "a tab\t", "a line\n"])
def test_tab_separated_cells_between_quotes_are_read_as_they_were_written(tmp_path, inside, piece_bytes):
    rows = [{"n": number, "text": f'{inside}"quoted" {number}'} for number in range(5)]
    assert texts(read_file(tmp_path, "rows.tsv", table(rows, "\t"), piece_bytes=piece_bytes)) == [
        row["text"] for row in rows
    ]


def test_cells_may_be_longer_than_the_csv_module_allows_by_itself(tmp_path):
    long = "word " * 100_000
    assert texts(read_file(tmp_path, "rows.csv", table([{"text": long}]))) == [long]


@pytest.mark.parametrize("name", ["rows.parquet", "rows.arrow"])
def test_nulls_and_broken_texts_of_tables_are_named_with_their_row(tmp_path, name):
    broken = pyarrow.array([b"\xff bad", None, b" ", b"good"]).view(pyarrow.string())
    contents = pyarrow.concat_tables([pyarrow.table({"text": ["good"] * 7}), pyarrow.table({"text": broken})])
    sink = pyarrow.BufferOutputStream()
    if name.endswith("parquet"):
        parquet.write_table(contents, sink, row_group_size=2)
    else:
        with pyarrow.ipc.new_stream(sink, contents.schema) as writer:
            writer.write_table(contents, max_chunksize=2)
    given = read_file(tmp_path, name, sink.getvalue().to_pybytes())
    assert given[7:] == [
        BadRow(f"{name}, row 8", "invalid UTF-8: invalid start byte"),
        BadRow(f"{name}, row 9", "null text"),
        BadRow(f"{name}, row 10", "empty text"),
        Document("good"),
    ]


@pytest.mark.parametrize(
    ("name", "data", "bad"),
    [
        ("list.json", b'[{"text": "good"}, 5]', [("list.json, row 2", "not an object")]),
        ("null.json", b'[{"text": "good"}, {"text": null}]', [("null.json, row 2", "null text")]),
        ("cut.json", b'[{"text": "good"},\n{"text"', [("cut.json, line 2", "not valid JSON: Expecting ':' delimiter")]),
        ("latin.json", b'["\xe9"]', [("latin.json", "invalid UTF-8: invalid continuation byte")]),
        ("latin.txt", b"one\ntwo\xe9 \nthree", [("latin.txt, line 2", "invalid UTF-8: invalid continuation byte")]),
        ("cut.txt", b"one\ntwo\xc3", [("cut.txt, line 2", "invalid UTF-8: unexpected end of data")]),
        ("empty.txt", b"", [("empty.txt", "empty text")]),
        ("blank.md", b" \n\n", [("blank.md", "empty text")]),
    ],
)  # fmt: skip
def test_files_without_a_document_are_named(tmp_path, name, data, bad):
    given = read_file(tmp_path, name, data)
    assert [row for row in given if isinstance(row, BadRow)] == [BadRow(*row) for row in bad]
    assert all(row == Document("good") for row in given if isinstance(row, Document))


def test_one_bad_byte_in_a_long_text_leaves_no_half_of_it(tmp_path):
    given = read_file(tmp_path, "long.txt", b"word\n" * 1000 + b"\xff", piece_bytes=100)
    assert given == [BadRow("long.txt, line 1001", "invalid UTF-8: invalid start byte")]


def test_blank_lines_hold_no_row_but_count(tmp_path):
    given = read_file(tmp_path, "rows.jsonl", b'\n{"text": "one"}\r\n  \n\n{"text": null}\n\n')
    assert given == [Document("one"), BadRow("rows.jsonl, row 5", "null text")]


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.csv", "rows.tsv.gz"])
def test_an_empty_file_has_no_rows(tmp_path, name):
    assert read_file(tmp_path, name, gzip.compress(b"") if name.endswith("gz") else b"") == []


# ── columns ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.json", "rows.csv", "rows.parquet", "rows.arrow"])
def test_texts_are_joined_and_completions_follow_prompts(tmp_path, name):
    rows = [{"title": "T", "body": "B", "question": "Q", "answer": "A", "class": "c"}] * 2
    data = {
        "rows.jsonl": lines(rows),
        "rows.json": json.dumps(rows).encode(),
        "rows.csv": table(rows),
        "rows.parquet": parquet_of(rows),
        "rows.arrow": arrow(rows, pyarrow.ipc.new_stream),
    }[name]
    assert read_file(tmp_path, name, data, Columns(("title", "body"), "class")) == [Document("T\nB", label="c")] * 2
    tuned = Columns(prompt="question", completion="answer")
    assert read_file(tmp_path, name, data, tuned) == [Document("A", prompt="Q")] * 2
    assert read_file(tmp_path, name, data, Columns(("body",), prompt="title")) == [Document("B", prompt="T")] * 2
    with pytest.raises(UserError, match="did you mean 'title'") as caught:
        read_file(tmp_path, name, data, Columns(("titel", "body")))
    assert "title, body, question, answer, class" in str(caught.value)
    with pytest.raises(UserError, match="no column 'text'"):
        read_file(tmp_path, name, data)


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.json", "rows.csv", "rows.parquet", "rows.arrow"])
def test_the_only_column_with_text_needs_no_name(tmp_path, name):
    rows = [{"id": 1, "review": "good", "stars": 5}, {"id": 2, "review": "bad", "stars": 1}]
    data = {
        "rows.jsonl": lines(rows),
        "rows.json": json.dumps(rows).encode(),
        "rows.csv": table(rows),
        "rows.parquet": parquet_of(rows),
        "rows.arrow": arrow(rows, pyarrow.ipc.new_stream),
    }[name]
    assert texts(read_file(tmp_path, name, data)) == ["good", "bad"]
    labelled = read_file(tmp_path, name, data, Columns(label="stars"))
    assert labelled == [Document("good", label=5), Document("bad", label=1)]
    with pytest.raises(UserError, match="did you mean 'review'"):
        read_file(tmp_path, name, data, Columns(("reviews",)))


def test_keys_that_come_late_are_known(tmp_path):
    data = b'{"other": 1}\n' * 20 + b'{"text": "good"}\n'
    assert read_file(tmp_path, "rows.jsonl", data)[20] == Document("good")


def test_labels_stay_as_they_stand(tmp_path):
    labels = ["1", "01", "9" * 5000, "-2", "1.5", "1_0", "+1", "½", "Sci/Tech", "0", "-0"]
    given = read_file(
        tmp_path, "rows.csv", table([{"text": "t", "kind": label} for label in labels]), Columns(label="kind")
    )
    assert [row.label for row in given if isinstance(row, Document)] == [1, "01", "9" * 5000, -2, *labels[4:9], 0, "-0"]
    data = b'{"text": "t", "kind": "1"}\n{"text": "t", "kind": 1}\n{"text": "t", "kind": true}\n'
    given = read_file(tmp_path, "rows.jsonl", data, Columns(label="kind"))
    assert [(type(row.label), row.label) for row in given if isinstance(row, Document)] == [
        (str, "1"),
        (int, 1),
        (int, 1),
    ]


NEWS = [
    ["3", "Fears for pension", 'Unions say they are "disappointed"'],
    ["4", "The Race is On", "SPACE.com - a\nteam"],
]
NEWS_TEXTS = [f"{title}\n{description}" for _, title, description in NEWS]


@pytest.mark.parametrize("header", [None, ["Class Index", "Title", "Description"], ["label", "title", "description"]])
@pytest.mark.parametrize("columns", [Columns(label="label"), Columns(("title", "description"), "label")])
def test_ag_news_with_and_without_its_header(tmp_path, header, columns):
    rows = [dict(enumerate(row)) for row in ([header] if header else []) + NEWS]
    expected = [Document(text, label=label) for text, label in zip(NEWS_TEXTS, (3, 4), strict=True)]
    assert read_file(tmp_path, "test.csv", table(rows, header=False), columns) == expected


def test_ag_news_by_the_names_of_its_header(tmp_path):
    rows = [dict(zip(["Class Index", "Title", "Description"], row, strict=True)) for row in NEWS]
    given = read_file(tmp_path, "test.csv", table(rows), Columns(("Description",), "Class Index"))
    assert given == [Document(row[2], label=int(row[0])) for row in NEWS]


def test_columns_without_a_header_are_counted(tmp_path):
    data = b"1,good,x\n0,bad,y\n"
    assert read_file(tmp_path, "rows.csv", data, Columns(("1",), "0")) == [
        Document("good", label=1),
        Document("bad", label=0),
    ]
    assert texts(read_file(tmp_path, "rows.csv", data, Columns(("2", "1")))) == ["x\ngood", "y\nbad"]
    with pytest.raises(UserError, match="no column '3'"):
        read_file(tmp_path, "rows.csv", data, Columns(("3",)))


def test_a_first_row_of_texts_is_not_taken_for_a_header(tmp_path):
    """It would be lost, and nothing would say so."""
    for data in (b"A good film\nA bad film\n", b"good,a film\nbad,a film\n", b"good,5\nbad,1\n"):
        with pytest.raises(UserError, match="no column 'text'") as caught:
            read_file(tmp_path, "rows.csv", data)
        assert "data.text=1,2" in str(caught.value.way_out)


@pytest.mark.parametrize("name", ["rows.csv", "rows.arrow", "rows.parquet"])
def test_two_columns_of_one_name_are_refused(tmp_path, name):
    twice, sink = pyarrow.table([["a"], ["b"]], names=["text", "text"]), pyarrow.BufferOutputStream()
    if name == "rows.csv":
        sink.write(b"text,text\na,b\n")
    elif name == "rows.parquet":
        parquet.write_table(twice, sink)
    else:
        with pyarrow.ipc.new_stream(sink, twice.schema) as writer:
            writer.write_table(twice)
    with pytest.raises(UserError, match="two columns 'text'"):
        read_file(tmp_path, name, sink.getvalue().to_pybytes())


def test_a_text_file_among_tables_with_named_columns_is_refused(tmp_path):
    with pytest.raises(UserError, match="has no columns"):
        read_file(tmp_path, "README.md", b"# The data set", Columns(("review",)))


# ── damage ───────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", ["rows.parquet", "stream.arrow", "file.arrow"])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_a_damaged_table_is_named(tmp_path, name, share):
    data = TABLES[name]
    with pytest.raises(UserError, match=r"damaged|cut short") as caught:
        read_file(tmp_path, name, data[: int(share * len(data))])
    assert caught.value.place == str(tmp_path / name)


@pytest.mark.parametrize("new", [pyarrow.ipc.new_stream, pyarrow.ipc.new_file])
def test_an_arrow_file_that_ends_too_early_is_not_taken_for_a_short_one(tmp_path, new):
    data = arrow(ROWS, new, 1)
    third = data.rindex(b"\xff\xff\xff\xff", 0, data.rindex("Ωmega".encode()))
    stopped = data[:third] + b"\xff\xff\xff\xff\x00\x00\x00\x00" + data[third + 8 :]
    for damaged in (stopped, data[: -len(data) // 3]):
        with pytest.raises(UserError, match="cut short"):
            read_file(tmp_path, "rows.arrow", damaged)


def test_a_table_without_its_end_is_known_before_anything_is_read(tmp_path):
    for name in ("rows.parquet", "file.arrow"):
        path = tmp_path / name
        path.write_bytes(TABLES[name][:-1])
        with pytest.raises(UserError, match="cut short"):
            FileSource([path]).check()


@pytest.mark.parametrize("data", [b"no parquet at all", TABLES["rows.parquet"][:-1], b""])
def test_damage_of_items_and_of_named_sets_is_named(tmp_path, data):
    path = tmp_path / "rows.parquet"
    path.write_bytes(data)
    for read_all in (lambda: items.read(str(path)), lambda: list(named.endings(iter([path])))):
        with pytest.raises(UserError, match="damaged or cut short") as caught:
            read_all()
        assert caught.value.place == str(path)


def test_damage_is_named_or_harmless_wherever_it_is(tmp_path):
    rng, rows = random.Random(0), [{"text": f"text {number}"} for number in range(20)]
    tables = {"rows.parquet": parquet_of(rows, 5), "stream.arrow": arrow(rows, pyarrow.ipc.new_stream, 5)}
    for _ in range(300):
        for name, data in tables.items():
            changed = bytearray(data)
            changed[rng.randrange(len(data))] = rng.randrange(256)
            try:
                assert len(read_file(tmp_path, name, bytes(changed))) == 20
            except UserError as error:
                assert error.place == str(tmp_path / name)


def test_a_file_that_shrinks_or_goes_while_it_is_read_is_named(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_bytes(lines(ROWS))
    piece = next(FileSource([path]).pieces())
    path.write_bytes(lines(ROWS[:2]))
    with pytest.raises(UserError, match="became shorter"):
        list(piece.documents())
    path.unlink()
    with pytest.raises(UserError, match="cannot be read"):
        list(piece.documents())


def test_documents_before_the_damage_may_come_and_then_the_file_is_named(tmp_path):
    rng = random.Random(0)
    data = lines([{"text": rng.randbytes(500).hex()} for _ in range(5000)])
    path = tmp_path / "rows.jsonl.gz"
    path.write_bytes(gzip.compress(data)[:-100_000])
    given = []
    with pytest.raises(UserError, match="damaged or cut short") as caught:
        for piece in FileSource([path], piece_bytes=100_000).pieces():
            given.extend(piece.documents())
    assert caught.value.place == str(path)
    assert 1000 < len(texts(given)) < 5000


# ── sources ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("b/rows.jsonl", "a.csv", "b/deep/c.txt.gz", ".hidden.txt", ".git/config.json", "b/LICENSE", "b/x.npy"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(
            gzip.compress(b"text")
            if name.endswith("gz")
            else b"text,n\nhello,1\n"
            if "csv" in name
            else b'{"text":"x"}'
        )
    return tmp_path


def test_a_folder_is_its_known_files_in_order(folder):
    names = [path.relative_to(folder).as_posix() for path in find_files(str(folder))]
    assert names == ["a.csv", "b/deep/c.txt.gz", "b/rows.jsonl"]
    assert texts(read(FileSource(find_files(str(folder))))) == ["hello", "text", "x"]


def test_what_is_not_read_of_a_folder_is_said(tmp_path, capsys):
    (tmp_path / "a.txt").write_text("text")
    (tmp_path / "picture.png").write_bytes(b"no text")
    (tmp_path / ".hidden.txt").write_text("text")
    find_files(str(tmp_path))
    assert capsys.readouterr().out == f"{tmp_path}: not read: 1 file of other kinds, such as picture.png\n"


def test_a_data_card_beside_data_is_no_document(tmp_path, capsys):
    (tmp_path / "README.md").write_text("---\nlicense: mit\n---\nAbout these rows.")
    (tmp_path / "notes.md").write_text("A note.")
    assert [path.name for path in find_files(str(tmp_path))] == ["README.md", "notes.md"]
    (tmp_path / "rows.jsonl").write_text('{"text": "x"}')
    capsys.readouterr()
    assert [path.name for path in find_files(str(tmp_path))] == ["notes.md", "rows.jsonl"]
    assert "not read: README.md, which tells of the data" in capsys.readouterr().out


def test_semicolons_between_columns_are_named(tmp_path):
    with pytest.raises(UserError) as caught:
        read_file(tmp_path, "excel.csv", b"label;text\n1;a text\n", Columns())
    assert "semicolons" in str(caught.value.way_out)


@pytest.mark.parametrize("name", ["rows.csv", "rows.tsv"])
def test_spaces_around_the_names_of_columns_do_not_count(tmp_path, name):
    data = b"id, text, label \n1,good,2\n".replace(b",", b"\t" if name == "rows.tsv" else b",")
    assert read_file(tmp_path, name, data, Columns(label="label")) == [Document("good", label=2)]


def test_a_file_and_a_glob(folder, monkeypatch):
    assert find_files(str(folder / "a.csv")) == [folder / "a.csv"]
    assert find_files(str(folder / "**" / "*.*l")) == [folder / "b/rows.jsonl"]
    assert find_files(f"{folder}/*.[ct][sx][vt]") == [folder / "a.csv"]
    (folder / "odd[1].txt").write_text("brackets in a name")
    assert find_files(str(folder / "odd[1].txt")) == [folder / "odd[1].txt"]
    monkeypatch.chdir(folder)
    assert find_files("b/*.jsonl") == [Path("b/rows.jsonl")]
    monkeypatch.setenv("HOME", str(folder))
    assert find_files("~/a.csv") == [folder / "a.csv"]


@pytest.mark.parametrize(
    "data", ["missing.csv", "*.parquet", "empty", "b/LICENSE", "b/x.npy", "b/*", "rows.parquet.gz"]
)
def test_what_is_not_known_is_refused_with_what_is(folder, data):
    (folder / "empty").mkdir()
    (folder / "rows.parquet.gz").write_bytes(b"")
    with pytest.raises(UserError) as caught:
        find_files(str(folder / data))
    assert ".jsonl" in str(caught.value.way_out)
    assert ".parquet" in str(caught.value.way_out)


def test_a_broken_link_is_no_silent_gap(folder):
    (folder / "gone.txt").symlink_to(folder / "nowhere.txt")
    source = FileSource(find_files(str(folder)))
    with pytest.raises(UserError, match="cannot be read") as caught:
        list(source.pieces())
    assert caught.value.place == str(folder / "gone.txt")


def test_files_come_sorted_with_the_split_of_each(folder):
    first, second = folder / "a.csv", folder / "b/rows.jsonl"
    source = FileSource([second, first, first], Columns(), {first: "train", second: "test"})
    assert [piece.split for piece in source.pieces()] == ["train", "test"]
    assert [file.get("split") for file in source.describe()["files"]] == ["train", "test"]
    assert source.size == first.stat().st_size + second.stat().st_size


def test_small_files_share_a_piece_in_their_order_and_with_their_places(tmp_path):
    contents = {f"{number:04}.txt": b"text %d" % number for number in range(300)} | {
        "0007.txt": b"\xff",
        "0100-long.txt": b"word " * 1000,
        "0200.jsonl": b'{"text": "a row"}\nno row\n',
    }
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    paths = find_files(str(tmp_path))
    alone = FileSource(paths, piece_bytes=1000)
    together = FileSource(paths, piece_bytes=1 << 20)
    assert len(list(alone.pieces())) > 300
    assert len(list(together.pieces())) < 5
    given = read(together)
    assert [row.place for row in given] == list(dict.fromkeys(row.place for row in read(alone)))
    assert [row.text for row in given if isinstance(row, Document)][99:101] == ["word " * 1000, "text 100"]
    assert sum(piece.size for piece in together.pieces()) == together.size


def test_files_of_different_splits_share_no_piece(tmp_path):
    paths = [tmp_path / f"{number}.txt" for number in range(6)]
    for path in paths:
        path.write_text(path.name)
    splits = {path: "test" if path.name == "3.txt" else "train" for path in paths}
    pieces = list(FileSource(paths, split=splits).pieces())
    assert [(piece.split, len(list(piece.documents()))) for piece in pieces] == [
        ("train", 3),
        ("test", 1),
        ("train", 2),
    ]


def test_every_file_is_checked_before_the_first_is_read(folder):
    source = FileSource(find_files(str(folder)))
    source.check()
    (folder / "z.csv").write_text("title,body\na,b\n")
    with pytest.raises(UserError, match="no column 'text'"):
        FileSource(find_files(str(folder))).check()


def test_a_source_is_known_by_its_contents_wherever_it_lies(folder, tmp_path_factory):
    described = FileSource(find_files(str(folder))).describe()
    assert json.loads(json.dumps(described)) == described
    assert [file["name"] for file in described["files"]] == ["a.csv", "b/deep/c.txt.gz", "b/rows.jsonl"]
    elsewhere = folder.rename(tmp_path_factory.mktemp("moved") / "data")
    assert FileSource(find_files(str(elsewhere))).describe() == described
    assert FileSource(find_files(str(elsewhere)), Columns(label="n")).describe() != described
    (elsewhere / "a.csv").write_bytes(b"text,n\njello,1\n")
    assert FileSource(find_files(str(elsewhere))).describe() != described


def test_a_very_large_file_is_known_by_its_size_and_three_places(tmp_path, monkeypatch):
    monkeypatch.setattr(formats, "HASHED_WHOLE", 100)
    monkeypatch.setattr(formats, "HASHED_PART", 10)
    path = tmp_path / "large.txt"

    def identity(data: bytearray) -> str:
        path.write_bytes(data)
        described = formats.describe_files([path])[0]
        assert described["size"] == len(data)
        return described["sha256_of_size_and_first_middle_last_megabyte"]

    data = bytearray(b"x" * 201)
    before = identity(data)
    for place in (0, 9, 95, 104, 191, 200):
        changed = data.copy()
        changed[place] = 0
        assert identity(changed) != before
    assert identity(data + b"x") != before


MEMORY = """
import sys
from pathlib import Path
import psutil
import pyarrow.parquet
from gpt2lab.text.formats import FileSource

process = psutil.Process()
before = highest = process.memory_info().rss
documents = 0
for piece in FileSource([Path(sys.argv[1])]).pieces():
    for document in piece.documents():
        documents += 1
        if documents % 100 == 0:
            highest = max(highest, process.memory_info().rss)
print(documents, (highest - before) >> 20)
"""


@pytest.mark.parametrize("name", ["large.jsonl.gz", "large.parquet"])
def test_memory_does_not_grow_with_the_file(tmp_path, name):
    path, rng = tmp_path / name, random.Random(0)
    rows = [{"text": rng.randbytes(6500).hex()} for _ in range(1000)]
    if name.endswith("gz"):
        path.write_bytes(gzip.compress(lines(rows), 1) * 20)
    else:
        path.write_bytes(parquet_of(rows * 20, use_dictionary=False, compression="zstd"))  # one row group
    assert path.stat().st_size > 100 << 20
    result = subprocess.run([sys.executable, "-c", MEMORY, path], capture_output=True, text=True, check=True)
    documents, grown = map(int, result.stdout.split())
    assert documents == 20_000
    assert grown < 100, f"{grown} MB"


# ── real data ────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("name", "columns", "documents", "labels"),
    [
        ("ag-news/test.csv.xz", Columns(label="label"), 7600, {1: 1900, 2: 1900, 3: 1900, 4: 1900}),
        ("ag-news/train_subset.jsonl.xz", Columns(label="label"), 22505, {0: 5644, 1: 5790, 2: 5564, 3: 5507}),
        ("wikipedia/good_articles_2019.jsonl.xz", Columns(), 1947, {None: 1947}),
        ("fineweb/fineweb_300_documents.json.xz", Columns(), 300, {None: 300}),
        ("tinyshakespeare/input.txt.xz", Columns(), 1, {None: 1}),
    ],
)
def test_real_data_is_all_there(real_data, name, columns, documents, labels):
    given = read(FileSource([real_data / name], columns))
    assert len(texts(given)) == documents
    assert Counter(row.label for row in given if isinstance(row, Document)) == labels


def test_a_whole_number_of_any_size_stays_a_label(tmp_path):
    rows = [{"text": "one", "label": 2**70}, {"text": "two", "label": 1.5}]
    one, two = read_file(tmp_path, "data.jsonl", lines(rows), Columns(label="label"))
    assert one == Document("one", label=2**70)
    assert isinstance(two, BadRow)
