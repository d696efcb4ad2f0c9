"""Logits with the cache are those without, whatever the rows do; weights laid out anew multiply as they did."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gpt2lab.generate import engine as engines
from gpt2lab.generate.engine import Engine
from gpt2lab.generate.packed import weights_of
from gpt2lab.model import lora, prompt
from gpt2lab.model.settings import LoraSettings, PromptSettings
from models import TINY, language_model, random_ids

CONFIG = replace(TINY, context=160)
MODEL = language_model(CONFIG)
WEIGHTS = weights_of(MODEL, "fp32")


def close(found, expected, tolerance=1e-5):
    return (found - expected).abs().max() <= tolerance * expected.abs().max()


@torch.inference_mode()
def without_cache(model, text):
    return model(torch.tensor([text]))[0, -1, : model.config.vocabulary]


def follow(engine, model, plan, seed=1, tolerance=1e-5):
    """Rows are read, step and leave as the plan says, and after each pass every row's logits are the plain ones."""
    generator = torch.Generator().manual_seed(seed)
    texts = []
    with torch.inference_mode():
        for what, number in plan:
            if what == "read" and len(texts) < 4:
                texts.append(torch.randint(0, 101, (number,), generator=generator).tolist())
                found = engine.read([len(texts) - 1], [texts[-1]])
                assert close(found[0], without_cache(model, texts[-1]), tolerance)
            elif what == "step" and texts:
                new = torch.randint(0, 101, (len(texts),), generator=generator).tolist()
                for text, one in zip(texts, new):
                    text.append(one)
                found = engine.step(new)
                assert len(found) == len(texts)
                for row, text in enumerate(texts):
                    assert close(found[row], without_cache(model, text), tolerance)
            elif what == "leave" and texts:
                slot = number % len(texts)
                engine.leave(slot)
                texts[slot] = texts[-1]
                texts.pop()


PLANS = st.lists(st.tuples(st.sampled_from(["read", "step", "step", "leave"]), st.integers(1, 70)), max_size=12)


@settings(max_examples=25)
@given(PLANS)
def test_whatever_rows_do_their_logits_are_those_without_a_cache(plan):
    follow(Engine(WEIGHTS, 4, 1), MODEL, plan)


PLAN = [("read", 3), ("read", 50), ("step", 1), ("step", 1), ("read", 7), ("leave", 0), ("step", 1), ("step", 1)]


def test_equal_texts_are_read_once_and_long_ones_in_parts(monkeypatch):
    monkeypatch.setattr(engines, "READ_AT_ONCE", 60)
    sizes = []
    weights = weights_of(MODEL, "fp32")
    weights.transformer.register_forward_pre_hook(lambda _, given: sizes.append(tuple(given[0].shape)))
    engine = Engine(weights, 6, 50)
    long, short, middle = random_ids(1, 50)[0].tolist(), [1, 2], random_ids(1, 30)[0].tolist()
    texts = [long, short, long, middle, short, long]
    with torch.inference_mode():
        found = engine.read(range(6), texts)
        assert sorted(sizes) == [(1, 64), (2, 32)]  # lengths are rounded up
        for row, text in enumerate(texts):
            assert close(found[row], without_cache(MODEL, text))
        found = engine.step([7] * 6)
        for row, text in enumerate(texts):
            assert close(found[row], without_cache(MODEL, [*text, 7]))


def test_soft_tokens_are_counted():
    model = language_model(CONFIG)
    prompt.add(model, PromptSettings(tokens=5), 1, random_ids(1, 3)[0].numpy())
    follow(Engine(weights_of(model, "fp32"), 4, 1), model, PLAN)


def test_an_adapter_that_is_not_merged_writes_as_it_trains():
    model = language_model(CONFIG)
    lora.add(model, LoraSettings(targets=("all",)), 1)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.normal_(generator=torch.Generator().manual_seed(1))
    assert not close(without_cache(model, [1, 2, 3]), without_cache(MODEL, [1, 2, 3]), 1e-2)
    follow(Engine(weights_of(model, "fp32"), 4, 1), model, PLAN)


@pytest.mark.parametrize("change", [{"activation": "gelu"}, {"tied_head": False}, {"scale_attention_by_layer": True}])
@pytest.mark.parametrize("packed", [True, False])
def test_every_kind_of_model_is_laid_out(change, packed):
    model = language_model(replace(CONFIG, **change))
    follow(Engine(weights_of(model, "fp32", packed=packed), 4, 1), model, PLAN)


def test_bf16_is_near_and_the_model_stays_as_it_was():
    before = {name: parameter.clone() for name, parameter in MODEL.named_parameters()}
    for packed in (True, False):
        follow(Engine(weights_of(MODEL, "bf16", packed=packed), 4, 1), MODEL, PLAN, tolerance=0.05)
    assert all(torch.equal(before[name], parameter) for name, parameter in MODEL.named_parameters())
    assert WEIGHTS.transformer.wte.weight is MODEL.transformer.wte.weight


def test_a_model_in_bf16_as_training_has_it_is_written_with_in_fp32():
    model = language_model(CONFIG).bfloat16()
    exact = language_model(CONFIG)
    exact.load_state_dict(model.state_dict())
    follow(Engine(weights_of(model, "fp32"), 4, 1), exact, PLAN)


@pytest.mark.compile
def test_compiled_steps_have_one_graph_a_bucket_and_the_same_logits():
    torch.compiler.reset()
    from torch._dynamo.testing import CompileCounter

    counter = CompileCounter()
    engine = Engine(weights_of(MODEL, "fp32", packed=False), 4, 160, compiled=True)
    engine._run = torch.compile(engine._forward, backend=counter, dynamic=False, fullgraph=True)
    steps = [("step", 1)] * 4
    # Buckets of (rows, places): 1 and 128, 2 and 128, 4 and 128, 4 and 160.
    follow(engine, MODEL, [("read", 3), *steps, ("read", 5), *steps, ("read", 9), *steps, ("read", 117), *steps * 3])
    assert counter.frame_count == 4
    torch.compiler.reset()


@pytest.mark.gpu
@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize(("precision", "tolerance"), [("fp32", 1e-3), ("bf16", 0.05)])
def test_on_a_gpu_too(compiled, precision, tolerance):
    model = language_model(CONFIG).cuda()
    engine = Engine(weights_of(model, precision), 4, 160, compiled=compiled)
    with torch.inference_mode():
        engine.read([0, 1], [[1, 2, 3], [4] * 50])
        for count in range(6):
            found = engine.step([5, 6])
            for row, text in enumerate(([1, 2, 3], [4] * 50)):
                plain = model(torch.tensor([[*text, *[5 + row] * (count + 1)]], device="cuda"))[0, -1, :101]
                assert close(found[row].cpu(), plain.cpu(), tolerance)
