"""Paired comparisons against scipy, statsmodels and brute force; and the words that follow from them."""

from math import comb, log

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize, stats
from statsmodels.stats.contingency_tables import mcnemar as statsmodels_mcnemar
from statsmodels.stats.multitest import multipletests

import documents
from gpt2lab.core.errors import UserError
from gpt2lab.measure import paired_accuracy
from gpt2lab.measure.differences import (
    Difference,
    holm,
    mcnemar,
    minimal_detectable,
    paired_ratio,
    paired_seeds,
    rank_correlation,
)
from gpt2lab.measure.intervals import Interval, of_ratio

FEW = 499
few_items = st.tuples(st.integers(0, 30), st.integers(0, 30), st.integers(1, 200))


def answers(only_a, only_b, neither_or_both):
    a = np.array([1] * only_a + [0] * only_b + [1] * neither_or_both)
    b = np.array([0] * only_a + [1] * only_b + [1] * neither_or_both)
    return a, b


# --- NLL per token, paired by document


def test_a_model_against_itself_differs_by_exactly_nothing():
    a, _, tokens = documents.some(1)
    found = paired_ratio(a, a, tokens, resamples=FEW)
    assert (found.value, found.interval.low, found.interval.high, found.p) == (0, 0, 0, 1)
    assert found.wording().startswith("no difference shown")
    assert not found.shown


def test_a_difference_is_the_ratio_of_differences_and_much_narrower_than_either_side():
    a, b, tokens = documents.some(2, apart=-0.04)
    found = paired_ratio(a, b, tokens)
    alone, _ = of_ratio(a - b, tokens, transform="none")
    assert found.value == pytest.approx(a.sum() / tokens.sum() - b.sum() / tokens.sum())
    assert (found.interval.low, found.interval.high) == (alone.low, alone.high)
    assert found.interval.half_width < of_ratio(a, tokens, transform="none")[0].half_width / 3
    assert found.shown
    assert found.p < 0.01
    assert found.wording("nats per token").startswith("lower by 0.0")


@settings(max_examples=30)
@given(st.integers(0, 10**6), st.integers(10, 40), st.randoms(use_true_random=False))
def test_swapping_mirrors_and_shuffling_changes_nothing(seed, count, random):
    a, b, tokens = documents.some(seed, count)
    a, b = np.round(a), np.round(b)
    forward, backward = paired_ratio(a, b, tokens, resamples=FEW), paired_ratio(b, a, tokens, resamples=FEW)
    assert (backward.value, backward.p) == (-forward.value, forward.p)
    assert (backward.interval.low, backward.interval.high) == (-forward.interval.high, -forward.interval.low)
    order = random.sample(range(count), count)
    assert paired_ratio(a[order], b[order], tokens[order], resamples=FEW) == forward


@settings(max_examples=40)
@given(st.integers(0, 10**6), st.floats(-0.04, 0.04), st.sampled_from([0.8, 0.9, 0.95, 0.99]))
def test_p_and_interval_never_disagree(seed, apart, level):
    a, b, tokens = documents.some(seed, 20, apart)
    found = paired_ratio(a, b, tokens, resamples=FEW, level=level)
    assert found.shown is (found.p <= 1 - level + 1e-9)


def test_the_same_shift_in_every_document_is_certain():
    _, b, tokens = documents.some(3)
    found = paired_ratio(b + tokens / 4, b, tokens)
    assert found.value == pytest.approx(0.25)
    assert found.shown
    assert found.p == 0


def test_few_documents_give_a_value_and_the_reason_why_there_is_no_interval():
    a, b, tokens = documents.some(4, count=5, apart=0.3)
    found = paired_ratio(a, b, tokens)
    assert found.interval is None
    assert found.p is None
    assert "5 documents" in found.wording()
    assert found.as_dict()["interval_note"] == found.note
    assert minimal_detectable(found) is None


def test_95_of_100_paired_intervals_hold_the_truth():
    """600 pairs of models on 62 documents: the share strays by 0.035 once in ten thousand."""
    held = 0
    for number in range(600):
        a, b, tokens = documents.some(5000 + number, apart=0.01)
        held += 0.01 in paired_ratio(a, b, tokens, seed=number, resamples=FEW).interval
    assert held / 600 == pytest.approx(0.95, abs=0.035)


# --- accuracy, paired by item


@given(few_items)
def test_mcnemar_is_statsmodels_exact_test(table):
    only_a, only_b, rest = table
    found = mcnemar(*answers(only_a, only_b, rest), test="exact")
    expected = statsmodels_mcnemar([[rest, only_a], [only_b, 0]], exact=True).pvalue
    assert found.p == pytest.approx(1.0 if np.isnan(expected) else expected)
    assert found.counts == {"only_a": only_a, "only_b": only_b}
    assert found.value == pytest.approx((only_a - only_b) / found.n)


@given(few_items)
def test_mid_p_counts_half_of_what_is_as_likely_as_what_was_seen(table):
    only_a, only_b, rest = table
    tossed, fewer = only_a + only_b, min(only_a, only_b)
    tail = sum(comb(tossed, k) for k in range(fewer)) + comb(tossed, fewer) / 2
    found = mcnemar(*answers(only_a, only_b, rest), test="mid-p")
    assert found.p == pytest.approx(min(1.0, 2 * tail / 2**tossed))


def test_few_discordant_items_get_the_exact_test_and_many_mid_p():
    few, many = answers(16, 8, 100), answers(17, 8, 100)
    assert mcnemar(*few).p == mcnemar(*few, test="exact").p
    assert mcnemar(*many).p == mcnemar(*many, test="mid-p").p


@pytest.mark.parametrize(
    ("only_a", "only_b", "count"),
    [(0, 0, 20), (5, 0, 20), (0, 1, 44), (12, 2, 50), (3, 9, 40), (30, 10, 40), (700, 640, 10_042), (20, 0, 20)],
)
def test_tango_is_the_score_test_with_shares_found_by_brute_force(only_a, only_b, count):
    def score(difference):
        """Constrained likelihood maximised by search, not by formula."""

        def minus_likelihood(share_b):
            shares = [share_b + difference, share_b, 1 - 2 * share_b - difference]
            return -sum(k * log(max(p, 1e-300)) for k, p in zip((only_a, only_b, count - only_a - only_b), shares) if k)

        border = (max(0.0, -difference), (1 - difference) / 2)
        share_b = optimize.minimize_scalar(minus_likelihood, bounds=border, options={"xatol": 1e-13}).x
        return ((only_a - only_b) / count - difference) / np.sqrt((2 * share_b + difference - difference**2) / count)

    low, high = paired_accuracy.tango(only_a, only_b, count, 0.95)
    for edge, z in ((low, 1.959964), (high, -1.959964)):
        if abs(edge) < 1:
            assert score(edge) == pytest.approx(z, abs=1e-3)
    assert low <= (only_a - only_b) / count <= high


@pytest.mark.parametrize("level", [0.9, 0.95, 0.99])
@pytest.mark.parametrize("test", ["exact", "mid-p", None])
def test_mcnemar_and_its_interval_never_disagree(level, test):
    tables = [(b, c) for b in range(0, 26) for c in range(0, 26)]
    tables += [(b, total - b) for total in (60, 333) for b in range(0, total + 1, 3)]
    for only_a, only_b in tables:
        found = mcnemar(*answers(only_a, only_b, 50), test=test, level=level)
        assert found.shown is (found.p <= 1 - level), (only_a, only_b)


@given(few_items)
def test_swapping_two_models_mirrors_their_accuracies(table):
    a, b = answers(*table)
    forward, backward = mcnemar(a, b), mcnemar(b, a)
    assert (backward.value, backward.p) == (-forward.value, forward.p)
    assert (backward.interval.low, backward.interval.high) == (-forward.interval.high, -forward.interval.low)


def test_a_classifier_against_itself_shows_no_difference_and_says_how_small_a_one_it_could_miss():
    a, _ = answers(3, 5, 300)
    found = mcnemar(a, a)
    assert (found.value, found.p) == (0, 1)
    assert found.wording("points", 1, 100) == "no difference shown (resolution ±1.2 points)"


def test_answers_between_right_and_wrong_and_unequal_items_are_refused():
    with pytest.raises(UserError, match="nothing between"):
        mcnemar([0.5, 1], [1, 1])
    with pytest.raises(UserError, match="3 and 2 items"):
        mcnemar([0, 1, 1], [1, 1])
    with pytest.raises(UserError, match="documents"):
        paired_ratio(np.ones(12), np.ones(11), np.ones(12))


@pytest.mark.parametrize(("base", "gain", "loss"), [(0.3, 0.1, 0.06), (0.94, 0.03, 0.01)])
def test_95_of_100_intervals_of_a_difference_of_accuracies_hold_the_truth(base, gain, loss):
    """2,000 comparisons on 300 items: the share strays by 0.019 once in ten thousand, and score tests are discrete."""
    random, held, known = np.random.default_rng(1), 0, {}
    for only_a, only_b, _ in random.multinomial(300, [gain, loss, 1 - gain - loss], size=2000):
        if (only_a, only_b) not in known:
            p = paired_accuracy.p_value(only_a, only_b, "exact" if only_a + only_b < 25 else "mid-p")
            known[only_a, only_b] = paired_accuracy.agreeing_interval(only_a, only_b, 300, 0.95, p)
        held += gain - loss in known[only_a, only_b]
    assert base > gain
    assert held / 2000 == pytest.approx(0.95, abs=0.025)


# --- seeds, several comparisons, resolution, ranks


@given(st.lists(st.tuples(st.floats(-10, 10), st.floats(-10, 10)), min_size=3, max_size=10))
def test_paired_seeds_is_the_paired_t_test(pairs):
    a, b = np.array(pairs).T
    found = paired_seeds(a, b)
    if np.ptp(a - b) > 1e-6:
        expected = stats.ttest_rel(a, b)
        assert found.p == pytest.approx(expected.pvalue, rel=1e-6)
        bounds = expected.confidence_interval()
        assert (found.interval.low, found.interval.high) == pytest.approx((bounds.low, bounds.high), rel=1e-6, abs=1e-9)


def test_one_seed_shows_nothing_and_equal_seeds_are_equal():
    assert paired_seeds([1.0], [2.0]).interval is None
    same = paired_seeds([1.0, 2.0, 4.0], [1.0, 2.0, 4.0])
    assert (same.value, same.p, same.shown) == (0, 1, False)
    with pytest.raises(UserError, match="same seeds"):
        paired_seeds([1, 2, 3], [1, 2])


@settings(max_examples=20)  # each call of statsmodels collects garbage
@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_is_statsmodels(p_values):
    assert holm(p_values) == pytest.approx(multipletests(p_values, method="holm")[1])


def test_holm_of_nothing_is_nothing():
    assert holm([]) == []


def test_a_difference_of_documents_just_large_enough_is_shown_in_about_80_of_100_trials():
    before = [paired_ratio(*documents.some(8000 + number), resamples=FEW) for number in range(60)]
    resolution = np.mean([minimal_detectable(found) for found in before])
    shown = sum(
        paired_ratio(*documents.some(9000 + number, 62, resolution), seed=number, resamples=FEW).shown
        for number in range(400)
    )
    assert shown / 400 == pytest.approx(0.8, abs=0.08)


def test_four_times_the_documents_show_a_difference_of_nearly_half_the_size():
    found = paired_ratio(*documents.some(12), resamples=FEW)
    assert 0.4 < minimal_detectable(found, count=4 * 62) / minimal_detectable(found) < 0.5


@pytest.mark.parametrize("discordant", [0.04, 0.2])
def test_a_difference_of_accuracies_just_large_enough_is_shown_in_about_80_of_100_trials(discordant):
    planned = mcnemar(*answers(round(500 * discordant), round(500 * discordant), 1000 - 2 * round(500 * discordant)))
    resolution = minimal_detectable(planned, count=2000)
    shares = [(discordant + resolution) / 2, (discordant - resolution) / 2, 1 - discordant]
    tables = np.random.default_rng(2).multinomial(2000, shares, size=2000)
    shown = np.mean([paired_accuracy.p_value(a, b, "mid-p") <= 0.05 for a, b, _ in tables])
    assert shown == pytest.approx(0.8, abs=0.04)


def test_equal_answers_still_leave_a_difference_that_could_be_missed():
    a, _ = answers(1, 1, 300)
    assert 5 / 302 < minimal_detectable(mcnemar(a, a)) < 10 / 302


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=2, max_size=30))
def test_rank_correlation_is_spearman_also_with_ties(pairs):
    a, b = np.array(pairs).T
    found = rank_correlation(a, b)
    if np.ptp(a) == 0 or np.ptp(b) == 0:
        assert found.rho is None
    else:
        assert found.rho == pytest.approx(stats.spearmanr(a, b).statistic, abs=1e-12)
    assert found.n == len(pairs)
    if found.interval is None:
        assert found.rho is None or len(pairs) < 6
    else:
        assert -1 < found.interval.low < found.interval.high < 1
        mirrored = rank_correlation(-b, a).interval
        assert (mirrored.low, mirrored.high) == pytest.approx((-found.interval.high, -found.interval.low), abs=1e-9)


@pytest.mark.parametrize(("latent", "count"), [(0.0, 8), (0.8, 8), (0.6, 20), (0.9, 100)])
def test_95_of_100_intervals_of_a_rank_correlation_hold_the_truth(latent, count):
    random, held = np.random.default_rng(3), 0
    truth = 6 / np.pi * np.arcsin(latent / 2)
    for _ in range(600):
        a, noise = random.normal(size=(2, count))
        held += truth in rank_correlation(a, latent * a + np.sqrt(1 - latent**2) * noise).interval
    assert 0.915 < held / 600 < 0.985


def test_six_checkpoints_in_perfect_order_are_not_certainty():
    found = rank_correlation(range(6), range(6))
    assert found.rho == 1
    assert found.interval.low < 0.85
    with pytest.raises(UserError, match="pairs"):
        rank_correlation([1, 2], [1, 2, 3])


# --- words


def difference(value, low, high):
    return Difference(value, Interval(low, high), 0.5, 62)


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (difference(-0.2, -0.3, -0.1), "lower by 0.200 nats [0.100, 0.300]"),
        (difference(0.2, 0.1, 0.3), "higher by 0.200 nats [0.100, 0.300]"),
        (difference(0.1, -0.1, 0.3), "no difference shown (resolution ±0.200 nats)"),
        (difference(0.1, 0.0, 0.2), "no difference shown (resolution ±0.100 nats)"),
        (difference(-0.02, -0.03996, -0.00004), "lower by 0.02000 nats [0.00004, 0.03996]"),
        (difference(0.0, 0.0, 0.0), "no difference shown (equal on all 62)"),
        (
            Difference(0.25, None, None, 5, "5 documents"),
            "no difference shown (+0.250 nats, no interval: 5 documents)",
        ),
    ],
)
def test_words_follow_from_the_interval(found, words):
    assert found.wording("nats") == words


def test_accuracies_can_be_worded_in_points():
    assert difference(0.0123, 0.004, 0.02).wording("points", 1, 100) == "higher by 1.2 points [0.4, 2.0]"
