"""Which parameters move, how fast and with which decay: every parameter in exactly one group."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, Literal

from torch import nn

from gpt2lab.core.errors import UserError
from gpt2lab.model import layout
from gpt2lab.train.settings import GroupSettings, TrainSettings

BLOCK = re.compile(r"(?:^|\.)h\.(\d+)\.")
EMBEDDINGS = ("wte", "wpe")

Optimizer = Literal["adamw", "muon"]


@dataclass(frozen=True)
class Group:
    """Parameters that are moved alike."""

    name: str
    parameters: dict[str, nn.Parameter]
    rate: float
    weight_decay: float
    optimizer: Optimizer = "adamw"

    def count(self, vocabulary: int) -> int:
        """Without the rows that only pad the vocabulary."""
        return sum(layout.count(name, parameter, vocabulary) for name, parameter in self.parameters.items())


def freeze(model: nn.Module, settings: TrainSettings) -> None:
    """What a group calls frozen takes no part in training: no gradient, no optimizer state."""
    _refuse_idle_patterns(model, settings.groups)
    for name, parameter in model.named_parameters():
        frozen = _said(name, settings.groups, "frozen")
        if frozen:
            parameter.requires_grad_(False)
        elif frozen is False and not parameter.requires_grad:
            raise UserError(
                f"{name} cannot move: what is tuned here is what stands beside the base's weights",
                place="train.groups",
                way_out="--method full or partial",
            )
    if not any(parameter.requires_grad for parameter in model.parameters()):
        raise UserError("nothing would be trained: every parameter is frozen", way_out="look at train.groups")


def split(model: nn.Module, settings: TrainSettings) -> list[Group]:
    """The trainable parameters; matrices decay, norms and biases do not, unless a group says so."""
    blocks = [int(block[1]) for name, _ in model.named_parameters() if (block := BLOCK.search(name))]
    above = max(blocks, default=-1) + 2
    found: dict[tuple[str, float, float, Optimizer], dict[str, nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            key = _key(name, parameter, above, settings)
            found.setdefault(key, {})[name] = parameter
    return [Group(name, parameters, rate, decay, mover) for (name, rate, decay, mover), parameters in found.items()]


def _key(
    name: str, parameter: nn.Parameter, above: int, settings: TrainSettings
) -> tuple[str, float, float, Optimizer]:
    matrix = parameter.dim() >= 2
    factor, decay = (_said(name, settings.groups, what) for what in ("rate", "weight_decay"))
    decay = decay if decay is not None else settings.weight_decay if matrix else 0.0
    mover: Optimizer = "muon" if settings.optimizer == "muon" and matrix and BLOCK.search(name) else "adamw"
    highest = settings.muon_rate if mover == "muon" else settings.learning_rate
    layer = _layer(name, above)
    title = "matrices" if matrix else "norms and biases"
    if settings.layer_decay != 1.0:
        title += f", {_where(layer, above)}"
    if mover == "muon":
        title += ", by Muon"
    if own := next((group for group in settings.groups if matches(name, group.match) and group.moves_otherwise), None):
        title += f", matching {own.match}"
    return title, highest * (1.0 if factor is None else factor) * settings.layer_decay ** (above - layer), decay, mover


def _said(name: str, groups: tuple[GroupSettings, ...], what: Literal["rate", "weight_decay", "frozen"]) -> Any:
    """By the first group that matches and says it; None if no one does."""
    said = (getattr(group, what) for group in groups if matches(name, group.match))
    return next((value for value in said if value is not None), None)


def matches(name: str, patterns: str) -> bool:
    return any(fnmatchcase(name, pattern.strip()) for pattern in patterns.split(","))


def _refuse_idle_patterns(model: nn.Module, groups: tuple[GroupSettings, ...]) -> None:
    names = [name for name, _ in model.named_parameters()]
    for group in groups:
        if not any(matches(name, group.match) for name in names):
            raise UserError(
                f"no parameter is named like {group.match!r}",
                place="train.groups",
                way_out=f"`*` stands for anything; names look like {names[0]}, {names[len(names) // 2]}",
            )


def _layer(name: str, above: int) -> int:
    """Embeddings 0, blocks from 1 on, and what comes after them `above`."""
    block = BLOCK.search(name)
    if block:
        return int(block[1]) + 1
    return 0 if any(f"{part}." in name for part in EMBEDDINGS) else above


def _where(layer: int, above: int) -> str:
    return "embeddings" if layer == 0 else "head" if layer == above else f"block {layer - 1}"
