"""Curves for TensorBoard, in `RUN/tensorboard`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from gpt2lab.core.errors import missing_extra
from gpt2lab.study.settings import AnySettings
from gpt2lab.train import checkpoint
from gpt2lab.train.journal import numbers
from gpt2lab.train.loop import Sink


def open_sink(settings: AnySettings, out: Path) -> tuple[Sink, Callable[[], object]]:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise missing_extra("tensorboard", "track", "track.sinks=tensorboard") from error
    found = checkpoint.newest(out / "checkpoints")
    writer = SummaryWriter(str(out / "tensorboard"), purge_step=found.step + 1 if found else None)

    def sink(record: dict[str, Any]) -> None:
        for key, value in numbers(record).items():
            writer.add_scalar(key, value, record["step"])

    return sink, writer.close
