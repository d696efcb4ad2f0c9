"""Which tokens are scored, and from what: for any length, context and stride."""

from hypothesis import given
from hypothesis import strategies as st

from gpt2lab.measure import windows

LENGTHS, CONTEXTS, STRIDES = st.integers(2, 300), st.integers(2, 50), st.integers(1, 60)


def scored(found):
    return [place for window in found for place in range(window.first, window.stop)]


@given(LENGTHS, CONTEXTS, STRIDES)
def test_sliding_scores_every_token_but_the_first_once_from_within_the_context(tokens, context, stride):
    found = list(windows.sliding(tokens, context, stride))
    assert all(window.stop - window.start <= context and window.start < window.first for window in found)
    assert scored(found) == list(range(1, tokens))


@given(LENGTHS, CONTEXTS)
def test_rolling_scores_every_token_after_the_prefix_once_with_at_most_a_window_of_inputs(tokens, window):
    found = list(windows.rolling(tokens, window))
    assert scored(found) == list(range(1, tokens))
    assert all(part.start < part.first and part.stop - 1 - part.start <= window for part in found)
    assert all(part.first - part.start == 1 for part in found[:-1])  # only the last one overlaps what came before


@given(LENGTHS, CONTEXTS)
def test_blocks_score_every_token_but_the_first_and_group_texts_leaves_out_the_first_of_each_and_the_rest(
    tokens, block
):
    assert scored(windows.blocks(tokens, block)) == list(range(1, tokens))
    whole = tokens // block * block
    assert scored(windows.group_texts(tokens, block)) == [place for place in range(whole) if place % block]


@given(LENGTHS, CONTEXTS, STRIDES)
def test_as_huggingface_scores_no_token_twice_and_all_where_windows_overlap(tokens, context, stride):
    found = list(windows.as_huggingface(tokens, context, stride))
    places = scored(found)
    assert len(places) == len(set(places))
    if stride < context:
        assert places == list(range(1, tokens))
