"""Partial tuning: the lower part of a model stays as it is."""

from __future__ import annotations

from gpt2lab.model.config import GPT2Config
from gpt2lab.model.settings import PartialSettings

EMBEDDINGS = "transformer.wte.*, transformer.wpe.*"


def frozen(config: GPT2Config, settings: PartialSettings) -> str:
    """Patterns of what does not move: embeddings, and this share of the blocks, from below."""
    blocks = [f"transformer.h.{layer}.*" for layer in range(round(settings.freeze * config.layers))]
    return ", ".join([EMBEDDINGS, *blocks])


def top(config: GPT2Config, settings: PartialSettings) -> str:
    """Patterns of what moves at the top's own rate."""
    if settings.top == "head":
        return "score.*"
    first = round(settings.freeze * config.layers)
    blocks = [f"transformer.h.{layer}.*" for layer in range(first, config.layers)]
    return ", ".join([*blocks, "transformer.ln_f.*", "score.*"])
