"""The optimizer of a run: AdamW, or Muon for the blocks' matrices and AdamW for the rest.

A step that must not count (its loss or a gradient is not finite) is masked on the device: no one waits for the flag.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from gpt2lab.train import muon
from gpt2lab.train.groups import Group
from gpt2lab.train.masters import Masters
from gpt2lab.train.settings import TrainSettings

FUSED_QKV = "c_attn.weight"


class Mover:
    """Moves the masters of all groups; its state is plain tensors by name."""

    def __init__(self, groups: list[Group], masters: Masters, settings: TrainSettings, device: torch.device) -> None:
        self.settings = settings
        self.groups = [(group, masters.moving(group.parameters)) for group in groups]
        self.parameters = {name: p for _, members in self.groups for name, p in members.items()}
        self.momenta: dict[str, Tensor] = {}
        self.device = device
        by_adamw = [(group, members) for group, members in self.groups if group.optimizer == "adamw"]
        self.adamw = _adamw(by_adamw, settings, device) if by_adamw else None
        for group, members in self.groups:
            if group.optimizer == "muon":
                self.momenta |= {name: torch.zeros_like(p) for name, p in members.items()}
            elif self.adamw:
                self.adamw.state |= {p: self._fresh(p) for p in members.values()}

    def gradients(self) -> list[Tensor]:
        """Of every parameter; one without any has zeros, so that all processes sum the same tensors."""
        for parameter in self.parameters.values():
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        return [parameter.grad for parameter in self.parameters.values() if parameter.grad is not None]

    @torch.no_grad()
    def step(self, share: float, divisor: Tensor, bad: Tensor) -> None:
        """Move by `share` of each group's highest rate; gradients are divided first, and nothing moves where `bad`."""
        for group, members in self.groups:
            if group.optimizer == "muon":
                self._muon(group, members, share, divisor, bad)
        if self.adamw is None:
            return
        for options, highest in zip(self.adamw.param_groups, self._highest()):
            options["lr"] = highest * share
        if self.adamw.defaults["fused"]:
            vars(self.adamw).update(grad_scale=divisor, found_inf=bad)  # how PyTorch's own scaler tells it
            self.adamw.step()
        elif not bad.item():
            torch._foreach_div_([p.grad for p in self._adamw_parameters() if p.grad is not None], divisor)
            self.adamw.step()

    def state(self) -> dict[str, Tensor]:
        """All that has to be saved."""
        found = {f"{name}/momentum": tensor for name, tensor in self.momenta.items()}
        for name, parameter in self.parameters.items():
            for key, value in self.adamw.state.get(parameter, {}).items() if self.adamw else ():
                found[f"{name}/{key}"] = value
        return found

    def load(self, state: dict[str, Tensor]) -> None:
        by_name: dict[str, dict[str, Tensor]] = {}
        for key, value in state.items():
            name, _, kind = key.rpartition("/")
            by_name.setdefault(name, {})[kind] = value
        for name, values in by_name.items():
            if name in self.momenta:
                self.momenta[name].copy_(values["momentum"])
            elif self.adamw:
                for key, value in values.items():
                    self.adamw.state[self.parameters[name]][key].copy_(value)

    def _fresh(self, parameter: nn.Parameter) -> dict[str, Tensor]:
        """What AdamW would make in its first step, in memory between activations, which then find no room there."""
        counts_on = self.device if self.adamw and self.adamw.defaults["fused"] else "cpu"
        zeros = {key: torch.zeros_like(parameter, requires_grad=False) for key in ("exp_avg", "exp_avg_sq")}
        return {"step": torch.zeros((), device=counts_on), **zeros}

    def _highest(self) -> list[float]:
        return [group.rate for group, _ in self.groups if group.optimizer == "adamw"]

    def _adamw_parameters(self) -> list[nn.Parameter]:
        return [p for group, members in self.groups if group.optimizer == "adamw" for p in members.values()]

    def _muon(self, group: Group, members: dict[str, nn.Parameter], share: float, divisor: Tensor, bad: Tensor) -> None:
        muon.move(
            list(members.values()),
            [p.grad / divisor for p in members.values() if p.grad is not None],
            [self.momenta[name] for name in members],
            [3 if name.endswith(FUSED_QKV) else 1 for name in members],
            group.rate * share,
            group.weight_decay,
            self.settings.momentum,
            1 - bad,
        )


def _adamw(
    groups: list[tuple[Group, dict[str, nn.Parameter]]], settings: TrainSettings, device: torch.device
) -> torch.optim.AdamW:
    return torch.optim.AdamW(
        [{"params": list(members.values()), "weight_decay": group.weight_decay} for group, members in groups],
        betas=(settings.beta1, settings.beta2),
        fused=device.type in ("cpu", "cuda"),  # not on MPS
    )
