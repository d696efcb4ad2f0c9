"""The state of a training as a folder: safetensors and JSON, hashed, verified on load, the damaged one named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from gpt2lab.core import console, files
from gpt2lab.core.errors import UserError


def save(folder: Path, step: int, model: nn.Module, optimizer: torch.optim.Optimizer, progress: dict[str, Any]) -> None:
    """`progress` is what the run's own files need to be cut back to this step."""
    target = folder / f"step-{step:08d}"
    if target.exists():
        return
    with files.new_folder(target) as beside:
        _save_tensors(beside / "model.safetensors", dict(model.named_parameters()))
        _save_tensors(beside / "optimizer.safetensors", _optimizer_tensors(model, optimizer))
        hashes = {path.name: files.sha256(path) for path in sorted(beside.iterdir())}
        files.write_json(beside / "state.json", {"step": step, "progress": progress, "sha256": hashes})


def load_latest(folder: Path, model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Any] | None:
    """The newest checkpoint that is whole, put into model and optimizer; None where there is none."""
    for path in sorted(folder.glob("step-*"), reverse=True):
        try:
            state = _verified(path)
        except UserError as error:
            path.rename(path.with_name(f"damaged-{path.name}"))
            console.warn(f"checkpoint left out, and set aside as damaged-{path.name}: {error}")
            continue
        _load(path, model, optimizer)
        return state
    return None


def _verified(path: Path) -> dict[str, Any]:
    state = files.read_json(path / "state.json")
    for name, expected in state["sha256"].items():
        file = path / name
        if not file.is_file() or files.sha256(file) != expected:
            raise UserError("the checkpoint is damaged: its hash does not agree", place=file)
    return state


@torch.no_grad()
def _load(path: Path, model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    stored = load_file(path / "model.safetensors")
    for name, parameter in model.named_parameters():
        parameter.copy_(stored[name])
    tensors = load_file(path / "optimizer.safetensors")
    for name, parameter in _moving(model):
        prefix = f"{name}/"
        values = {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}
        on_device = optimizer.defaults.get("fused")  # fused AdamW counts its steps on the device
        optimizer.state[parameter] = {
            key: value.clone() if key == "step" and not on_device else value.to(parameter.device)
            for key, value in values.items()
        }


def _optimizer_tensors(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    return {
        f"{name}/{key}": value
        for name, parameter in _moving(model)
        for key, value in optimizer.state[parameter].items()
    }


def _moving(model: nn.Module) -> list[tuple[str, nn.Parameter]]:
    return [(name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad]


def _save_tensors(file: Path, tensors: dict[str, Any]) -> None:
    files.operation("open", file)
    files.operation("write", file)
    save_file({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, file)
