"""What people may say of a training."""

from __future__ import annotations

from typing import Literal

from gpt2lab.core.settings import Natural, NaturalFloat, Positive, PositiveFloat, Probability, Seed, Settings, Share


class TrainSettings(Settings):
    steps: Positive
    """Updates of the weights."""
    batch_tokens: Positive = 8192
    """Tokens of the global batch; rounded down to whole rows."""
    micro_batch: Positive | None = None
    """Rows that pass through the model at once; the whole batch unless given. It never changes the update."""
    block: Positive | None = None
    """Tokens a row; the model's context unless given."""
    learning_rate: PositiveFloat = 6e-4
    """The highest rate."""
    schedule: Literal["cosine", "linear", "constant"] = "cosine"
    """How the rate falls after the warm-up."""
    floor: Share = 0.1
    """The last rate, as a share of the highest."""
    warmup: NaturalFloat = 0.05
    """Steps over which the rate rises: a share below 1, a number of steps from 1 on."""
    weight_decay: NaturalFloat = 0.1
    """On matrices only."""
    beta1: Probability = 0.9
    """AdamW's memory of gradients."""
    beta2: Probability = 0.95
    """AdamW's memory of their squares."""
    clip: PositiveFloat | None = 1.0
    """The largest norm of the gradient."""
    recompute: bool = False
    """Compute activations again on the way back: about a third more arithmetic for most of their memory."""
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    """`auto` takes bf16 where the hardware multiplies in it."""
    seed: Seed = 1
    """Of the weights, the order of rows and dropout."""
    validate_every: Natural = 0
    """Steps between validations; 0 validates at the end alone."""
    checkpoint_every: Natural = 0
    """Steps between checkpoints; 0 saves at the end alone, and when interrupted."""
