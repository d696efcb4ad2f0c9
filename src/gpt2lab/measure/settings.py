"""What people may say of a measurement."""

from __future__ import annotations

from typing import Literal

from pydantic import model_validator

from gpt2lab.core.settings import Natural, Positive, Settings
from gpt2lab.text.settings import ColumnSettings


class EvaluateSettings(Settings):
    context: Positive | None = None
    """Tokens in sight; what the model has room for unless given."""
    stride: Positive | None = None
    """Tokens between windows of perplexity/token-window; half the context unless given."""
    compat: Literal["huggingface", "group_texts"] | None = None
    """Count as a well-known script does: `huggingface` for perplexity/token-window, `group_texts` for
    perplexity/blocks."""
    detokenise: Literal["none", "hyphen-only", "wikitext"] | None = None
    """How WikiText's spaced-out text is brought back before it is scored; `wikitext` for perplexity/word unless given,
    else `none`."""
    precision: Literal["fp32", "bf16"] = "fp32"
    """Of weights and activations. Log-probabilities and sums are in fp32 or better either way."""
    token_budget: Positive | None = None
    """Tokens at once, padding counted; by the device unless given. It never changes what is scored."""
    limit: Positive | None = None
    """The first so many items or documents alone; `--limit` says the same."""


class DataSettings(ColumnSettings):
    split: Literal["train", "validation", "test"] | None = None
    """Test unless given, else validation, else everything."""
    max_tokens: Positive | None = None
    """The first so many tokens of running text alone, in whole documents where documents are scored one by one; of
    labelled texts, the first so many tokens of each."""


class QualitySettings(Settings):
    tokens: Positive = 100
    """Of each sample, for distinct-n, which is only comparable at the same count."""
    pooled_tokens: Positive = 2000
    """Of all samples together, for distinct-n among them."""
    opening: str | None = None
    """What a well-formed text begins with, such as `<LOC>`; form is measured where this and the closing are given."""
    closing: str | None = None
    """What it ends with, such as `</LOC>`."""
    fewest_words: Natural = 150
    """Between the two."""
    most_words: Positive = 400
    """Between the two."""

    @model_validator(mode="after")
    def _belong_together(self) -> QualitySettings:
        if (self.opening is None) != (self.closing is None):
            raise ValueError("opening and closing go together: form is measured where both are given")
        if self.fewest_words > self.most_words:
            raise ValueError(f"fewest_words is {self.fewest_words}, most_words only {self.most_words}")
        return self


class Evaluation(Settings):
    evaluate: EvaluateSettings = EvaluateSettings()
    data: DataSettings = DataSettings()
    quality: QualitySettings = QualitySettings()


class TextColumns(Settings):
    text: tuple[str, ...] | None = None
    """Which keys or columns of rows hold the text; several are joined by a line end."""


class Prediction(Settings):
    precision: Literal["fp32", "bf16"] = "fp32"
    """Of the model's own arithmetic."""
    data: TextColumns = TextColumns()
