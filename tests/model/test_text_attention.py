"""Attention over texts of unequal length at once is, for each text, attention over it alone."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gpt2lab.model import block
from gpt2lab.model.attention import causal_attention
from gpt2lab.model.config import GPT2Config
from gpt2lab.model.dropout import Drop, Noise
from gpt2lab.model.gpt2 import GPT2, build, initialise
from gpt2lab.model.text_attention import text_attention
from gpt2lab.model.unpadded import _round_numbers, unpadded

HEADS, WIDTH = 3, 8


def masked(lengths):
    """Right-padded texts of these lengths."""
    return torch.arange(max(lengths, default=1)) < torch.tensor(lengths)[:, None]


def tokens(found, dtype=torch.float32):
    generator = torch.Generator().manual_seed(1)
    return torch.randn(len(found.places), 3 * HEADS * WIDTH, generator=generator).to(dtype).requires_grad_()


def alone(found, qkv, lengths):
    """Each text by PyTorch, put where its tokens stand."""
    y = torch.zeros(len(qkv), HEADS * WIDTH, dtype=qkv.dtype)
    for row in range(len(lengths)):
        mine = (found.places[: found.real] // max(lengths) == row).nonzero()[:, 0]
        mine = mine[found.places[mine].argsort()]
        q, k, v = qkv[mine].view(1, len(mine), 3, HEADS, WIDTH).permute(2, 0, 3, 1, 4)
        y = y.index_copy(0, mine, causal_attention(q, k, v, Drop(0.0, Noise()), 0.3).transpose(1, 2).flatten(2)[0])
    return y


@given(st.lists(st.integers(1, 40), min_size=1, max_size=9))
def test_values_and_gradients_are_those_of_each_text_alone(lengths):
    found = unpadded(masked(lengths), HEADS)
    ours, plain = tokens(found), tokens(found)
    y, expected = text_attention(ours, HEADS, found.by_head, Drop(0.0, Noise()), 0.3), alone(found, plain, lengths)
    torch.testing.assert_close(y, expected, rtol=1e-5, atol=1e-5)
    for every in (y, expected):
        (every * torch.arange(every.numel()).view(every.shape).cos()).sum().backward()
    torch.testing.assert_close(ours.grad, plain.grad, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("lengths", [[300, 17, 129, 128], [31, 33, 64], [1]])
def test_in_bf16_long_texts_too(lengths):
    found = unpadded(masked(lengths), HEADS)
    ours, exact = tokens(found, torch.bfloat16), tokens(found)
    y, expected = text_attention(ours, HEADS, found.by_head, Drop(0.0, Noise()), 0.3), alone(found, exact, lengths)
    torch.testing.assert_close(y.float(), expected, rtol=0.03, atol=0.03)
    y.float().sum().backward()
    expected.sum().backward()
    torch.testing.assert_close(ours.grad.float(), exact.grad, rtol=0.05, atol=0.05)


@pytest.mark.parametrize("dropout", [0.0, 0.4])
def test_the_way_back_is_the_derivative_also_of_what_was_dropped(dropout):
    found = unpadded(masked([5, 2, 140, 3]), 1)

    def function(qkv):
        torch.manual_seed(3)
        return text_attention(qkv, 1, found.by_head, Drop(dropout, Noise()), 0.5)

    qkv = torch.randn(len(found.places), 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(function, qkv, fast_mode=True)


def test_dropout_is_of_the_weights_and_keeps_their_mean():
    found = unpadded(masked([200]), HEADS)
    qkv = torch.ones(len(found.places), 3 * HEADS * WIDTH)
    y = text_attention(qkv, HEADS, found.by_head, Drop(0.25, Noise()), 0.3)[100:200]
    assert y.mean() == pytest.approx(1, abs=0.02)
    assert y.std() > 0.02


def test_tokens_of_no_text_are_zero_and_get_no_gradient():
    found = unpadded(masked([5, 6]), HEADS)
    qkv = tokens(found)
    y = text_attention(qkv, HEADS, found.by_head, Drop(0.0, Noise()), 0.3)
    y.sum().backward()
    assert len(y) == 16
    assert not y[11:].any()
    assert not qkv.grad[11:].any()
    assert qkv.grad[:11].any(dim=1).all()


@given(st.lists(st.integers(0, 90), min_size=1, max_size=30))
def test_every_text_is_in_one_group_of_a_round_number_of_rows(lengths):
    found = unpadded(masked(lengths), HEADS)
    assert sum(len(group.slots) for group in found.groups) == sum(lengths)
    assert len(set(found.places[: found.real].tolist())) == found.real == sum(lengths)
    assert {group.shape[0] for group in found.groups} <= {1, 2, 3, 4, 6, 8, 12, 16, 24}


def test_round_numbers_are_powers_of_two_and_half_of_one_more():
    assert _round_numbers(17) == [1, 2, 3, 4, 6, 8, 12, 16]
    assert _round_numbers(1) == [1]


@pytest.fixture
def model():
    model = build(GPT2, GPT2Config(2, 2, 16, vocabulary=100))
    initialise(model, 1)
    return model.bfloat16().train()


def test_a_training_in_bf16_takes_it_where_texts_are_padded(model, monkeypatch):
    asked = []
    monkeypatch.setattr(block, "text_attention", lambda *given: asked.append(1) or text_attention(*given))
    model.transformer(torch.zeros(2, 20, dtype=torch.long), masked([20, 7]))
    assert len(asked) == 2  # layers


def test_documents_that_share_a_row_do_not(model, monkeypatch):
    monkeypatch.setattr(block, "text_attention", None)
    documents = torch.tensor([[0, 0, 0, 1, 1, 1], [0, 0, -1, -1, -1, -1]])
    see_each_other = (documents[:, :, None] == documents[:, None]) & (documents >= 0)[:, None]
    ids = torch.arange(12).view(2, 6)
    y = model.transformer(ids, see_each_other)
    torch.testing.assert_close(
        y[0, 3:], model.transformer(ids[:1, 3:], None, torch.arange(3, 6)[None])[0], rtol=0.05, atol=0.05
    )


def test_a_batch_of_nothing_but_padding_is_no_error(model):
    y = model.transformer(torch.zeros(2, 4, dtype=torch.long), torch.zeros(2, 4))
    y.float().sum().backward()
    assert torch.isfinite(model.transformer.wte.weight.grad).all()
