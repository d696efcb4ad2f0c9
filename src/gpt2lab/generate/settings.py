"""What people may say of sampling."""

from __future__ import annotations

from gpt2lab.core.settings import Natural, NaturalFloat, Positive, Seed, Settings, Share


class SamplingSettings(Settings):
    max_new_tokens: Positive = 100
    """The most tokens to add."""
    temperature: NaturalFloat = 1.0
    """Below 1 the likely becomes likelier; 0 always takes the likeliest."""
    top_k: Natural = 0
    """Keep the k likeliest; 0 keeps all."""
    top_p: Share = 1.0
    """Keep the likeliest that together reach this probability."""
    seed: Seed = 1
    """Of the draws."""
