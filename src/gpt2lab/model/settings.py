"""What people may say of a model's shape."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Literal

from gpt2lab.core.errors import UserError
from gpt2lab.core.settings import AtCommas, Positive, PositiveFloat, Probability, Settings, Share
from gpt2lab.model.config import SIZES, GPT2Config


class ModelSettings(Settings):
    size: Literal["small", "medium", "large", "xl"] | None = None
    """A published size; the numbers below replace its own."""
    layers: Positive | None = None
    """Blocks one after another."""
    heads: Positive | None = None
    """Attention heads; the width must be a multiple of them."""
    width: Positive | None = None
    """Numbers that stand for one token."""
    context: Positive = 1024
    """The most tokens the model sees at once."""
    dropout: Probability = 0.0
    """Rate of all three dropouts."""
    vocabulary_multiple: Positive = 128
    """The vocabulary is padded to a multiple of this inside; files and results never show it."""

    def config(self, vocabulary: int, end_of_text: int) -> GPT2Config:
        layers, heads, width = SIZES[self.size] if self.size else (self.layers, self.heads, self.width)
        layers, heads, width = self.layers or layers, self.heads or heads, self.width or width
        if layers is None or heads is None or width is None:
            given = {"model.layers": layers, "model.heads": heads, "model.width": width}
            raise UserError(
                f"the model's size is not given: {', '.join(name for name, value in given.items() if value is None)}",
                way_out="--size small, or model.layers=4 model.heads=4 model.width=128",
            )
        config = GPT2Config(layers, heads, width, self.context, vocabulary)
        return replace(config, start_of_text=end_of_text, end_of_text=end_of_text).with_dropout(self.dropout)


class DropoutSettings(Settings):
    dropout: Probability | None = None
    """Rate of all three dropouts; the base's own unless given."""


class LoraSettings(Settings):
    rank: Positive = 8
    """Rank of the change to each matrix."""
    alpha: PositiveFloat | None = None
    """The change is scaled by alpha/rank; twice the rank unless given."""
    dropout: Probability = 0.0
    """On what enters the adapters."""
    targets: Annotated[tuple[str, ...], AtCommas] = ("c_attn",)
    """Linear layers that get adapters, by the end of their names, or `all`."""
    rslora: bool = False
    """Scale by alpha/√rank instead, for high ranks."""
    dora: bool = False
    """Learn direction and magnitude apart."""
    pissa: bool = False
    """Begin with each matrix's strongest directions in place of noise; saved as plain LoRA of twice the rank."""
    plus: PositiveFloat = 1.0
    """LoRA+: the second factor's rate, as a multiple of the first's."""


class QloraSettings(Settings):
    block_size: Literal[32, 64, 128, 256, 512, 1024, 2048, 4096] = 64
    """Weights that share one scale; the base's width must be a multiple of it."""
    double_quantisation: bool = True
    """Hold the scales themselves in 8 bits."""


class PromptSettings(Settings):
    tokens: Positive = 20
    """Soft tokens before every text."""
    text: str = ""
    """What they begin as, over and over until there are enough; common tokens unless given."""


class PartialSettings(Settings):
    freeze: Share = 0.5
    """The share of blocks, from below, that stays as it is, with the embeddings."""
    top_rate: PositiveFloat = 1.0
    """The rate of the top, as a multiple of the run's."""
    top: Literal["head", "blocks"] = "blocks"
    """What the top is: the head alone, or the blocks that move and the head."""
