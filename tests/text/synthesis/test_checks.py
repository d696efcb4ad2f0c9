"""Every answer that is not what was asked for is refused, with a reason that can be counted."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpt2lab.text.synthesis.checks import inside, refusal, words
from gpt2lab.text.synthesis.settings import CheckSettings, DelimiterSettings

CHECKS = CheckSettings(fewest_words=3, most_words=5)
LOC = DelimiterSettings(open="<LOC>", close="</LOC>")
CASES = [
    ("<LOC>one two three</LOC>", "stop", None),
    ("\n <LOC>one two\n\nthree four five</LOC>\n", "stop", None),
    ("<LOC>{kind} of {other}</LOC>", "stop", None),
    ("<LOC>one two</LOC>", "stop", "fewer than 3 words"),
    ("<LOC>1 2 3 4 5 6</LOC>", "stop", "more than 5 words"),
    ("<LOC></LOC>", "stop", "fewer than 3 words"),
    ("<LOC>one two three</LOC>", "length", "cut off at model.max_tokens"),
    ("", "content_filter", "held back by the endpoint's filter"),
    ("<LOC>one two three</LOC>", "tool_calls", "another finish reason than checks.finish has"),
    ("<LOC>one two three</LOC>", None, "another finish reason than checks.finish has"),
    ("", "stop", "empty"),
    ("   \n", "stop", "empty"),
    ("one two three", "stop", "without <LOC>…</LOC>"),
    ("<LOC>one two three", "stop", "without <LOC>…</LOC>"),
    ("one two three</LOC>", "stop", "without <LOC>…</LOC>"),
    ("Here it is: <LOC>one two three</LOC>", "stop", "with text around <LOC>…</LOC>"),
    ("<LOC>one two three</LOC> Shall I go on?", "stop", "with text around <LOC>…</LOC>"),
    ("</LOC>one two three<LOC>", "stop", "with text around <LOC>…</LOC>"),
    ("<LOC>one two</LOC><LOC>three four</LOC>", "stop", "with more than one <LOC>…</LOC>"),
    ("<LOC>one two \x00 three</LOC>", "stop", "broken characters"),
    ("<LOC>one two \ufffd three</LOC>", "stop", "broken characters"),
]


@pytest.mark.parametrize(("text", "finish", "reason"), CASES)
def test_each_fault_has_its_reason(text, finish, reason):
    assert refusal(text, finish, CHECKS, LOC) == reason


def test_without_delimiters_any_text_will_do():
    assert refusal("one two three", "stop", CHECKS, DelimiterSettings()) is None


def test_one_delimiter_may_stand_at_both_ends_and_yet_must_come_twice():
    same = DelimiterSettings(open="##", close="##")
    assert refusal("## one two three ##", "stop", CHECKS, same) is None
    assert refusal("##", "stop", CHECKS, same) == "with text around ##…##"


@given(st.text())
def test_what_is_accepted_has_its_delimiters_once_and_the_right_length(text):
    answer = f"<LOC>{text}</LOC>"
    if refusal(answer, "stop", CHECKS, LOC) is None:
        assert 3 <= words(answer, LOC) <= 5
        assert "<LOC>" not in inside(answer, LOC)
        assert "</LOC>" not in inside(answer, LOC)
