"""The state of a training as a folder: safetensors and JSON, hashed, verified on load, the damaged one named."""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors.torch import load_file
from torch import Tensor

from gpt2lab.core import console, files, tensor_file
from gpt2lab.core.errors import UserError

WEIGHTS, OTHERS, ABOUT = "model.safetensors", "optimizer.safetensors", "state.json"
NAME = re.compile(r"step-\d{8}")


@dataclass(frozen=True)
class Checkpoint:
    """One that is whole: its hashes agreed."""

    path: Path
    about: dict[str, Any]

    @property
    def step(self) -> int:
        return self.about["step"]

    def weights(self) -> dict[str, Tensor]:
        return load_file(self.path / WEIGHTS)

    def others(self) -> dict[str, Tensor]:
        return load_file(self.path / OTHERS)


def folder_of(folder: Path, step: int) -> Path:
    return folder / f"step-{step:08d}"


def write(
    folder: Path, step: int, weights: dict[str, Tensor], others: dict[str, Tensor], about: dict[str, Any]
) -> None:
    with files.new_folder(folder_of(folder, step)) as beside:
        hashes = {
            WEIGHTS: tensor_file.write(beside / WEIGHTS, weights),
            OTHERS: tensor_file.write(beside / OTHERS, others),
        }
        files.write_json(beside / ABOUT, {"step": step, **about, "sha256": hashes})


def newest(folder: Path) -> Checkpoint | None:
    """The newest one that is whole. A damaged one is set aside and named."""
    for path in reversed(paths(folder)):
        try:
            return opened(path)
        except UserError as error:
            path.rename(path.with_name(f"damaged-{path.name}"))
            console.warn(f"checkpoint left out, and set aside as damaged-{path.name}: {error}")
    return None


def opened(path: Path) -> Checkpoint:
    about = files.read_json(path / ABOUT)
    for name, expected in about["sha256"].items():
        file = path / name
        if not file.is_file() or files.sha256(file) != expected:
            raise UserError("the checkpoint is damaged: its hash does not agree", place=file)
    return Checkpoint(path, about)


def paths(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("step-*") if NAME.fullmatch(path.name))


def prune(folder: Path, keep: int, best: int | None) -> None:
    """Remove all but the newest ones and the best; what is half removed is no checkpoint any more."""
    for leftover in folder.glob(".removed-*"):
        shutil.rmtree(leftover, ignore_errors=True)
    for path in paths(folder)[:-keep]:
        if best is None or path != folder_of(folder, best):
            gone = path.with_name(f".removed-{path.name}")
            files.operation("rename", gone)
            path.rename(gone)
            shutil.rmtree(gone, ignore_errors=True)
