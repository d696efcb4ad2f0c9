"""Checkpoints written while training goes on. A failed save is loud, and the last good one stays."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from torch import Tensor

from gpt2lab.core import console
from gpt2lab.train import checkpoint


class Saver:
    """One save at a time. The state is copied at once; hashing, writing and flushing happen beside the training."""

    def __init__(self, folder: Path, keep: int) -> None:
        self.folder, self.keep = folder, keep
        self.writer = ThreadPoolExecutor(1, "checkpoint")
        self.under_way: Future[None] | None = None
        self.last_good: int | None = None

    def save(self, step: int, weights: dict[str, Tensor], others: dict[str, Tensor], about: dict[str, Any]) -> None:
        self.finish()
        if checkpoint.folder_of(self.folder, step).exists():
            return
        copies = _copied(weights), _copied(others)
        self.under_way = self.writer.submit(self._write, step, *copies, about)

    def finish(self) -> None:
        """Wait for the save that is under way."""
        if self.under_way is not None:
            self.under_way.result()
            self.under_way = None

    def _write(self, step: int, weights: dict[str, Tensor], others: dict[str, Tensor], about: dict[str, Any]) -> None:
        try:
            checkpoint.write(self.folder, step, weights, others, about)
        except Exception as error:  # whatever happens to a file, training goes on
            safe = f"the one of step {self.last_good:,} is whole" if self.last_good else "there is none yet"
            console.warn(f"the checkpoint of step {step:,} could not be written ({error}); {safe}; training goes on")
            return
        self.last_good = step
        try:
            checkpoint.prune(self.folder, self.keep, about["watch"]["best_step"])
        except OSError as error:
            console.warn(f"an old checkpoint could not be removed ({error}); training goes on")


def _copied(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """What training moves next must not move in the file."""
    return {name: tensor.detach().to("cpu", copy=True) for name, tensor in tensors.items()}
