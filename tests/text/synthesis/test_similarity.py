"""The index finds the nearest text that comparing all pairs finds, and stays fast."""

import random
import time

from hypothesis import given
from hypothesis import strategies as st

from gpt2lab.text.synthesis.similarity import Index, shingles

TEXTS = st.lists(st.lists(st.sampled_from("abcd"), min_size=1, max_size=14).map(" ".join), max_size=8)


def jaccard(a, b):
    return len(a & b) / len(a | b)


def brute_force(text):
    words = text.split()
    length = max(1, min(5, len(words)))
    return {tuple(words[i : i + length]) for i in range(len(words) - length + 1)}


@given(texts=TEXTS, new=st.lists(st.sampled_from("abcd"), min_size=1, max_size=14).map(" ".join))
def test_the_nearest_is_what_comparing_all_pairs_finds(texts, new):
    index = Index()
    for text in texts:
        index.add(text)
    expected = max((jaccard(brute_force(new), brute_force(text)) for text in texts), default=0.0)
    assert abs(index.nearest(new) - expected) < 1e-12


def test_case_and_punctuation_do_not_hide_a_copy():
    index = Index()
    index.add("The grey tower stands alone, above the silent harbour.")
    assert index.nearest("the grey tower - stands alone above THE silent harbour!") == 1.0
    assert index.nearest("nothing of that kind is said here at all") == 0.0


def test_thousands_of_texts_take_seconds():
    rng = random.Random(1)
    index, start = Index(), time.process_time()
    common = " ".join(f"same{n}" for n in range(20))
    for _ in range(1500):
        text = f"{common} {' '.join(f'w{rng.randrange(5000)}' for _ in range(250))}"
        assert index.nearest(text) < 0.3
        index.add(text)
    assert time.process_time() - start < 60


def test_a_text_without_words_is_near_nothing():
    index = Index()
    index.add("!!")
    assert shingles("…") == frozenset()
    assert index.nearest("!!") == 0.0
