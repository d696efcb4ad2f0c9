"""Samples: greedy is the brute force, and a sample's draws are its own wherever it is made."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gpt2lab.core.errors import UserError
from gpt2lab.generate.generate import generate
from gpt2lab.generate.sampling import distribution, draws_for, pick
from gpt2lab.generate.settings import SamplingSettings
from models import TINY, language_model
from vocabularies import small

MODEL = language_model(replace(TINY, vocabulary=small().size, context=64))
PROMPT = "The tokenizer"


def test_greedy_equals_a_brute_force_without_a_cache():
    sample = generate(MODEL, small(), PROMPT, 1, SamplingSettings(temperature=0, max_new_tokens=20), ignore_eos=True)[0]
    ids = small().encode(PROMPT).tolist()
    begin = len(ids)
    with torch.no_grad():
        for _ in range(20):
            ids.append(int(MODEL(torch.tensor([ids]))[0, -1].argmax()))
    assert sample.text == small().decode(ids[begin:])
    assert sample.finish == "length"


def test_a_sample_is_the_same_alone_and_among_others():
    settings = SamplingSettings(max_new_tokens=15, temperature=0.8, top_k=50, seed=3)
    many = generate(MODEL, small(), PROMPT, 4, settings)
    assert generate(MODEL, small(), PROMPT, 1, settings) == many[:1]
    assert len({sample.text for sample in many}) > 1
    assert generate(MODEL, small(), PROMPT, 4, settings) == many


def test_it_stops_where_the_context_is_full_and_says_so():
    long = generate(MODEL, small(), PROMPT, 1, SamplingSettings(max_new_tokens=500), ignore_eos=True)[0]
    assert long.finish == "context"
    assert long.tokens == 64 - len(small().encode(PROMPT))
    with pytest.raises(UserError, match="the prompt has"):
        generate(MODEL, small(), PROMPT * 40, 1, SamplingSettings())


def test_an_empty_prompt_begins_a_text():
    assert generate(MODEL, small(), "", 1, SamplingSettings(max_new_tokens=3), ignore_eos=True)[0].tokens == 3


LOGITS = torch.tensor([[2.0, 1.0, 0.5, -1.0, -3.0]])


def test_top_k_and_top_p_keep_the_likeliest():
    kept = distribution(LOGITS, SamplingSettings(top_k=2))[0]
    assert (kept > 0).tolist() == [True, True, False, False, False]
    assert kept[:2] == pytest.approx(LOGITS[0, :2].softmax(-1))
    cumulated = LOGITS.softmax(-1).cumsum(-1)[0]
    for share in (0.0, 0.1, 0.7, 0.95):
        kept = distribution(LOGITS, SamplingSettings(top_p=share))[0]
        assert int((kept > 0).sum()) == int((cumulated < share).sum()) + 1
    assert (distribution(LOGITS, SamplingSettings(top_p=1.0)) > 0).all()


def test_temperature_zero_takes_the_likeliest():
    assert distribution(LOGITS, SamplingSettings(temperature=0))[0].tolist() == [1, 0, 0, 0, 0]


@given(st.integers(0, 1000), st.text(max_size=5), st.integers(0, 9))
def test_draws_depend_on_seed_prompt_and_sample_alone(seed, prompt, sample):
    first = torch.rand(3, generator=draws_for(seed, prompt, sample))
    assert torch.equal(first, torch.rand(3, generator=draws_for(seed, prompt, sample)))
    assert not torch.equal(first, torch.rand(3, generator=draws_for(seed, prompt, sample + 1)))


def test_draws_follow_the_distribution():
    probabilities = torch.tensor([[0.5, 0.0, 0.3, 0.2]])
    generator = draws_for(1, "", 0)
    counts = torch.zeros(4)
    for _ in range(4000):
        counts[pick(probabilities, [generator])[0]] += 1
    assert counts[1] == 0
    assert (counts / 4000 - probabilities[0]).abs().max() < 0.03
