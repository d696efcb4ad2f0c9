"""A text's form: one closed pair of delimiters, and a number of words within bounds."""

import pytest

from gpt2lab.measure import form
from gpt2lab.text.builtin import documents


@pytest.mark.parametrize(
    ("text", "closed", "words", "fits"),
    [
        ("<LOC> one two three </LOC>", True, 3, True),
        ("before <LOC>one\ntwo</LOC> after", True, 2, True),
        ("<LOC>one</LOC>", True, 1, False),
        ("<LOC>one two three four five</LOC>", True, 5, False),
        ("<LOC>one two three", False, None, False),
        ("one two three</LOC>", False, None, False),
        ("</LOC>one two<LOC>", False, None, False),
        ("<LOC>one<LOC>two three</LOC>", False, None, False),
        ("<LOC>one two</LOC></LOC>", False, None, False),
        ("<LOC>one two</LOC> <LOC>", False, None, False),
        ("", False, None, False),
    ],
)
def test_closed_once_and_of_the_right_length(text, closed, words, fits):
    assert form.of(text, "<LOC>", "</LOC>", 2, 4) == form.Form(closed, words, fits)


def test_every_built_in_location_has_its_form():
    for document in documents("fantasy")[:100]:
        assert form.of(document.text, "<LOC>", "</LOC>", 150, 400).fits
