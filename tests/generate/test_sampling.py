"""The next id: what may be drawn, and draws that belong to a sample wherever it is made."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gpt2lab.generate import sampling
from gpt2lab.generate.constraints import constrain, would_repeat
from gpt2lab.generate.sampling import choose, distribution, draws_for, noise
from gpt2lab.generate.settings import SamplingSettings

LOGITS = torch.tensor([[2.0, 1.0, 0.5, -1.0, -3.0]])


def test_top_k_top_p_and_min_p_keep_the_likeliest():
    kept = distribution(LOGITS, SamplingSettings(top_k=2))[0]
    assert (kept > 0).tolist() == [True, True, False, False, False]
    assert kept[:2] == pytest.approx(LOGITS[0, :2].softmax(-1))
    cumulated = LOGITS.softmax(-1).cumsum(-1)[0]
    for share in (1e-9, 0.1, 0.7, 0.95):
        kept = distribution(LOGITS, SamplingSettings(top_p=share))[0]
        assert int((kept > 0).sum()) == int((cumulated < share).sum()) + 1
    kept = distribution(LOGITS, SamplingSettings(min_p=0.3))[0]
    assert (kept > 0).tolist() == [True, True, False, False, False]  # e^-1 is 0.37, e^-1.5 is 0.22
    assert (distribution(LOGITS, SamplingSettings()) > 0).all()


def test_temperature_zero_takes_the_likeliest():
    assert distribution(LOGITS, SamplingSettings(temperature=0))[0].tolist() == [1, 0, 0, 0, 0]
    assert choose(LOGITS, SamplingSettings(temperature=0), [(1, 2)], [0]).tolist() == [0]


@pytest.mark.parametrize("temperature", [1e-45, 1e-40, 1e-38, 1e-30, 1e-20, 1e-10])
@pytest.mark.parametrize("more", [{}, {"top_k": 3}, {"top_p": 0.9}, {"min_p": 0.1}])
def test_a_temperature_however_near_zero_takes_the_likeliest(temperature, more):
    settings = SamplingSettings(temperature=temperature, **more)
    logits = 50 * LOGITS.flip(-1)
    assert choose(logits, settings, [(1, 2)], [0]).tolist() == [4]
    assert distribution(logits, settings)[0].tolist() == [0, 0, 0, 0, 1]


def test_a_share_is_found_whether_few_candidates_hold_it_or_not(monkeypatch):
    """Only the likeliest are sorted where they are enough; the answer does not depend on it."""
    logits = 3 * torch.randn(3, 500, generator=torch.Generator().manual_seed(1))
    for share in (0.3, 0.9, 0.999):
        found = []
        for wide in (8, 200, 1000):
            monkeypatch.setattr(sampling, "WIDE", wide)
            found.append(distribution(logits, SamplingSettings(top_p=share)))
        assert torch.allclose(found[0], found[1], rtol=1e-6)
        assert torch.equal(found[0] > 0, found[2] > 0)


def test_what_ties_with_the_last_of_top_k_is_kept():
    tied = torch.tensor([[1.0, 3.0, 1.0, 1.0, 0.0]])
    assert (distribution(tied, SamplingSettings(top_k=2)) > 0).tolist() == [[True, True, True, True, False]]


@given(st.integers(0, 1000), st.text(max_size=5), st.integers(0, 9), st.integers(0, 500))
def test_draws_depend_on_seed_prompt_sample_step_and_token_alone(seed, prompt, sample, step):
    key = draws_for(seed, prompt, sample)
    other = draws_for(seed, prompt, sample + 1)
    ids = torch.arange(40)
    alone = noise([key], [step], ids)[0]
    assert torch.equal(noise([other, key], [3, step], ids)[1], alone)
    assert torch.equal(noise([key], [step], torch.tensor([[17, 5]]))[0], alone[[17, 5]])
    assert not torch.equal(noise([other], [step], ids)[0], alone)
    assert not torch.equal(noise([key], [step + 1], ids)[0], alone)


def test_the_noise_is_gumbels():
    """Kolmogorov's distance to the distribution function, over keys, steps and ids at once; and no correlation."""
    keys = [draws_for(1, "", sample) for sample in range(100)]
    found = noise(keys, list(range(100)), torch.arange(2000))
    assert torch.isfinite(found).all()
    ordered = found.flatten().double().sort().values
    expected = torch.exp(-torch.exp(-ordered))
    steps = torch.arange(1, len(ordered) + 1) / len(ordered)
    assert (expected - steps).abs().max() < 1.95 / len(ordered) ** 0.5  # exceeded by one in a thousand
    uniform = torch.exp(-torch.exp(-found.double())) - 0.5
    between_rows = torch.corrcoef(uniform).fill_diagonal_(0).abs().max()
    between_ids = torch.corrcoef(uniform[:, :300].T).fill_diagonal_(0).abs().max()
    assert between_rows < 5 / 2000**0.5
    assert between_ids < 6 / 100**0.5


@pytest.mark.parametrize("settings", [SamplingSettings(), SamplingSettings(top_k=3, temperature=0.7)], ids=["all", "k"])
def test_choices_follow_the_distribution(settings):
    count = 6000
    keys = [draws_for(2, "prompt", sample) for sample in range(count)]
    chosen = choose(LOGITS.expand(count, -1), settings, keys, [7] * count)
    shares = torch.bincount(chosen, minlength=5) / count
    assert (shares - distribution(LOGITS, settings)[0]).abs().max() < 0.025


def test_models_that_think_alike_draw_alike():
    """A small change of the probabilities changes few draws: at most the share that the two distributions differ in."""
    count = 2000
    keys = [draws_for(3, "", sample) for sample in range(count)]
    logits = torch.randn(1, 1000, generator=torch.Generator().manual_seed(2))
    near = logits + 0.02 * torch.randn(1, 1000, generator=torch.Generator().manual_seed(3))
    one, other = (choose(which.expand(count, -1), SamplingSettings(), keys, [0] * count) for which in (logits, near))
    apart = (logits.softmax(-1) - near.softmax(-1)).abs().sum() / 2
    assert (one != other).float().mean() < 2 * apart + 0.01


@given(st.lists(st.integers(0, 3), max_size=20), st.integers(1, 4))
def test_no_run_of_tokens_occurs_twice(ids, size):
    runs = [tuple(ids[at : at + size]) for at in range(len(ids) - size + 1)]
    expected = {number for number in range(4) if (*ids[len(ids) + 1 - size :], number) in runs}
    assert would_repeat(ids, size) == (expected if len(ids) >= size else set())


def test_ends_wait_for_the_least_length_and_ids_without_text_are_never_drawn():
    settings = SamplingSettings(min_new_tokens=2)
    found = constrain(torch.zeros(2, 6), [[0], [0, 1, 1]], [0, 2], settings, [3], 5)
    assert (found > -torch.inf).tolist() == [[True, True, True, False, True, False], [True] * 5 + [False]]
