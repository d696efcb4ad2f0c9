"""Training curves to other places as well. They are optional, and cannot hurt the run."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from gpt2lab.core import console
from gpt2lab.study import tensorboard_sink, wandb_sink
from gpt2lab.study.settings import RunSettings
from gpt2lab.train.loop import Sink
from gpt2lab.train.processes import Team

Opener = Callable[[RunSettings, Path], tuple[Sink, Callable[[], object]]]
OPENERS: dict[str, Opener] = {"tensorboard": tensorboard_sink.open_sink, "wandb": wandb_sink.open_sink}


@contextlib.contextmanager
def opened(settings: RunSettings, out: Path, team: Team) -> Iterator[list[Sink]]:
    """The sinks that were asked for; one that fails says so once and is left alone."""
    sinks: list[Sink] = []
    with contextlib.ExitStack() as stack:
        for name in settings.track.sinks if team.leads else ():
            sink, close = OPENERS[name](settings, out)
            sinks.append(_harmless(name, sink))
            stack.callback(_harmless(name, lambda _, close=close: close()), {})
        yield sinks


def _harmless(name: str, sink: Callable[[dict[str, Any]], object]) -> Sink:
    failed = False

    def careful(record: dict[str, Any]) -> None:
        nonlocal failed
        if failed:
            return
        try:
            sink(record)
        except Exception as error:  # whatever a tracker throws, training goes on
            failed = True
            console.warn(f"{name} failed, and gets no more records: {type(error).__name__}: {error}")

    return careful
