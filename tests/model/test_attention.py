"""Attention by blocks of queries is attention: values and gradients of PyTorch's own, to bf16's rounding."""

import pytest
import torch
import torch.nn.functional as F

from gpt2lab.model import attention
from gpt2lab.model.dropout import Drop, Noise


def inputs(length, dtype, heads=3, width=16):
    generator = torch.Generator().manual_seed(length)
    whole = torch.randn(2, length, 3 * heads * width, generator=generator).to(dtype).requires_grad_()
    return whole, [part.unflatten(-1, (heads, width)).transpose(1, 2) for part in whole.chunk(3, -1)]


@pytest.mark.parametrize("length", [1, 5, 128, 129, 300, 520])
def test_values_and_gradients_are_those_of_fused_attention(length):
    whole, (q, k, v) = inputs(length, torch.bfloat16)
    y = attention.causal_attention(q, k, v, Drop(0.0, Noise()), 0.3)
    y.float().square().sum().backward()
    exact, (q, k, v) = inputs(length, torch.float32)
    exact.data.copy_(whole.data)
    expected = F.scaled_dot_product_attention(q, k, v, is_causal=True, scale=0.3)
    expected.square().sum().backward()
    torch.testing.assert_close(y.float(), expected, rtol=0.03, atol=0.03)
    torch.testing.assert_close(whole.grad.float(), exact.grad, rtol=0.05, atol=0.15)


def test_no_query_sees_a_later_key():
    _, (q, k, v) = inputs(300, torch.bfloat16)
    before = attention.causal_attention(q, k, v, Drop(0.0, Noise()), 0.3)
    k, v = k.clone(), v.clone()
    k[:, :, 200:] += 9
    v[:, :, 200:] -= 9
    after = attention.causal_attention(q, k, v, Drop(0.0, Noise()), 0.3)
    assert torch.equal(before[:, :, :200], after[:, :, :200])
    assert not torch.equal(before[:, :, 200:], after[:, :, 200:])


def test_kept_and_recomputed_weights_give_the_same_gradients(monkeypatch):
    found = []
    for kept in (10_000, 0):
        monkeypatch.setattr(attention, "KEPT_UP_TO", kept)
        whole, (q, k, v) = inputs(300, torch.bfloat16)
        attention.causal_attention(q, k, v, Drop(0.0, Noise()), 0.3).float().sum().backward()
        found.append(whole.grad)
    assert torch.equal(*found)


def test_a_compiler_that_drops_and_a_way_forward_alone_get_pytorchs_attention(monkeypatch):
    x = torch.zeros(1, 2, 4, 8)
    assert attention.by_blocks(x.bfloat16(), 0.0)
    assert attention.by_blocks(x, 0.1)
    assert not attention.by_blocks(x, 0.0)
    with torch.no_grad():
        assert not attention.by_blocks(x.bfloat16(), 0.1)
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: True)
    assert not attention.by_blocks(x.bfloat16(), 0.1)
    assert attention.by_blocks(x.bfloat16(), 0.0)
