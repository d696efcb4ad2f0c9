"""What people may say of a measurement."""

from __future__ import annotations

from typing import Literal

from gpt2lab.core.settings import Positive, Settings


class EvaluateSettings(Settings):
    context: Positive | None = None
    """Tokens in sight; the model's own context unless given."""
    stride: Positive | None = None
    """Tokens between windows; half the context unless given."""
    batch: Positive = 8
    """Windows at once. It never changes what is scored."""


class DataSettings(Settings):
    split: Literal["train", "validation", "test"] | None = None
    """Of a corpus; test unless given, else validation, else train."""


class Evaluation(Settings):
    evaluate: EvaluateSettings = EvaluateSettings()
    data: DataSettings = DataSettings()
