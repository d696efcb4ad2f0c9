"""What the last token of a text sees is what attention over the text alone gives it; nothing else is computed."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from gpt2lab.model import block, prompt
from gpt2lab.model.block import Attention
from gpt2lab.model.dropout import Drop, Noise
from gpt2lab.model.last_look import last_look
from gpt2lab.model.settings import PromptSettings
from gpt2lab.model.unpadded import unpadded
from models import TINY, classifier, random_ids

HEADS, WIDTH = 3, 4
NUMBERS = torch.tensor([[0, 0, 0, 1, 1, 1], [0, 0, -1, -1, -1, -1]])
DOCUMENTS = (NUMBERS[:, :, None] == NUMBERS[:, None]) & (NUMBERS >= 0)[:, None]  # who may look at whom


def drawn(*shape, times=1.0):
    return (
        torch.randn(*shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64) * times
    ).requires_grad_()


def one_by_one(q_BC, kv_NC, asked_N):
    found = []
    for text, query in enumerate(q_BC):
        k, v = (
            half.unflatten(1, (HEADS, -1)).transpose(0, 1)
            for half in kv_NC[: len(asked_N)][asked_N == text].chunk(2, 1)
        )
        found.append(F.scaled_dot_product_attention(query.view(HEADS, 1, -1), k, v, scale=0.3).flatten())
    return torch.stack(found)


@given(st.lists(st.integers(1, 20), min_size=1, max_size=6), st.permutations(range(6)), st.integers(0, 3))
def test_values_and_gradients_are_those_of_each_text_alone(lengths, order, of_no_text):
    order = [text for text in order if text < len(lengths)]
    asked = torch.tensor(order).repeat_interleave(torch.tensor(lengths))
    q, kv = drawn(len(lengths), HEADS * WIDTH), drawn(len(asked) + of_no_text, 2 * HEADS * WIDTH)
    found = []
    for y in (last_look(q, kv, asked, HEADS, Drop(0.0, Noise()), 0.3), one_by_one(q, kv, asked)):
        found.append((y, *torch.autograd.grad((y * torch.arange(y.numel()).view(y.shape).cos()).sum(), (q, kv))))
    torch.testing.assert_close(*found)


def test_texts_whose_scores_are_far_apart_do_not_disturb_each_other():
    asked = torch.tensor([0, 0, 1, 1])
    q = torch.tensor([[1.0], [-1.0]])
    kv = torch.tensor([[900.0, 1.0], [800.0, 2.0], [900.0, 3.0], [900.0, 5.0]])
    torch.testing.assert_close(last_look(q, kv, asked, 1, Drop(0.0, Noise()), 1.0), torch.tensor([[1.0], [4.0]]))


def test_dropout_is_of_the_weights_and_keeps_their_mean():
    asked, kv = torch.zeros(4000, dtype=torch.long), torch.ones(4000, 2)
    seen = torch.stack([last_look(torch.ones(1, 1), kv, asked, 1, Drop(0.5, Noise()), 1.0) for _ in range(20)])
    assert seen.mean() == pytest.approx(1, abs=0.02)
    assert seen.std() > 0.005


def padded(side):
    ids = random_ids(4, 12)
    mask = torch.arange(12) < torch.tensor([12, 3, 7, 1])[:, None]
    return ids, mask.flip(1) if side == "left" else mask


def logits_and_gradients(model, ids, mask):
    y = model(ids, mask)
    model.zero_grad()
    y.square().sum().backward()
    return y.detach(), {name: p.grad for name, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("what", ["full", "prompt", "frozen"])
def test_a_classifier_computes_the_same_with_it_as_without(monkeypatch, side, what):
    model = classifier(replace(TINY.with_dropout(0.0), labels=tuple("abc"))).double().train()
    if what == "prompt":
        prompt.add(model, PromptSettings(tokens=3), 1, np.array([], np.int64))
        model.double()
    model.transformer.requires_grad_(what == "full")
    took = []
    monkeypatch.setattr(block, "last_look", lambda *given: took.append(1) or last_look(*given))
    ours = logits_and_gradients(model, *padded(side))
    assert len(took) == 1  # the last block
    monkeypatch.setattr(Attention, "_last_look", lambda *_: None)
    torch.testing.assert_close(ours, logits_and_gradients(model, *padded(side)))


@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_in_bf16_with_dropout_and_activations_made_again(dropout):
    config = replace(TINY.with_dropout(0.0), attention_dropout=dropout, labels=tuple("abc"))
    model = classifier(config).train()
    exact, _ = logits_and_gradients(model, *padded("right"))
    model.transformer.recompute_activations = True
    found, gradients = logits_and_gradients(model.bfloat16(), *padded("right"))
    assert found.dtype == torch.bfloat16
    assert all(torch.isfinite(gradient).all() for gradient in gradients.values())
    near = torch.allclose(found.float(), exact, rtol=0.1, atol=0.1 * exact.abs().max().item())
    assert near == (dropout == 0)


def test_documents_that_share_a_row_see_only_themselves():
    """Not even where the last token of each row is all that is wanted."""
    found = unpadded(DOCUMENTS, HEADS)
    assert found.asked(found.numbers(torch.tensor([5, 7]))) is None


@pytest.mark.parametrize(
    ("wanted", "asked"),
    [
        ([11, 14], [0] * 4 + [1] * 3),
        ([14, 11], [1] * 4 + [0] * 3),
        ([11], None),
        ([10, 14], None),
        ([11, 14, 14], None),
    ],
)
def test_only_where_the_last_token_of_each_text_is_wanted(wanted, asked):
    texts = unpadded(torch.tensor([[0] * 8 + [1] * 4, [1, 1, 1] + [0] * 9]), HEADS)
    found = texts.asked(texts.numbers(torch.tensor(wanted)))
    assert asked == (None if found is None else found.tolist())


def test_nothing_but_padding_has_no_last_token():
    found = unpadded(torch.zeros(2, 5), HEADS)
    assert found.asked(torch.zeros(2, dtype=torch.long)) is None
