"""Small models for tests, made on the spot."""

from __future__ import annotations

import torch

from gpt2lab.model.config import GPT2Config
from gpt2lab.model.gpt2 import GPT2, GPT2Classifier, build, initialise

TINY = GPT2Config(layers=3, heads=4, width=32, context=24, vocabulary=101, start_of_text=100, end_of_text=100)


def lively(model, seed: int = 1):
    """Random weights far from the start, biases and norms included, so that nothing is hidden by a zero or a one."""
    initialise(model, seed)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            real = model.config.vocabulary if name.endswith(("wte.weight", "lm_head.weight")) else len(parameter)
            parameter[:real] += 0.2 * torch.randn((real, *parameter.shape[1:]), generator=generator)
    return model.eval()


def language_model(config: GPT2Config = TINY, vocabulary_multiple: int = 64) -> GPT2:
    return lively(build(GPT2, config, vocabulary_multiple))


def classifier(config: GPT2Config, vocabulary_multiple: int = 64) -> GPT2Classifier:
    return lively(build(GPT2Classifier, config, vocabulary_multiple))


def random_ids(rows: int, length: int, vocabulary: int = TINY.vocabulary, seed: int = 3) -> torch.Tensor:
    return torch.randint(0, vocabulary, (rows, length), generator=torch.Generator().manual_seed(seed))
