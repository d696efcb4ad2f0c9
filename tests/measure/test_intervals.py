"""Intervals against scipy and statsmodels, what they must not depend on, and how often they hold the truth."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.regression.linear_model import WLS
from statsmodels.stats.proportion import proportion_confint

import documents
from gpt2lab.core.errors import UserError
from gpt2lab.measure import bootstrap
from gpt2lab.measure.intervals import of_ratio, over_seeds, wilson

FEW = 499  # resamples where the promise does not depend on how many there are
sums = st.lists(st.tuples(st.floats(0.1, 1e5), st.integers(1, 20_000)), min_size=10, max_size=40)


@given(st.integers(1, 20_000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))), st.floats(0.5, 0.999))
def test_wilson_is_statsmodels(answers, level):
    right, count = answers
    found = wilson(right, count, level)
    expected = proportion_confint(right, count, 1 - level, method="wilson")
    assert (found.low, found.high) == pytest.approx(expected, abs=1e-12)
    assert 0 <= found.low <= right / count <= found.high <= 1


def test_the_published_hellaswag_share_has_its_published_interval():
    found = wilson(3065, 10042)
    assert (round(100 * found.low, 2), round(100 * found.high, 2)) == (29.63, 31.43)


@pytest.mark.parametrize(("right", "count"), [(0, 0), (3, 2), (-1, 5)])
def test_no_accuracy_of_no_items(right, count):
    with pytest.raises(UserError, match="no accuracy"):
        wilson(right, count)


@given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=12), st.floats(0.5, 0.999))
def test_over_seeds_is_the_t_interval(values, level):
    found = over_seeds(values, level)
    if np.ptp(values) > 1e-6:
        expected = stats.t.interval(level, len(values) - 1, np.mean(values), stats.sem(values))
        assert (found.low, found.high) == pytest.approx(expected, rel=1e-9, abs=1e-9)
    assert (found.note is None) is (len(values) > 2)


def test_one_seed_has_no_interval_and_a_diverged_one_is_not_averaged():
    assert over_seeds([3.2]) is None
    with pytest.raises(UserError, match="finite"):
        over_seeds([3.2, float("nan"), 3.1])


@given(sums)
def test_the_error_of_a_ratio_is_that_of_a_weighted_mean_with_unequal_spreads(rows):
    """Leaving out one document at a time is what regression calls HC3."""
    top, tokens = np.array(rows).T
    value, error = bootstrap.standard_error(top, tokens)
    fit = WLS(top / tokens, np.ones(len(tokens)), weights=tokens).fit(cov_type="HC3")
    assert value == pytest.approx(fit.params[0])
    assert error == pytest.approx(fit.bse[0], rel=1e-6, abs=1e-9 * value)


@pytest.mark.parametrize("level", [0.8, 0.95])
def test_of_ratio_is_the_bootstrap_of_scipy_on_the_studentised_ratio(level):
    top, _, tokens = documents.some(3)
    ratio = top.sum() / tokens.sum()
    error = WLS(top / tokens, np.ones(62), weights=tokens).fit(cov_type="HC3").bse[0]

    def stray(top, tokens, axis=-1):
        value = top.sum(axis, keepdims=True) / tokens.sum(axis, keepdims=True)
        squares = ((top - value * tokens) ** 2).sum(axis) * 62 / 61
        return np.abs(value.squeeze(axis) - ratio) / np.sqrt(squares) * tokens.sum(axis)

    drawn = stats.bootstrap((top, tokens), stray, paired=True, n_resamples=40_000, method="percentile", rng=1)
    drawn = drawn.bootstrap_distribution
    expected = np.quantile(drawn, level) * error
    found, note = of_ratio(top, tokens, transform="none", resamples=40_000, level=level)
    assert note is None
    assert (found.low + found.high) / 2 == pytest.approx(ratio)
    noise = np.ptp(np.quantile(drawn, [level - 0.005, level + 0.005])) * error
    assert found.half_width == pytest.approx(expected, abs=noise)


def test_perplexity_has_the_exponential_of_its_logarithm_s_interval():
    top, _, tokens = documents.some(4)
    plain, _ = of_ratio(top, tokens, transform="none", resamples=FEW)
    lifted, _ = of_ratio(top, tokens, resamples=FEW)
    assert (lifted.low, lifted.high) == (np.exp(plain.low), np.exp(plain.high))
    assert set(lifted.as_dict()) == {"low", "high", "level", "method"}


@settings(max_examples=30)
@given(sums, st.randoms(use_true_random=False))
def test_the_order_of_documents_changes_nothing(rows, random):
    shuffled = random.sample(rows, len(rows))
    first, second = (of_ratio(*np.array(part).T, transform="none", resamples=FEW) for part in (rows, shuffled))
    assert first == second


@settings(max_examples=30)
@given(sums, st.integers(-9, 9), st.integers(-9, 9))
def test_other_units_change_the_interval_as_they_change_the_value(rows, up, down):
    top, tokens = np.array(rows).T
    before, note = of_ratio(top, tokens, transform="none", resamples=FEW)
    after, same_note = of_ratio(top * 2.0**up, tokens * 2.0**down, transform="none", resamples=FEW)
    assert note == same_note
    if before is not None:
        assert (after.low, after.high) == (before.low * 2.0 ** (up - down), before.high * 2.0 ** (up - down))


def test_a_document_in_which_nothing_was_scored_is_no_unit():
    top, _, tokens = documents.some(5)
    with_empty = of_ratio([0.0, *top], [0, *tokens], resamples=FEW)
    assert with_empty == of_ratio(top, tokens, resamples=FEW)


def test_an_interval_that_cannot_be_had_says_why():
    top, _, tokens = documents.some(6, count=9)
    assert of_ratio(top, tokens) == (None, "9 documents, and an interval needs at least 10")
    one_differs = [0.0] * 61 + [5.0]
    found, note = of_ratio(one_differs, np.ones(62), transform="none", resamples=FEW)
    assert found is None
    assert "too few documents differ" in note


@pytest.mark.parametrize("differing", [1, 2, 3])
def test_documents_that_are_nearly_all_alike_have_no_absurd_interval(differing):
    """Resamples that miss those that differ have no spread but rounding."""
    for count in range(3, 41):
        for alike, other in ((0.0, 1.0), (0.1, 0.7), (1e6, 1e6 + 1), (-0.3, 5e-7)):
            for tokens in (np.ones(count), 1.0 + np.arange(count) % 7):
                top = np.where(np.arange(count) < differing, other, alike) * tokens
                found, note = of_ratio(top, tokens, transform="none", resamples=FEW)
                if found is None:
                    assert note
                else:
                    assert found.half_width < 3 * abs(other - alike)


@pytest.mark.parametrize("score", [0.0, 0.1, 1.0])
def test_scores_that_are_all_equal_do_not_make_their_mean_certain(score):
    """0 of 10 closed is not 0 in the end."""
    assert of_ratio([score] * 10, np.ones(10), transform="none", resamples=FEW) == (
        None,
        bootstrap.too_alike("document"),
    )


def test_sums_that_do_not_belong_together_or_are_not_finite_are_one_clear_line():
    with pytest.raises(UserError, match=r"10 and 11 documents"):
        of_ratio(np.ones(11), np.ones(10))
    with pytest.raises(UserError, match="document 3"):
        of_ratio([1, 2, 3, float("inf"), *range(9)], np.ones(13))


def test_pieces_of_the_work_change_nothing_and_memory_stays_small(monkeypatch):
    top, _, tokens = documents.some(7, count=10_000)
    tracemalloc.start()
    whole = of_ratio(top, tokens, resamples=400)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 100e6
    monkeypatch.setattr(bootstrap, "CHUNK_CELLS", 70_000)
    assert whole[0].low == pytest.approx(of_ratio(top, tokens, resamples=400)[0].low, rel=1e-12)


def test_a_seed_repeats_itself_and_another_one_says_nearly_the_same():
    top, _, tokens = documents.some(8)
    one, again, other = (of_ratio(top, tokens, seed=seed)[0] for seed in (1, 1, 2))
    assert one == again
    assert one != other
    assert one.half_width == pytest.approx(other.half_width, rel=0.05)


@pytest.mark.parametrize("count", [20, 62])
def test_95_of_100_intervals_of_perplexity_hold_the_truth(count):
    """A short run of benchmarks/coverage.py: 600 corpora, a share that strays by 0.035 once in ten thousand."""
    truth, held = np.exp(documents.MEAN_NLL), 0
    for number in range(600):
        top, _, tokens = documents.some(1000 + number, count)
        held += truth in of_ratio(top, tokens, seed=number, resamples=FEW)[0]
    assert held / 600 == pytest.approx(0.95, abs=0.035)
