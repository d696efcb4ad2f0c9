"""Perplexity against a brute force that knows nothing of windows in batches."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from corpora import corpus
from gpt2lab.core.errors import UserError
from gpt2lab.measure import perplexity
from gpt2lab.measure.perplexity import windows
from gpt2lab.measure.settings import EvaluateSettings
from models import TINY, language_model, random_ids
from vocabularies import small

IDS = random_ids(1, 70)[0].numpy()


@given(st.integers(2, 300), st.integers(2, 50), st.integers(1, 60))
def test_every_token_but_the_first_is_scored_once_from_within_the_context(tokens, context, stride):
    scored = []
    for window in windows(tokens, context, stride):
        assert window.stop - window.start <= context
        assert window.start < window.first
        scored += range(window.first, window.stop)
    assert scored == list(range(1, tokens))


def brute_force(model, ids, context, stride):
    """One token at a time, each with the context that the protocol gives it."""
    step, total, scored_until = min(stride, context - 1), 0.0, 1
    start = 0
    while scored_until < len(ids):
        for target in range(scored_until, min(start + context, len(ids))):
            logits = model(torch.from_numpy(ids[start:target])[None])[0, -1, : TINY.vocabulary]
            total -= logits.log_softmax(-1)[ids[target]].item()
        scored_until = min(start + context, len(ids))
        start += step
    return math.exp(total / (len(ids) - 1))


@pytest.mark.parametrize("batch", [1, 3, 8])
@pytest.mark.parametrize(("context", "stride"), [(24, 24), (24, 12), (24, 1), (7, 5), (2, 1)])
def test_token_window_equals_brute_force_for_any_batch_and_stride(context, stride, batch):
    model = language_model()
    settings = EvaluateSettings(context=context, stride=stride, batch=batch)
    record = perplexity.token_window(model, IDS, settings)
    assert record["counts"]["tokens_scored"] == len(IDS) - 1
    with torch.no_grad():
        assert record["value"] == pytest.approx(brute_force(model, IDS, context, stride), rel=1e-5)


def test_blocks_is_the_sum_over_the_split_divided_once(tmp_path):
    from dataclasses import replace

    split = corpus(tmp_path / "c").split("validation")
    model = language_model(replace(TINY, vocabulary=small().size))
    record = perplexity.blocks(model, split, 16)
    stream = torch.from_numpy(split.read(0, split.tokens))
    total = 0.0
    with torch.no_grad():
        for start in range(0, len(stream) - 1, 16):
            part = stream[start : start + 17]
            logits = model(part[None, :-1])[0, :, : small().size].double()
            total -= logits.log_softmax(-1).gather(1, part[1:, None]).sum().item()
    assert record["counts"]["tokens_scored"] == len(stream) - 1
    assert record["value"] == pytest.approx(math.exp(total / (len(stream) - 1)), rel=1e-6)


def test_a_text_of_one_token_and_ids_of_another_vocabulary_are_one_clear_line():
    with pytest.raises(UserError, match="at least 2"):
        perplexity.token_window(language_model(), IDS[:1], EvaluateSettings())
    with pytest.raises(UserError, match="does not exist"):
        perplexity.token_window(language_model(), np.array([1, 5000]), EvaluateSettings())
