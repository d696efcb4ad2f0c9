"""A linear layer that multiplies another way is a linear layer: values, gradients, and none where it is frozen."""

import pytest
import torch
from torch import nn

from gpt2lab.model.linear import Linear, multiply


def pair(bias=True):
    torch.manual_seed(3)
    ours = Linear(24, 40, bias=bias)
    plain = nn.Linear(24, 40, bias=bias)
    plain.load_state_dict(ours.state_dict())
    return ours, plain


@pytest.mark.parametrize("shape", [(24,), (1, 24), (7, 24), (2, 5, 24), (0, 24)])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("frozen", ["nothing", "weight", "bias", "input"])
def test_values_and_gradients_are_those_of_pytorchs_layer(shape, bias, frozen):
    found = []
    for layer in pair(bias):
        for name, parameter in layer.named_parameters():
            parameter.requires_grad_(name != frozen)
        x = torch.randn(shape, generator=torch.Generator().manual_seed(4)).requires_grad_(frozen != "input")
        y = layer(x)
        y.square().sum().backward()
        found.append([y.detach(), x.grad, *(parameter.grad for parameter in layer.parameters())])
    for ours, plain in zip(*found, strict=True):
        assert (ours is None) == (plain is None)
        if plain is not None:
            torch.testing.assert_close(ours, plain, rtol=1e-5, atol=1e-5)


def test_a_gradient_that_lies_otherwise_in_memory_is_read_right():
    ours, plain = pair()
    found = []
    for layer in (ours, plain):
        x = torch.randn(6, 24, generator=torch.Generator().manual_seed(4)).requires_grad_()
        layer(x).t().sum(0).expand(3, 6).sum().backward()  # rows of a gradient that share their memory
        found.append([x.grad, layer.weight.grad, layer.bias.grad])
    for one, other in zip(*found):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_other_numbers_go_pytorchs_way(dtype):
    ours, plain = (layer.to(dtype) for layer in pair())
    x = torch.randn(5, 24, dtype=dtype)
    assert torch.equal(ours(x), plain(x))
    assert torch.equal(multiply(x, ours.weight, ours.bias), plain(x))


def test_in_fp32_it_is_onednns_product(monkeypatch):
    asked = []
    real = torch.ops.mkldnn._linear_pointwise
    monkeypatch.setattr(torch.ops.mkldnn, "_linear_pointwise", lambda *given: asked.append(1) or real(*given))
    Linear(24, 40)(torch.randn(5, 24, requires_grad=True)).sum().backward()
    assert len(asked) == 2  # there, and on the way back to the input


def test_in_bf16_it_is_onednns_product_where_no_way_back_is_wanted(monkeypatch):
    asked = []
    real = torch.ops.mkldnn._linear_pointwise
    monkeypatch.setattr(torch.ops.mkldnn, "_linear_pointwise", lambda *given: asked.append(1) or real(*given))
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: True)
    layer, x = Linear(24, 40).bfloat16(), torch.randn(5, 24, dtype=torch.bfloat16)
    layer(x).sum().backward()
    assert not asked
    with torch.no_grad():
        layer(x)
    assert len(asked) == 1
