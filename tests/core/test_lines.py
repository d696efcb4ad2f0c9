"""JSON lines survive a torn last line."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpt2lab.core import lines
from gpt2lab.core.errors import UserError

RECORDS = [{"step": 1, "text": "a"}, {"step": 2, "text": "ä\n\u2028"}, {"step": 3, "text": "日本"}]


def write(path, records):
    with contextlib.closing(lines.LineWriter(path)) as writer:
        for record in records:
            writer.write(record)


def test_what_is_written_is_read(tmp_path):
    write(tmp_path / "a.jsonl", RECORDS)
    assert list(lines.read(tmp_path / "a.jsonl")) == RECORDS


@given(st.lists(st.dictionaries(st.text(), st.integers() | st.text()), max_size=5))
def test_any_records_come_back(tmp_path_factory, records):
    path = tmp_path_factory.mktemp("lines") / "a.jsonl"
    write(path, records)
    assert list(lines.read(path)) == records


def test_torn_at_any_byte_whole_lines_survive_and_writing_goes_on(tmp_path):
    """A crash may cut the file anywhere: what was whole is read, what was torn is gone, new lines follow cleanly."""
    path = tmp_path / "a.jsonl"
    write(path, RECORDS)
    whole = path.read_bytes()
    for size in range(len(whole) + 1):
        path.write_bytes(whole[:size])
        survived = RECORDS[: whole[:size].count(b"\n")]
        assert list(lines.read(path)) == survived
        write(path, [{"step": 9}])
        assert list(lines.read(path)) == [*survived, {"step": 9}]


def test_cut_brings_the_file_back_to_a_position(tmp_path):
    path = tmp_path / "a.jsonl"
    with contextlib.closing(lines.LineWriter(path)) as writer:
        writer.write(RECORDS[0])
        position = writer.position()
        writer.write(RECORDS[1])
    lines.cut(path, position)
    assert list(lines.read(path)) == RECORDS[:1]


def test_a_damaged_line_in_the_middle_is_named_and_not_skipped(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"a": 1}\n{"a": \n{"a": 3}\n')
    with pytest.raises(UserError, match="line 2"):
        list(lines.read(tmp_path / "a.jsonl"))


def test_a_missing_file_has_no_lines(tmp_path):
    assert list(lines.read(tmp_path / "none.jsonl")) == []


def test_nan_is_refused_because_json_has_none(tmp_path):
    with pytest.raises(ValueError, match="not JSON compliant"):
        write(tmp_path / "a.jsonl", [{"loss": float("nan")}])
