"""What people may say of sampling."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from gpt2lab.core.settings import Natural, NaturalFloat, Positive, PositiveFloat, Seed, Settings, Share

ShareAboveZero = Annotated[float, Field(gt=0, le=1)]
Text = Annotated[str, Field(min_length=1)]


class SamplingSettings(Settings):
    max_new_tokens: Positive = 100
    """The most tokens to add."""
    min_new_tokens: Natural = 0
    """Before so many nothing ends a sample."""
    temperature: NaturalFloat = 1.0
    """Below 1 the likely becomes likelier; 0 always takes the likeliest."""
    top_k: Natural = 0
    """Keep the k likeliest; 0 keeps all."""
    top_p: ShareAboveZero = 1.0
    """Keep the likeliest that together reach this probability."""
    min_p: Share = 0.0
    """Keep what has at least this share of the likeliest's probability."""
    repetition_penalty: PositiveFloat = 1.0
    """Tokens that stand in the text already: positive logits are divided by this, negative ones multiplied."""
    no_repeat_ngram: Natural = 0
    """No run of so many tokens occurs twice; 0 allows all."""
    stop: tuple[Text, ...] = ()
    """Texts that end a sample; they are left out of it."""
    stop_tokens: tuple[Text, ...] = ()
    """Tokens that end a sample, by number or by their text."""
    ignore_eos: bool = False
    """Go on past end-of-text."""
    seed: Seed = 1
    """Of the draws."""
    precision: Literal["fp32", "bf16"] = "fp32"
    """Of the matrix products."""
    rows: Positive = 16
    """Samples that are written side by side."""
    token_details: bool = False
    """For each token: probability, surprise in bits and likeliest alternatives by the model alone; chance as drawn."""
    alternatives: Natural = 5
    """How many of them."""
    compile: Literal["auto", "always", "never"] = "auto"
    """Steps as compiled graphs; auto does so on a GPU where at least 10,000 steps are to come."""

    @model_validator(mode="after")
    def _in_order(self) -> SamplingSettings:
        if self.min_new_tokens > self.max_new_tokens:
            raise ValueError(f"min_new_tokens is {self.min_new_tokens}, max_new_tokens only {self.max_new_tokens}")
        return self


class Generation(Settings):
    generate: SamplingSettings = SamplingSettings()
