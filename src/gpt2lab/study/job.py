"""What one kind of training is: its data, its model, its loss, and what becomes of it. The rest is the same for all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gpt2lab.model.config import GPT2Config
from gpt2lab.text.batches import Rows
from gpt2lab.text.corpus import Corpus
from gpt2lab.train.loop import Probe
from gpt2lab.train.objectives import Objective
from gpt2lab.train.plan import Unit
from gpt2lab.train.processes import Team


@dataclass(frozen=True)
class Job:
    corpus: Corpus
    config: GPT2Config
    block: int
    rows: Rows
    make: Callable[[], Any]  # the model, the same each time, with what is frozen marked as such
    objective: Objective
    probes: Callable[[Team], Sequence[Probe]]
    write: Callable[[Path, Any], None]  # the finished model's folder
    measure: Callable[[Path, Any], None]
    unit: Unit = "tokens"  # what has a target
    untrained: bool = False  # its first loss must be near ln(vocabulary)
    lineage: dict[str, Any] | None = None  # what it began from
