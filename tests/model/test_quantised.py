"""Blocks in four bits: what the packed weights stand for, and that training and measuring leave them alone."""

import subprocess
import sys
import weakref
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from gpt2lab.core.errors import UserError
from gpt2lab.model import layout, lora, quantised
from gpt2lab.model.config import GPT2Config
from gpt2lab.model.gpt2 import GPT2, build, initialise
from gpt2lab.model.quantised import NF4Linear
from gpt2lab.model.settings import LoraSettings, QloraSettings
from models import TINY, language_model, random_ids

bitsandbytes = pytest.importorskip("bitsandbytes")
BLOCKS = (32, 64, 128, 256, 512, 1024, 2048, 4096)
WIDER = replace(TINY, width=64)
WIDEST_GAP = 1 - 0.6961928  # between neighbouring values of NF4: the largest step is the one below 1


def linear(rows, columns, seed=1):
    layer = nn.Linear(columns, rows)
    with torch.no_grad():
        layer.weight.normal_(0, 0.02, generator=torch.Generator().manual_seed(seed))
    return layer


def scales_of(packed):
    """One for each block, taken out of their own eight bits where they are packed as well."""
    scales = packed.scales
    if not scales.nested:
        return scales.absmax
    each = scales.state2.absmax.repeat_interleave(256)[: len(scales.absmax)]
    return scales.state2.code[scales.absmax.long()] * each + scales.offset


def by_hand(packed):
    """The first of two weights is in the upper half of a byte; a weight is its value in the table times its scale."""
    numbers = packed.weight.data.flatten()
    places = torch.stack([numbers >> 4, numbers & 15], dim=1).flatten().long()
    values = packed.scales.code[places].view(len(scales_of(packed)), -1) * scales_of(packed)[:, None]
    return values.view(packed.out_features, packed.in_features)


@pytest.mark.parametrize("double", [True, False])
@pytest.mark.parametrize("block", BLOCKS)
def test_a_weight_is_its_value_in_the_table_times_the_scale_of_its_block(block, double):
    packed = NF4Linear(
        linear(6, max(block, 192) // block * block), QloraSettings(block_size=block, double_quantisation=double)
    )
    found = packed.dequantised().weight
    assert torch.allclose(found, by_hand(packed), rtol=1e-6, atol=0)
    assert torch.equal(found, bitsandbytes.functional.dequantize_4bit(packed.weight.data, packed.scales))


@given(seed=st.integers(0, 10**6), spread=st.floats(1e-4, 10), block=st.sampled_from(BLOCKS[:3]))
def test_a_weight_is_off_by_at_most_half_a_step_of_its_block(seed, spread, block):
    plain = linear(4, 128, seed)
    plain.weight.data *= spread / 0.02
    packed = NF4Linear(plain, QloraSettings(block_size=block, double_quantisation=False))
    off = (packed.dequantised().weight - plain.weight).abs().view(-1, block)
    largest = plain.weight.abs().view(-1, block).amax(dim=1, keepdim=True)
    assert (off <= largest * WIDEST_GAP / 2 * 1.0001).all()
    assert torch.equal(scales_of(packed), largest.flatten())


@given(seed=st.integers(0, 10**6))
def test_quantising_again_changes_nothing_where_scales_are_kept_in_full(seed):
    once = NF4Linear(linear(4, 128, seed), QloraSettings(double_quantisation=False))
    again = NF4Linear(once.dequantised(), QloraSettings(double_quantisation=False))
    assert torch.equal(once.weight.data, again.weight.data)
    assert torch.equal(once.dequantised().weight, again.dequantised().weight)


def test_only_the_linear_layers_of_blocks_are_packed():
    model, before = language_model(WIDER), language_model(WIDER)
    quantised.quantise(model, QloraSettings())
    quantised.dequantise(model)
    assert not any(isinstance(module, NF4Linear) for module in model.modules())
    for name, old in before.named_parameters():
        assert torch.equal(old, model.get_parameter(name)) != layout.is_turned(name), name


@pytest.mark.parametrize("dora", [False, True])
def test_what_is_computed_is_the_dequantised_model_in_training_and_evaluation(dora):
    model = language_model(WIDER)
    quantised.quantise(model, QloraSettings())
    lora.add(model, LoraSettings(targets=("all",), dora=dora), 1)
    ids = random_ids(3, 20)
    training, evaluating = model.train()(ids), model.eval()(ids)
    quantised.dequantise(model)
    assert torch.equal(training, evaluating)
    assert torch.allclose(model(ids), evaluating, atol=1e-5)


def test_train_evaluate_train():
    """On a CPU with AVX512-BF16, bitsandbytes' own layer fails in the second training step."""
    model, straight = language_model(WIDER), language_model(WIDER)
    ids = random_ids(2, 16)
    for one in (model, straight):
        quantised.quantise(one, QloraSettings())
        lora.add(one, LoraSettings(), 1)
    packed = [parameter.clone() for parameter in model.parameters() if parameter.dtype == torch.uint8]
    for _ in range(2):
        for one in (model, straight):
            mover = torch.optim.SGD([p for p in one.parameters() if p.requires_grad], 0.1)
            one.train()(ids)[..., :101].logsumexp(-1).sum().backward()
            mover.step()
            mover.zero_grad()
        with torch.no_grad():
            model.eval()(ids)
    for old, new in zip(packed, [parameter for parameter in model.parameters() if parameter.dtype == torch.uint8]):
        assert torch.equal(old, new)
    for (name, one), other in zip(model.named_parameters(), straight.parameters()):
        assert torch.equal(one, other), name


def test_precision_follows_what_enters_and_is_not_remembered():
    """bitsandbytes' own layer goes on in the precision of its first call, and rounds its bias for ever."""
    layer = NF4Linear(linear(64, 64), QloraSettings())
    x, bias = torch.randn(5, 64), layer.bias.clone()
    low = layer(x.bfloat16())
    full = layer(x)
    assert low.dtype == torch.bfloat16
    torch.testing.assert_close(full, layer.dequantised()(x))
    assert torch.equal(layer.bias, bias)
    with torch.autocast("cpu", torch.bfloat16):
        assert layer(x).dtype == torch.bfloat16


def test_the_full_weights_are_gone_afterwards():
    model = language_model(WIDER)
    full = [weakref.ref(parameter) for name, parameter in model.named_parameters() if layout.is_turned(name)]
    weights = sum(parameter().numel() for parameter in full)
    quantised.quantise(model, QloraSettings())
    assert [parameter() for parameter in full] == [None] * len(full)
    assert quantised.packed_weights(model) == weights
    held = sum(p.untyped_storage().nbytes() for p in model.parameters() if p.dtype == torch.uint8)
    assert held == weights // 2


def test_parameters_are_counted_as_what_they_stand_for():
    model = build(GPT2, GPT2Config(12, 12, 768))
    initialise(model, 1)
    quantised.quantise(model, QloraSettings())
    names = dict(model.named_parameters())
    assert sum(layout.count(name, parameter, 50257) for name, parameter in names.items()) == 124_439_808
    assert quantised.packed_weights(model) == 84_934_656
    lora.add(model, LoraSettings(), 1)
    assert sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad) == 294_912


def test_a_block_that_would_cross_rows_is_refused():
    with pytest.raises(UserError, match="takes 32 numbers, which is no multiple"):
        quantised.quantise(language_model(TINY), QloraSettings())
    quantised.quantise(language_model(TINY), QloraSettings(block_size=32))


def test_without_bitsandbytes_one_line_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    with pytest.raises(UserError, match="bitsandbytes") as caught:
        quantised.quantise(language_model(WIDER), QloraSettings())
    assert caught.value.way_out == "pip install 'gpt2lab[qlora]'"


def test_its_import_is_silent_and_fetches_nothing(tmp_path):
    """On CPUs with AVX512-BF16 it asks the package `kernels`, where there is one, for a kernel from the Hub."""
    (tmp_path / "kernels.py").write_text("raise SystemExit('asked for a kernel')")
    assert said_by(f"import sys; sys.path.insert(0, {str(tmp_path)!r}); quantised.library()") == ""


def test_peft_imports_it_silently_as_well():
    assert said_by("quantised.prepare_for_peft(); import peft.tuners.lora.bnb") == ""


def said_by(code):
    command = [sys.executable, "-c", f"from gpt2lab.model import quantised; {code}"]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    return ran.stderr + "failed" * ran.returncode
