"""Curves for Weights & Biases; `WANDB_MODE=offline` needs no account."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from gpt2lab.core.errors import missing_extra
from gpt2lab.study.settings import RunSettings
from gpt2lab.train.journal import numbers
from gpt2lab.train.loop import Sink


def open_sink(settings: RunSettings, out: Path) -> tuple[Sink, Callable[[], object]]:
    try:
        import wandb  # pyrefly: ignore[missing-import]
    except ImportError as error:
        raise missing_extra("wandb", "track", "track.sinks=wandb") from error
    run = wandb.init(
        project=settings.track.project, name=out.name, dir=str(out), config=settings.as_dict(), resume="allow",
        id=f"{out.name}-{settings.train.seed}",
    )  # fmt: skip

    def sink(record: dict[str, Any]) -> None:
        run.log(numbers(record), step=record["step"])

    return sink, run.finish
