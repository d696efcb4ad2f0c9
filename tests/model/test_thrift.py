"""What is made again on the way back instead of kept: the plain gradients, for less memory."""

import pytest
import torch
from torch import nn

from gpt2lab.model import block, lora, thrift
from gpt2lab.model.block import ACTIVATION_FUNCTIONS
from gpt2lab.model.linear import Linear
from gpt2lab.model.settings import LoraSettings
from models import TINY, language_model, random_ids


@pytest.fixture(autouse=True)
def however_few_tokens(monkeypatch):
    monkeypatch.setattr(thrift, "KEPT_UP_TO", 0)


def plain(cheap, x, linear):
    return linear(cheap(x))


def gradients(model, ids):
    model.train()
    model(ids)[..., : model.config.vocabulary].square().sum().backward()
    found = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()
    return found


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("cheap", [nn.LayerNorm(5).double(), *ACTIVATION_FUNCTIONS.values()])
def test_gradients_are_the_derivatives(cheap, bias):
    torch.manual_seed(1)
    linear = Linear(5, 3, bias=bias).double()
    x = torch.randn(2, 4, 5, dtype=torch.float64, requires_grad=True)
    inputs = [x, *linear.parameters(), *thrift._moving(cheap)]
    assert torch.autograd.gradcheck(lambda *_: thrift.linear_after(cheap, x, linear), inputs)


@pytest.mark.parametrize("activation", ACTIVATION_FUNCTIONS)
@pytest.mark.parametrize("recompute", [False, True])
def test_a_models_gradients_are_those_of_the_plain_modules(monkeypatch, activation, recompute):
    model = language_model(TINY.with_dropout(0.0))
    for each in model.transformer.h:
        each.mlp.activation = ACTIVATION_FUNCTIONS[activation]
    model.transformer.recompute_activations = recompute
    ids = random_ids(2, 20)
    ours = gradients(model, ids)
    monkeypatch.setattr(block, "linear_after", plain)
    theirs = gradients(model, ids)
    assert ours.keys() == theirs.keys()
    for name, gradient in ours.items():
        torch.testing.assert_close(gradient, theirs[name], rtol=1e-5, atol=1e-6 * theirs[name].abs().max().item())


def test_frozen_parts_get_no_gradient_and_the_rest_the_plain_one(monkeypatch):
    """Norms and the first of two layers may be frozen each by itself, and the lowest block has nothing to pass on."""
    model, ids = language_model(), random_ids(2, 20)
    for name, parameter in model.named_parameters():
        frozen = ("wte", "wpe", "lm_head", "h.0.mlp.c_fc", "h.1.ln_1", "h.2.attn.c_attn.weight", "h.2.ln_2.bias")
        parameter.requires_grad_(not any(part in name for part in frozen))
    ours = gradients(model, ids)
    monkeypatch.setattr(block, "linear_after", plain)
    theirs = gradients(model, ids)
    assert ours.keys() == theirs.keys() == {name for name, p in model.named_parameters() if p.requires_grad}
    for name, gradient in ours.items():
        torch.testing.assert_close(gradient, theirs[name], rtol=1e-5, atol=1e-6 * theirs[name].abs().max().item())


def test_adapters_take_the_plain_path(monkeypatch):
    monkeypatch.setattr(thrift._LinearAfter, "apply", lambda *_: pytest.fail("not for adapters"))
    model = language_model()
    lora.add(model, LoraSettings(rank=2, targets=("all",)), 1)
    assert all("lora_" in name for name in gradients(model, random_ids(2, 5)))


def kept(one, x):
    """Numbers that a block keeps for the way back, in widths a token."""
    storages = {}

    def look(tensor):
        storages[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(look, lambda tensor: tensor):
        one(x, None, True, None)
    own = {parameter.untyped_storage().data_ptr() for parameter in one.parameters()}
    return sum(size for place, size in storages.items() if place not in own) / x.untyped_storage().nbytes()


def test_a_block_keeps_10_widths_a_token_in_place_of_16(monkeypatch):
    one = block.Block(TINY.with_dropout(0.0), 0).train().bfloat16()
    x = torch.randn(2, 640, TINY.width, dtype=torch.bfloat16, requires_grad=True)
    assert kept(one, x) == pytest.approx(10, abs=0.5)
    monkeypatch.setattr(block, "linear_after", plain)
    assert kept(one, x) == pytest.approx(16, abs=0.8)


def test_few_tokens_are_kept_whole_on_a_cpu(monkeypatch):
    monkeypatch.setattr(thrift, "KEPT_UP_TO", 100)
    one = block.Block(TINY.with_dropout(0.0), 0).train().bfloat16()
    few, many = (torch.randn(2, tokens, TINY.width, dtype=torch.bfloat16, requires_grad=True) for tokens in (50, 51))
    assert kept(one, few) - kept(one, many) == pytest.approx(6, abs=1)
