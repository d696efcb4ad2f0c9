"""Repetition and variety against brute force, self-BLEU against sacrebleu, and what must hold for any text."""

import pytest
import sacrebleu
from hypothesis import given
from hypothesis import strategies as st

from gpt2lab.measure import repetition

TEXT = st.lists(st.integers(0, 4), max_size=25)
TEXTS = st.lists(st.lists(st.integers(0, 6), min_size=1, max_size=15), min_size=2, max_size=6)


@given(TEXT)
def test_the_longest_repeated_run_is_the_brute_force(text):
    found = [
        length
        for first in range(len(text))
        for second in range(first + 1, len(text))
        for length in range(1, len(text) - second + 1)
        if text[first : first + length] == text[second : second + length]
    ]
    assert repetition.longest_repeated_run(text) == max(found, default=0)


@given(TEXT, st.integers(1, 4))
def test_rep_n_counts_what_stood_there_before(text, n):
    seen, again, count = set(), 0, 0
    for start in range(len(text) - n + 1):
        ngram = tuple(text[start : start + n])
        again, count = again + (ngram in seen), count + 1
        seen.add(ngram)
    assert repetition.repeated(text, n) == (pytest.approx(again / count) if count else None)


@given(st.integers(4, 200), st.integers(2, 4))
def test_a_constant_text_repeats_all_but_its_first_ngram(length, n):
    text = ["the"] * length
    assert repetition.repeated(text, n) == pytest.approx(1 - 1 / (length - n + 1))
    assert repetition.longest_repeated_run(text) == length - 1


@given(st.integers(2, 60))
def test_a_text_without_repetition_has_none(length):
    text = list(range(length))
    assert repetition.repeated(text, 2) == 0
    assert repetition.longest_repeated_run(text) == 0
    assert repetition.distinct([text], 1, length) == 1


@given(TEXTS, st.integers(1, 3), st.integers(1, 60))
def test_distinct_counts_the_first_tokens_alone_and_never_across_texts(texts, n, tokens):
    ngrams, left = [], tokens
    for text in texts:
        part = text[:left]
        ngrams += [tuple(part[start : start + n]) for start in range(max(0, len(part) - n + 1))]
        left -= len(part)
    enough = left == 0 and ngrams
    assert repetition.distinct(texts, n, tokens) == (len(set(ngrams)) / len(ngrams) if enough else None)


@given(TEXTS)
def test_self_bleu_is_sacrebleus(texts):
    theirs = sacrebleu.BLEU(tokenize="none", effective_order=True, force=True)
    words = [" ".join(map(str, text)) for text in texts]
    found = repetition.self_bleu(texts)
    for number, value in enumerate(found):
        others = words[:number] + words[number + 1 :]
        assert value == pytest.approx(theirs.sentence_score(words[number], others).score / 100, abs=1e-9)


@given(TEXTS, st.randoms(use_true_random=False))
def test_self_bleu_does_not_know_the_order_of_texts(texts, random):
    order = random.sample(range(len(texts)), len(texts))
    before, after = repetition.self_bleu(texts), repetition.self_bleu([texts[place] for place in order])
    assert after == [before[place] for place in order]


def test_equal_samples_have_a_self_bleu_of_one_and_a_single_one_has_none():
    assert repetition.self_bleu([list("abcdef")] * 3) == pytest.approx([1, 1, 1])
    assert repetition.self_bleu([list("abcdef")]) is None
