"""KL(base‖tuned) against float64 over the whole vocabulary, one prompt at a time."""

from dataclasses import replace

import pytest
import torch

from gpt2lab.core.errors import UserError
from gpt2lab.measure import divergence as measured
from gpt2lab.measure.divergence import divergence
from models import TINY, language_model, lively, random_ids

BASE = language_model()
PROMPTS = [row[: 1 + 4 * number].numpy() for number, row in enumerate(random_ids(6, 30))]


def tuned(seed=7):
    return lively(language_model(), seed)


@pytest.mark.parametrize(("at_once", "rows"), [(4096, 10**6), (9, 2)])
def test_each_prompt_is_the_brute_force_for_any_batch_and_chunk(monkeypatch, at_once, rows):
    monkeypatch.setattr(measured, "TOKENS_AT_ONCE", at_once)
    monkeypatch.setattr(measured, "chunk_rows", lambda vocabulary, device: rows)
    base, other = language_model().double(), tuned().double()
    for found, prompt in zip(divergence(BASE, tuned(), PROMPTS), PROMPTS, strict=True):
        ids = torch.from_numpy(prompt[: TINY.context])[None]
        with torch.no_grad():
            log_p, log_q = (model(ids)[0, :, : TINY.vocabulary].log_softmax(-1) for model in (base, other))
        expected = torch.nn.functional.kl_div(log_q, log_p, log_target=True, reduction="sum").item()
        assert found.total == pytest.approx(expected, rel=1e-4)
        assert found.tokens == ids.shape[1]


def test_a_model_against_itself_is_exactly_zero():
    assert [found.total for found in divergence(BASE, BASE, PROMPTS)] == [0.0] * 6
    assert [found.total for found in divergence(BASE, language_model(vocabulary_multiple=1), PROMPTS)] == pytest.approx(
        [0.0] * 6, abs=1e-4
    )


def test_it_is_not_symmetric_and_never_negative():
    there = [found.total for found in divergence(BASE, tuned(), PROMPTS)]
    back = [found.total for found in divergence(tuned(), BASE, PROMPTS)]
    assert min(there + back) > 0
    assert there != pytest.approx(back, rel=0.01)


def test_other_vocabularies_are_one_clear_line():
    with pytest.raises(UserError, match="101 and 90 tokens"):
        divergence(BASE, language_model(replace(TINY, vocabulary=90, end_of_text=8)), PROMPTS)
