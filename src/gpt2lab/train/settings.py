"""What people may say of a training."""

from __future__ import annotations

from typing import Literal

from gpt2lab.core.settings import Natural, NaturalFloat, Positive, PositiveFloat, Probability, Seed, Settings, Share

Every = Natural | Literal["epoch"]


class GroupSettings(Settings):
    match: str
    """Parameters by name, `*` for anything: `transformer.wte.*, transformer.h.0.*`. Commas separate several."""
    rate: NaturalFloat | None = None
    """The learning rate, as a factor on the run's."""
    weight_decay: NaturalFloat | None = None
    """Instead of the run's."""
    frozen: bool | None = None
    """Leave these as they are; or, if false, do not, whatever the method says."""

    @property
    def moves_otherwise(self) -> bool:
        return self.rate is not None or self.weight_decay is not None


class TrainSettings(Settings):
    steps: Positive | None = None
    """Updates of the weights. Of steps, tokens, epochs and minutes at least one is given; the first to come ends."""
    tokens: Positive | None = None
    """Tokens to train on."""
    epochs: PositiveFloat | None = None
    """Times that every row is seen."""
    minutes: PositiveFloat | None = None
    """Time to train for; a few timed steps make it a number of steps, which is stored."""
    batch_tokens: Positive | None = None
    """Tokens of the global batch, rounded down to whole rows; 8192 unless this or batch_rows is given."""
    batch_rows: Positive | None = None
    """Rows of the global batch, the other way to give it."""
    micro_batch: Positive | Literal["auto"] = "auto"
    """Rows that pass through the model at once; `auto` finds what fits. It never changes the update."""
    block: Positive | None = None
    """Tokens a row; the model's context unless given."""
    optimizer: Literal["adamw", "muon"] = "adamw"
    """`muon` moves the blocks' matrices by orthogonalised momentum, and the rest by AdamW."""
    learning_rate: PositiveFloat = 6e-4
    """The highest rate."""
    muon_rate: PositiveFloat = 0.02
    """The highest rate of the matrices that Muon moves."""
    schedule: Literal["cosine", "linear", "polynomial", "constant", "wsd"] = "cosine"
    """How the rate falls after the warm-up; `wsd` stays, and falls over the last share of steps."""
    floor: Share = 0.1
    """The last rate, as a share of the highest."""
    power: PositiveFloat = 2.0
    """Of the polynomial schedule."""
    cooldown: Share = 0.2
    """The share of steps over which `wsd` falls."""
    warmup: NaturalFloat = 0.05
    """Steps over which the rate rises: a share below 1, a number of steps from 1 on."""
    weight_decay: NaturalFloat = 0.1
    """On matrices only."""
    layer_decay: Share = 1.0
    """Each block's rate is the one above's times this; embeddings are below all blocks."""
    groups: tuple[GroupSettings, ...] = ()
    """Rates, decay and frozen parameters by name; each is decided by the first that matches a parameter and says it."""
    beta1: Probability = 0.9
    """AdamW's memory of gradients."""
    beta2: Probability = 0.95
    """AdamW's memory of their squares."""
    momentum: Probability = 0.95
    """Muon's memory of gradients."""
    clip: PositiveFloat | None = 1.0
    """The largest norm of the gradient."""
    average: Probability = 0.0
    """The finished model is the mean of the weights over this last share of steps."""
    recompute: bool = False
    """Compute activations again on the way back: about a third more arithmetic for most of their memory."""
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    """`auto` takes bf16 where the hardware multiplies in it, fp16 on older GPUs."""
    compile: bool = False
    """Compile the step: faster after up to a minute or two of waiting. For text in blocks."""
    deterministic: bool = False
    """On a GPU: bit-equal resume, at some cost. On a CPU it is always so."""
    seed: Seed = 1
    """Of the weights, the order of rows and dropout."""
    validate_every: Every = 0
    """Steps between validations, or `epoch`; 0 validates at the end alone."""
    validate_tokens: Positive | None = None
    """Validate on about so many tokens instead of all."""
    watch: str = "validation_loss"
    """What says which step was best. A loss or a perplexity is best when low, anything else when high."""
    patience: Positive | None = None
    """Stop when so many looks in a row brought nothing better."""
    minimum_change: NaturalFloat = 0.0
    """What counts as better."""
    checkpoint_every: Every | Literal["auto"] = "auto"
    """Steps between checkpoints, or `epoch`; `auto` saves every ten minutes; 0 at the end alone. All save on Ctrl-C."""
    keep: Positive = 2
    """Checkpoints to keep, beside the best."""
