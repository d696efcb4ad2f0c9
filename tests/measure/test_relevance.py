"""Relevance to the prompt against one text at a time in float64, and the line along it against numpy's."""

import re
from dataclasses import replace
from hashlib import sha256

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gpt2lab.measure.relevance import relevance, slope
from models import TINY, language_model, random_ids

MODEL = language_model(replace(TINY, context=32))
END = TINY.end_of_text
PROMPTS = [row[: 3 + number].numpy() for number, row in enumerate(random_ids(3, 8, seed=5))]
TEXTS = [row[: 4 + 3 * number].numpy() for number, row in enumerate(random_ids(3, 12, seed=6))]


def log_likelihoods(context, text):
    model = language_model(replace(TINY, context=32)).double()
    ids = torch.from_numpy(np.concatenate([context, text]))[None]
    with torch.no_grad():
        log_p = model(ids[:, :-1])[0, :, : TINY.vocabulary].log_softmax(-1)
    return log_p[torch.arange(len(context) - 1, len(log_p)), torch.from_numpy(text)].numpy()


def test_each_is_the_brute_force():
    found = relevance(MODEL, PROMPTS, TEXTS, END)
    order = sorted(range(3), key=lambda number: sha256(np.array([END, *PROMPTS[number]]).tobytes()).digest())
    next_of = {number: order[(place + 1) % 3] for place, number in enumerate(order)}
    for number, (one, text) in enumerate(zip(found, TEXTS)):
        alone = log_likelihoods([END], text)
        behind, other = (log_likelihoods([END, *PROMPTS[place]], text) - alone for place in (number, next_of[number]))
        assert one.value == pytest.approx(behind.mean(), abs=1e-5)
        assert one.floor == pytest.approx(other.mean(), abs=1e-5)
        assert one.drift == pytest.approx(np.polyfit(np.arange(len(text)), behind, 1)[0] * 100, abs=1e-3)
        assert (one.tokens, one.cut) == (len(text), 0)


def test_progress_ends_where_all_is_done(capsys):
    """Each text is read alone, behind its prompt and behind another."""
    relevance(MODEL, PROMPTS, TEXTS, END)
    done, total = map(int, re.findall(r"relevance: (\d+) of (\d+) contexts", capsys.readouterr().err)[-1])
    assert done == total == 1 + 2 * len(TEXTS)


def test_an_empty_prompt_is_worth_exactly_nothing():
    for one in relevance(MODEL, [PROMPTS[0][:0]] * 2, TEXTS[:2], END):
        assert (one.value, one.drift, one.floor) == (0, 0, None)


def test_samples_of_one_prompt_share_its_floor_whatever_their_order():
    prompts, texts = [PROMPTS[0], PROMPTS[1], PROMPTS[0]], TEXTS
    found = relevance(MODEL, prompts, texts, END)
    order = [2, 0, 1]
    permuted = relevance(MODEL, [prompts[place] for place in order], [texts[place] for place in order], END)
    for one, place in zip(permuted, order):
        assert one.value == pytest.approx(found[place].value, abs=1e-5)
        assert one.floor == pytest.approx(found[place].floor, abs=1e-5)


def test_what_does_not_fit_beside_the_prompts_is_cut_and_counted():
    long_prompt, long_text = random_ids(1, 100)[0].numpy(), random_ids(1, 60, seed=9)[0].numpy()
    one = relevance(MODEL, [long_prompt], [long_text], END)[0]
    kept = 32 + 1 - 17  # the prompt keeps its last sixteen, behind an end-of-text
    assert (one.tokens, one.cut) == (kept, 60 - kept)
    expected = log_likelihoods([END, *long_prompt[-16:]], long_text[:kept]) - log_likelihoods([END], long_text[:kept])
    assert one.value == pytest.approx(expected.mean(), abs=1e-5)


@given(st.lists(st.floats(-5, 5), min_size=2, max_size=40))
def test_the_slope_is_the_least_squares_line(values):
    gain = np.array(values)
    assert slope(gain) == pytest.approx(np.polyfit(np.arange(len(gain)), gain, 1)[0] * 100, abs=1e-6)
    assert slope(gain[::-1]) == pytest.approx(-slope(gain), abs=1e-6)


def test_a_single_token_has_no_slope():
    assert slope(np.array([1.0])) is None
