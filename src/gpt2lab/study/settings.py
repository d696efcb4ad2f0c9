"""What a run is, as its `run.yaml` says it."""

from __future__ import annotations

from typing import Literal

from gpt2lab.core.settings import Settings
from gpt2lab.model.settings import ModelSettings
from gpt2lab.train.settings import TrainSettings


class RunSettings(Settings):
    kind: Literal["pretrain"] = "pretrain"
    """What the run does."""
    data: str
    """The corpus folder."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:1 or mps."""
    model: ModelSettings = ModelSettings()
    train: TrainSettings
