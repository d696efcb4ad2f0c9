"""Which step was best so far, by something that a probe says; and whether to stop looking for a better one."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from gpt2lab.train.settings import TrainSettings

BETTER_LOW = ("loss", "perplexity", "error", "bits-per-byte")


def is_low_better(key: str) -> bool:
    """A probe's key begins with its protocol's family: `perplexity/word`."""
    return key.partition("/")[0].endswith(BETTER_LOW)


@dataclass
class Watch:
    key: str
    patience: int | None
    minimum_change: float
    best: float | None = None
    best_step: int | None = None
    looks_since: int = 0

    def look(self, record: dict[str, Any], step: int) -> bool:
        """Whether this step is the best so far; a record that does not hold the key is no look."""
        value = record.get(self.key)
        if value is None:
            return False
        if not math.isfinite(value):
            self.looks_since += 1
            return False
        if self.best is None or self._gain(value) > self.minimum_change:
            self.best, self.best_step, self.looks_since = value, step, 0
            return True
        self.looks_since += 1
        return False

    @property
    def has_lost_patience(self) -> bool:
        return self.patience is not None and self.looks_since >= self.patience

    def _gain(self, value: float) -> float:
        assert self.best is not None
        return self.best - value if is_low_better(self.key) else value - self.best

    def state(self) -> dict[str, Any]:
        return {"best": self.best, "best_step": self.best_step, "looks_since": self.looks_since}


def watching(settings: TrainSettings, state: dict[str, Any] | None = None) -> Watch:
    return Watch(settings.watch, settings.patience, settings.minimum_change, **(state or {}))
