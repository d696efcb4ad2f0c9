"""The one scorer against a brute force: one continuation at a time, whole logits, nothing shared."""

import json
import multiprocessing
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gpt2lab.core.errors import UserError
from gpt2lab.measure.likelihood import score
from gpt2lab.model import prompt
from gpt2lab.model.settings import PromptSettings
from models import TINY, language_model
from questions import plain, question, share, some_questions

MODEL = language_model()
DOUBLE = language_model().double()
WINDOW = TINY.context

tokens = st.integers(0, TINY.vocabulary - 1)
continuations = st.lists(st.lists(tokens, max_size=WINDOW), max_size=5)
trees = st.lists(st.builds(lambda c, e: question(c, *e), st.lists(tokens, min_size=1, max_size=40), continuations))


def alone(model, context, ids):
    """What the definition says: the last tokens that fit, one pass, all logits."""
    inputs = [*context, *ids][-(model.window + 1) : -1]
    with torch.no_grad():
        logits = model(torch.tensor([inputs]))[0, -len(ids) :, : model.config.vocabulary]
    log_p = logits.log_softmax(-1)
    return log_p[torch.arange(len(ids)), torch.from_numpy(ids)].double().numpy(), logits.argmax(-1).numpy()


def check(model, questions, found, tolerance):
    assert len(found) == len(questions)
    for asked, answers in zip(questions, found):
        assert len(answers) == len(asked.continuations)
        for ids, answer in zip(asked.continuations, answers):
            assert answer.truncated == max(0, len(asked.context) + len(ids) - 1 - model.window)
            assert len(answer.log_likelihoods) == len(ids)
            if len(ids):
                expected, likeliest = alone(model, asked.context, ids)
                assert answer.log_likelihoods == pytest.approx(expected, abs=tolerance)
                assert answer.total == pytest.approx(expected.sum(), abs=tolerance * len(ids))
                assert answer.greedy == (likeliest == ids).all()


@settings(max_examples=60)
@given(trees, st.sampled_from([1, 30, 100, 10_000]))
def test_every_token_has_the_value_it_has_alone_whatever_stands_beside_it(questions, budget):
    check(DOUBLE, questions, score(DOUBLE, questions, token_budget=budget), 1e-9)


def test_in_fp32_values_agree_to_rounding_alone_and_in_any_batch():
    with torch.no_grad():
        largest = MODEL(torch.zeros(1, 1, dtype=torch.long))[..., : TINY.vocabulary].abs().max().item()
    check(MODEL, some_questions(), score(MODEL, some_questions(), token_budget=64), 1e-5 * largest)


def test_a_soft_prompt_stands_before_every_text_and_takes_its_room():
    model = language_model().double()
    prompt.add(model, PromptSettings(tokens=4), 1, np.zeros(0, np.int64))
    asked = [q for q in some_questions() if all(len(ids) <= model.window for ids in q.continuations)]
    model.double()
    assert model.window == WINDOW - 4
    check(model, asked, score(model, asked), 1e-9)


def test_ids_that_only_pad_the_vocabulary_take_no_probability():
    """Whether they stand in the weights or not, the answers are the same."""
    plain = language_model(vocabulary_multiple=1)
    padded = language_model(vocabulary_multiple=64)
    for one, other in zip(score(plain, some_questions()), score(padded, some_questions())):
        for a, b in zip(one, other):
            assert a.log_likelihoods == pytest.approx(b.log_likelihoods, abs=1e-5)


def test_of_equally_likely_ids_the_first_is_the_greedy_one():
    model = language_model(replace(TINY, tied_head=False))
    with torch.no_grad():
        model.lm_head.weight.zero_()
    first, second = score(model, [question([1], [0, 0], [0, 1])])[0]
    assert first.greedy
    assert not second.greedy
    assert first.log_likelihoods == pytest.approx(-np.log(TINY.vocabulary))


def test_a_context_is_run_once_for_all_its_continuations(monkeypatch):
    seen = []
    forward = MODEL.transformer.forward
    monkeypatch.setattr(
        MODEL.transformer,
        "forward",
        lambda ids, *rest, **more: (seen.append(ids.shape), forward(ids, *rest, **more))[1],
    )
    score(MODEL, [question([1, 2, 3, 4, 5], [6, 7, 8], [9, 10, 11, 12])])
    assert seen == [(1, 16)]  # 5 of context, 2 and 3 of the continuations, filled up to a multiple of 8


def test_logits_exist_only_where_something_is_scored(monkeypatch):
    heads = []
    log_softmax = torch.log_softmax
    monkeypatch.setattr(torch, "log_softmax", lambda x, *a, **k: (heads.append(len(x)), log_softmax(x, *a, **k))[1])
    score(MODEL, [question([1, 2, 3, 4, 5], [6, 7, 8], [9, 10, 11, 12])])
    assert sum(heads) == 1 + 2 + 3  # the first tokens of both are predicted at the same place


def test_nothing_of_the_model_is_changed():
    model = language_model().train()
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    score(model, some_questions())
    assert model.training
    assert all(torch.equal(before[name], weight) for name, weight in model.state_dict().items())


def test_in_bf16_the_last_steps_are_still_fp32():
    """The blocks round; the probabilities of a token and of all others still sum to one, which bf16 sums do not."""
    model = language_model().to(torch.bfloat16)
    everything = [question([7, 8, 9], *([number] for number in range(TINY.vocabulary)))]
    answers = score(model, everything)[0]
    assert sum(np.exp(answer.total) for answer in answers) == pytest.approx(1, abs=1e-5)
    assert sum(answer.greedy for answer in answers) == 1
    for answer, exact in zip(answers, score(MODEL, everything)[0]):
        assert answer.total == pytest.approx(exact.total, abs=0.05 * max(1, abs(exact.total)))


def test_what_cannot_be_scored_is_one_clear_line():
    with pytest.raises(UserError, match="a continuation of 25 tokens does not fit: the model sees 24") as raised:
        score(MODEL, [question([1], [2]), question([1], [2] * 25)])
    assert raised.value.place == "question 2"
    with pytest.raises(UserError, match="the token id 101 does not exist"):
        score(MODEL, [question([1], [101])])


def test_two_processes_know_exactly_what_one_alone_finds(tmp_path):
    started = [multiprocessing.get_context("spawn").Process(target=share, args=(rank, tmp_path)) for rank in range(2)]
    for process in started:
        process.start()
    for process in started:
        process.join(200)
    expected = plain(score(MODEL, some_questions(), token_budget=64))
    assert [json.loads((tmp_path / f"{rank}.json").read_text()) for rank in range(2)] == [expected] * 2


def test_nothing_asked_nothing_answered():
    assert score(MODEL, []) == []
    assert score(MODEL, [question([1])]) == [[]]
    (answer,) = score(MODEL, [question([1], [])])[0]
    assert answer.total == 0
    assert answer.greedy
