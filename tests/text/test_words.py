"""Words are counted from bytes exactly as `str.split` counts them in text."""

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpt2lab.text.words import count_words

WHITE = [chr(code) for code in range(sys.maxunicode + 1) if chr(code).isspace()]
LETTERS = st.one_of(st.characters(exclude_categories=["Cs"]), st.sampled_from([*WHITE, "a", "’", "\u200b", "\u3001"]))


@given(st.lists(st.text(LETTERS)))
def test_words_are_those_of_split(texts):
    assert count_words([text.encode() for text in texts]) == [len(text.split()) for text in texts]


def test_every_code_point_separates_words_or_does_not_as_in_split():
    codes = [code for code in range(sys.maxunicode + 1) if not 0xD800 <= code <= 0xDFFF]
    texts = [f"a{chr(code)}b" for code in codes]
    assert count_words([text.encode() for text in texts]) == [len(text.split()) for text in texts]


@pytest.mark.parametrize("cut", [b"\xe2", b"\xe2\x80", b"\xc2", b"\xf0\x9f"])
def test_a_text_may_end_within_a_character(cut):
    assert count_words([b"abc " + cut, b"two words"])[1] == 2
