"""What a run is, as its `run.yaml` says it."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from gpt2lab.core.errors import UserError
from gpt2lab.core.settings import Settings, resolve
from gpt2lab.generate.settings import SamplingSettings
from gpt2lab.model.settings import ModelSettings
from gpt2lab.train.settings import Every, TrainSettings


class TrackSettings(Settings):
    sinks: tuple[Literal["tensorboard", "wandb"], ...] = ()
    """Where training curves go as well: `tensorboard`, `wandb`, or both. They cannot hurt the run."""
    project: str = "gpt2lab"
    """Of W&B."""


class SampleSettings(SamplingSettings):
    prompts: tuple[str, ...] = ()
    """Texts that the model continues while it is trained; the samples stand in `metrics.jsonl`."""
    every: Every = 0
    """Steps between samples, or `epoch`; 0 samples at the end alone."""


class RunSettings(Settings):
    kind: Literal["pretrain"] = "pretrain"
    """What the run does."""
    data: str
    """The corpus folder."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:1 or mps."""
    model: ModelSettings = ModelSettings()
    train: TrainSettings = TrainSettings()
    sample: SampleSettings = SampleSettings()
    track: TrackSettings = TrackSettings()


def resumed(run: Path) -> RunSettings:
    """Of a run that has begun, as they were stored."""
    path = run / "run.yaml"
    if not path.is_file():
        raise UserError("there is no run here to resume", place=run, way_out="start it without --resume")
    return resolve(RunSettings, file=path)
