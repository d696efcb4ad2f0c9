"""Promise: a line of JSON is read as Python reads it, with orjson or without."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpt2lab.text import json_rows

TEXT = st.text(st.characters(exclude_categories=()))  # halves of pairs as well
NUMBERS = st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False)
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXT, lambda inner: st.lists(inner) | st.dictionaries(TEXT, inner)
)


@given(VALUES)
def test_any_value_is_read_as_python_reads_it(value):
    line = json.dumps(value).encode()
    value, sound = json_rows.parse(line)
    assert repr(value) == repr(json.loads(line))
    assert not sound or json.dumps(value, ensure_ascii=False).encode()  # no half of a pair


@pytest.mark.parametrize("line", [b'{"text": NaN}', b'{"text": "\\ud83d"}', b"[1e400, Infinity]"])
def test_what_orjson_refuses_is_read_all_the_same(line):
    value, sound = json_rows.parse(line)
    assert repr(value) == repr(json.loads(line))
    assert not sound


@pytest.mark.parametrize("line", [b"{", b'"\xff"', b"[1,]"])
def test_what_python_refuses_is_refused_for_pythons_reason(line):
    with pytest.raises(ValueError) as ours:
        json_rows.parse(line)
    with pytest.raises(ValueError) as pythons:
        json.loads(line.decode())
    assert str(ours.value) == str(pythons.value)


def test_without_orjson_nothing_else_changes(monkeypatch):
    monkeypatch.setattr(json_rows, "_quick", None)
    assert json_rows.parse(b'{"a": [1, "\\u00e9"]}') == ({"a": [1, "é"]}, False)
