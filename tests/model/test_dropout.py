"""Dropout with cheap random numbers is dropout: its rate, its scale, its gradient, and nothing where none is asked."""

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from gpt2lab.model import attention
from gpt2lab.model.dropout import MOST, Drop, Noise, add_dropped, dropout, without


def dropped(shape, rate):
    return without(torch.ones(shape), Noise().take(torch.Size(shape)), rate) == 0


@given(rate=st.floats(0.001, MOST), seed=st.integers(0, 2**32))
def test_as_many_are_left_out_as_the_rate_says(rate, seed):
    torch.manual_seed(seed)
    out = dropped((400, 250), rate)
    assert abs(out.float().mean() - rate) < 6 * math.sqrt(rate * (1 - rate) / out.numel()) + 2**-17


@given(rate=st.floats(2**-16, MOST))
def test_of_all_that_sixteen_bits_can_be_the_threshold_leaves_out_the_share_that_was_asked_for(rate):
    """Zero is two of them, and what is no number always stays."""
    every = torch.arange(2**16).to(torch.int16).view(torch.bfloat16)
    out = without(torch.ones(2**16), every, rate) == 0
    assert abs(int(out.sum()) - rate * 2**16) <= 1.5
    assert not out[every.isnan()].any()


def test_neither_places_nor_neighbours_matter():
    """Each of the four lanes of a random number, and each pair of neighbours, is like any other."""
    torch.manual_seed(1)
    out = dropped((250_000, 4), 0.3).double()
    assert (out.mean(0) - 0.3).abs().max() < 0.005
    correlations = torch.corrcoef(torch.cat([out[1:], out[:-1]], dim=1).T) - torch.eye(8)
    assert correlations.abs().max() < 0.01


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_what_stays_is_scaled_up_and_so_is_its_gradient(dtype):
    x = torch.randn(3, 50, 7, dtype=dtype, requires_grad=True)
    torch.manual_seed(5)
    y = dropout(x, Drop(0.4, Noise()))
    y.backward(torch.full_like(x, 3.0))
    torch.manual_seed(5)
    factor = (~dropped(x.shape, 0.4)).to(dtype) / 0.6
    torch.testing.assert_close(y, x * factor)
    torch.testing.assert_close(x.grad, 3 * factor)
    assert 0.2 < (y == 0).float().mean() < 0.6


@pytest.mark.parametrize(("dtype", "rounding"), [(torch.float32, 1e-6), (torch.bfloat16, 2**-7)])
def test_what_is_dropped_and_added_in_one_go_is_so_in_two(dtype, rounding):
    x, y = (torch.randn(30, 70, dtype=dtype, requires_grad=True) for _ in range(2))
    found = []
    for added in (lambda: add_dropped(x, y, Drop(0.3, Noise())), lambda: x + dropout(y, Drop(0.3, Noise()))):
        torch.manual_seed(5)
        result = added()
        found.append((result.detach(), *torch.autograd.grad(result.square().sum(), (x, y))))
    for one, other in zip(*found):
        torch.testing.assert_close(one, other, rtol=rounding, atol=4 * rounding)
    torch.testing.assert_close(add_dropped(x, y, Drop(0.0, Noise())), x + y)


@pytest.mark.parametrize(("rate", "kept"), [(0.0, 1), (1.0, 0)])
def test_the_ends(rate, kept):
    x = torch.randn(10, 10)
    assert torch.equal(dropout(x, Drop(rate, Noise())), kept * x)


def test_a_stream_goes_on_and_another_is_another():
    torch.manual_seed(1)
    one, other = Noise(), Noise()
    drawn = torch.stack([every.take(torch.Size((1000,))).view(torch.int16) for every in (one, one, other)])
    for first, second in ((0, 1), (0, 2), (1, 2)):
        assert (drawn[first] == drawn[second]).float().mean() < 0.01
    torch.manual_seed(1)
    again = Noise()
    assert torch.equal(torch.stack([again.take(torch.Size((1000,))).view(torch.int16) for _ in range(2)]), drawn[:2])


def test_nearly_all_is_left_to_pytorch():
    torch.manual_seed(1)
    stays = dropout(torch.ones(1_000_000), Drop(0.998, Noise())) != 0
    assert 0.001 < stays.float().mean() < 0.003


def test_an_odd_number_of_elements_and_none_at_all():
    assert dropped((5, 3), 0.5).shape == (5, 3)
    assert dropout(torch.empty(0, 4), Drop(0.5, Noise())).shape == (0, 4)


@pytest.mark.parametrize("length", [3, 130, 300])
@pytest.mark.parametrize("kept_up_to", [0, 10_000])
def test_attention_leaves_out_weights_as_its_definition_says(monkeypatch, length, kept_up_to):
    """Values and gradients, in fp32, beside softmax, dropout and product written out."""
    monkeypatch.setattr(attention, "KEPT_UP_TO", kept_up_to)
    drawn = []
    take = Noise.take
    monkeypatch.setattr(Noise, "take", lambda noise, shape: drawn.append(take(noise, shape)) or drawn[-1])
    torch.manual_seed(length)
    q, k, v = (torch.randn(2, 3, length, 8, requires_grad=True) for _ in range(3))
    y = attention.causal_attention(q, k, v, Drop(0.25, Noise()), 0.3)
    y.square().sum().backward()
    ours = [y.detach(), q.grad, k.grad, v.grad]
    q, k, v = (tensor.detach().requires_grad_() for tensor in (q, k, v))
    out = torch.zeros(6, length, length, dtype=torch.bool)
    for block, part in enumerate(drawn):
        out[:, block * attention.BLOCK : block * attention.BLOCK + part.shape[1], : part.shape[2]] = (
            without(torch.ones(part.shape), part, 0.25) == 0
        )
    hidden = torch.ones(length, length, dtype=torch.bool).triu(1)
    weights = (q @ k.mT * 0.3).masked_fill(hidden, -math.inf).softmax(-1)
    y = (weights * ~out.view(2, 3, length, length) / 0.75) @ v
    y.square().sum().backward()
    for one, other in zip(ours, [y.detach(), q.grad, k.grad, v.grad], strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)
    assert length == 3 or 0.2 < out.view(2, 3, length, length)[~hidden.expand(2, 3, -1, -1)].float().mean() < 0.3


def test_without_a_way_back_attention_is_pytorchs():
    q, k, v = (torch.randn(1, 2, 9, 8) for _ in range(3))
    expected = F.scaled_dot_product_attention(q, k, v, is_causal=True, scale=0.3)
    torch.testing.assert_close(attention.causal_attention(q, k, v, Drop(0.0, Noise()), 0.3), expected)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_attention_that_leaves_out_everything_is_zero_and_no_nan(dtype):
    q, k, v = (torch.randn(1, 2, 9, 8, dtype=dtype, requires_grad=True) for _ in range(3))
    assert torch.equal(attention.causal_attention(q, k, v, Drop(1.0, Noise()), 0.3), torch.zeros_like(q))
