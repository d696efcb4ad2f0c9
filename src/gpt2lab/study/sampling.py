"""The probe that lets the model write while it is trained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from gpt2lab.core import console
from gpt2lab.generate.generate import generate
from gpt2lab.generate.settings import SamplingSettings
from gpt2lab.model.gpt2 import GPT2
from gpt2lab.text.tokenizer import Tokenizer
from gpt2lab.train.processes import ALONE, Team
from gpt2lab.train.settings import Every


@dataclass(frozen=True)
class Sample:
    tokenizer: Tokenizer
    prompts: Sequence[str]
    settings: SamplingSettings
    every: Every
    team: Team = ALONE

    @torch.no_grad()
    def __call__(self, model: GPT2, step: int) -> dict[str, Any]:
        if not self.team.leads:
            return {}
        texts = [sample.text for sample in generate(model, self.tokenizer, self.prompts, 1, self.settings)]
        for prompt, text in zip(self.prompts, texts):
            console.say(f"step {step:,}: {prompt}{text}".replace("\n", " "))
        return {"samples": [{"prompt": prompt, "text": text} for prompt, text in zip(self.prompts, texts)]}
