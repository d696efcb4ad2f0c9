"""A text's class probabilities are its own: alone, in any batch, beside any other text."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gpt2lab.core.errors import UserError
from gpt2lab.measure.classifying import log_probabilities
from gpt2lab.model import prompt
from gpt2lab.model.settings import PromptSettings
from models import TINY, classifier

CONFIG = replace(TINY, labels=("World", "Sports", "Business"), padding=100)
PLAIN = classifier(CONFIG)
PROMPTED = classifier(CONFIG)
prompt.add(PROMPTED, PromptSettings(tokens=5), 1, np.empty(0, np.int64))
TEXTS = st.lists(st.lists(st.integers(0, 100), min_size=1, max_size=19), min_size=1, max_size=12)


def alone(model, text):
    with torch.no_grad():
        return model(torch.tensor([text])).double().log_softmax(-1)[0].numpy()


@pytest.mark.parametrize("model", [PLAIN, PROMPTED.eval()], ids=["plain", "prompt-tuned"])
@settings(max_examples=30)
@given(texts=TEXTS, budget=st.integers(1, 200))
def test_in_any_batch_as_alone(model, texts, budget):
    found = list(log_probabilities(model, map(np.array, texts), budget))
    assert len(found) == len(texts)
    for text, log_p in zip(texts, found):
        assert log_p == pytest.approx(alone(model, text), abs=1e-5)
        assert np.exp(log_p).sum() == pytest.approx(1)


def test_left_padding_of_the_model_itself_says_the_same():
    text = [3, 100, 7, 9]
    padded = torch.tensor([[100, 100, *text]])
    with torch.no_grad():
        left = PLAIN(padded, torch.tensor([[0, 0, 1, 1, 1, 1]])).log_softmax(-1)[0].numpy()
    assert next(log_probabilities(PLAIN, [np.array(text)])) == pytest.approx(left, abs=1e-5)


def test_a_text_that_ends_in_the_padding_id_is_read_to_its_end():
    short, whole = (next(log_probabilities(PLAIN, [np.array(text)])) for text in ([3, 7], [3, 7, 100]))
    assert np.abs(short - whole).max() > 1e-3


def test_more_texts_than_are_sorted_at_once_keep_their_order(monkeypatch):
    texts = [np.arange(1 + number % 7) + number for number in range(50)]
    everything = list(log_probabilities(PLAIN, texts))
    monkeypatch.setattr("gpt2lab.measure.classifying.TEXTS_AT_ONCE", 8)
    assert np.array(list(log_probabilities(PLAIN, texts))) == pytest.approx(np.array(everything), abs=1e-5)


def test_damaged_weights_and_foreign_ids_are_one_clear_line():
    broken = classifier(CONFIG)
    with torch.no_grad():
        broken.score.weight[0, 0] = float("nan")
    with pytest.raises(UserError, match="no number"):
        list(log_probabilities(broken, [np.array([1, 2])]))
    with pytest.raises(UserError, match="does not exist"):
        list(log_probabilities(PLAIN, [np.array([1, 2000])]))
