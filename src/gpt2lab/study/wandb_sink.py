"""Curves for Weights & Biases; `WANDB_MODE=offline` needs no account."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gpt2lab.core import files
from gpt2lab.core.errors import missing_extra
from gpt2lab.study.settings import AnySettings
from gpt2lab.train.journal import numbers
from gpt2lab.train.loop import Sink


def open_sink(settings: AnySettings, out: Path) -> tuple[Sink, Callable[[], object]]:
    try:
        import wandb  # pyrefly: ignore[missing-import]
    except ImportError as error:
        raise missing_extra("wandb", "track", "track.sinks=wandb") from error
    kept = out / "wandb-id"  # a run that goes on goes on there as well; runs of the same name are others
    if not kept.is_file():
        files.write_text(kept, uuid.uuid4().hex[:12])
    run = wandb.init(
        project=settings.track.project, name=out.name, dir=str(out), config=settings.as_dict(), resume="allow",
        id=kept.read_text("utf-8"),
    )  # fmt: skip

    def sink(record: dict[str, Any]) -> None:
        run.log(numbers(record), step=record["step"])

    return sink, run.finish
