"""The memory that a training is said to take is what it will ask for, on small devices too."""

from dataclasses import replace

import pytest

from gpt2lab.model.config import SIZES, GPT2Config, parameter_count
from gpt2lab.train import memory
from gpt2lab.train.settings import TrainSettings

SMALL = GPT2Config(*SIZES["small"])
TOY = GPT2Config(2, 2, 64, context=64, vocabulary=500)


def of_head(config, tokens):
    """What is counted beside weights, the optimizer's state and activations."""
    moving, settings = parameter_count(config), TrainSettings(steps=1)
    known = memory.of_state(config, moving, settings, "bf16")
    known += memory.of_activations(config, tokens, settings, "bf16", "cuda")
    return memory.needed(config, moving, tokens, settings, "bf16", "cuda") - known


def test_a_head_over_few_tokens_takes_no_more_than_its_logits():
    assert of_head(TOY, 8 * 64) == 3 * 4 * 8 * 64 * 500
    assert of_head(SMALL, 64 * 1024) == pytest.approx(3 * 2e9)


def test_a_classifier_has_no_such_head():
    assert of_head(replace(SMALL, labels=("a", "b")), 64 * 1024) == 0
