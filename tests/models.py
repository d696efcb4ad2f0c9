"""Small models for tests, made on the spot."""

from __future__ import annotations

import torch
from torch import Tensor

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


class GrowingCache:
    """For rows that go in step; left padding is in the caller's mask."""

    visible: Tensor | None = None

    def __init__(self, layers: int) -> None:
        self.keys: list[Tensor | None] = [None] * layers
        self.values: list[Tensor | None] = [None] * layers

    @property
    def length(self) -> int:
        """Tokens in the cache before this pass: the last layer is the last to know of new ones."""
        last = self.keys[-1]
        return 0 if last is None else last.shape[2]

    def extend(self, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        before_keys, before_values = self.keys[layer], self.values[layer]
        if before_keys is not None and before_values is not None:
            keys, values = torch.cat([before_keys, keys], dim=2), torch.cat([before_values, values], dim=2)
        self.keys[layer], self.values[layer] = keys, values
        return keys, values
