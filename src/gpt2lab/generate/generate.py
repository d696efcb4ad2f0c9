"""Samples from a prompt, all of one batch, each with draws of its own."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, Literal

import torch

from gpt2lab.core.errors import UserError
from gpt2lab.generate.cache import GrowingCache
from gpt2lab.generate.sampling import distribution, draws_for, pick
from gpt2lab.generate.settings import SamplingSettings
from gpt2lab.model.gpt2 import GPT2, check_ids
from gpt2lab.text.tokenizer import Tokenizer


@dataclass(frozen=True)
class Sample:
    prompt: str
    text: str  # the continuation alone
    sample: int
    seed: int
    tokens: int
    finish: Literal["end-of-text", "length", "context"]

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


@torch.inference_mode()
def generate(
    model: GPT2, tokenizer: Tokenizer, prompt: str, samples: int, settings: SamplingSettings, ignore_eos: bool = False
) -> list[Sample]:
    """A sample ends at end-of-text, at the wanted length, or where the context is full."""
    prompt_ids = tokenizer.encode(prompt).astype("int64")
    ids = torch.from_numpy(prompt_ids) if len(prompt_ids) else torch.tensor([tokenizer.end_of_text])
    check_ids(ids, model.config)
    if len(ids) >= model.config.context:
        raise UserError(
            f"the prompt has {len(ids)} tokens and the model sees {model.config.context}",
            way_out="shorten the prompt",
        )
    device = next(model.parameters()).device
    room = min(settings.max_new_tokens, model.config.context - len(ids))
    cache = GrowingCache(model.config.layers)
    generators = [draws_for(settings.seed, prompt, sample) for sample in range(samples)]
    chosen: list[list[int]] = [[] for _ in range(samples)]
    ended = [False] * samples
    following = ids.to(device).expand(samples, -1)
    for _ in range(room):
        logits = model.logits(model.transformer(following, cache=cache)[:, -1])
        logits[:, tokenizer.size :] = -math.inf  # some models have more ids than their tokenizer has tokens
        new = pick(distribution(logits, settings), generators)
        for row, number in enumerate(new.tolist()):
            ended[row] = ended[row] or (number == tokenizer.end_of_text and not ignore_eos)
            if not ended[row]:
                chosen[row].append(number)
        if all(ended):
            break
        following = new[:, None].to(device)
    full = "length" if room == settings.max_new_tokens else "context"
    return [
        Sample(
            prompt,
            tokenizer.decode(numbers),
            row,
            settings.seed,
            len(numbers),
            "end-of-text" if ended[row] else full,
        )
        for row, numbers in enumerate(chosen)
    ]
