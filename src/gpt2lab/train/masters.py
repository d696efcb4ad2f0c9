"""The weights that the optimizer moves, in fp32, and the ones that compute.

In fp32 they are the same. In bf16 the blocks compute with copies that are made once a step: autocast would make them
again at every use. Embeddings stay in fp32, where the gradients of frequent tokens would lose their small parts.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle


class Masters:
    """`parameters` are what moves, by name; a model under a copy is given back by `restore`."""

    def __init__(self, model: nn.Module, dtype: torch.dtype) -> None:
        self.originals: dict[str, Tensor] = {}
        self.copies: dict[str, nn.Parameter] = {}
        self.hooks: list[RemovableHandle] = []
        self.vectors: list[tuple[nn.Parameter, nn.Parameter]] = []  # copies and their masters
        embeddings = {id(module.weight) for module in model.modules() if isinstance(module, nn.Embedding)}
        self.parameters = {name: p for name, p in model.named_parameters() if p.requires_grad}
        if dtype == torch.float32:
            return
        for name, parameter in model.named_parameters():
            if parameter.is_floating_point() and id(parameter) not in embeddings:
                self._copy(name, parameter, dtype)

    def _copy(self, name: str, parameter: nn.Parameter, dtype: torch.dtype) -> None:
        original = parameter.detach()
        parameter.data = original.to(dtype)
        self.copies[name] = parameter
        if not parameter.requires_grad:
            self.originals[name] = original.cpu()
            return
        master = nn.Parameter(original.float())
        self.originals[name] = self.parameters[name] = master
        if parameter.dim() == 1:
            self.vectors.append((parameter, master))
        else:  # in fp32 as soon as it is made: its bf16 form is gone before the next one comes
            self.hooks.append(parameter.register_post_accumulate_grad_hook(lambda copy: _hand_over(copy, master)))

    def moving(self, parameters: dict[str, nn.Parameter]) -> dict[str, nn.Parameter]:
        """Of parameters by name, the ones that the optimizer moves."""
        return {name: self.parameters[name] for name in parameters}

    @torch.no_grad()
    def take_over_vectors(self) -> None:
        """A way back has ended: the gradients of biases and norms go to fp32 too, many small ones as one."""
        gradients = {copy: copy.grad for copy, _ in self.vectors if copy.grad is not None}
        if not gradients:
            return
        together = torch.cat(list(gradients.values())).float()
        in_fp32 = dict(zip(gradients, together.split([len(gradient) for gradient in gradients.values()])))
        for copy, master in self.vectors:
            if copy in in_fp32:
                _add(master, in_fp32[copy])
                copy.grad = None

    @torch.no_grad()
    def publish(self) -> None:
        """The optimizer has moved: what computes follows."""
        moved = [name for name in self.copies if name in self.parameters]
        if moved:
            torch._foreach_copy_([self.copies[name].data for name in moved], [self.parameters[name] for name in moved])

    def forget_gradients(self) -> None:
        """Of the masters and, where memory ended in the middle of a way back, of the copies."""
        for parameter in (*self.parameters.values(), *self.copies.values()):
            parameter.grad = None

    def restore(self) -> None:
        """The model holds its full weights again, and computes in fp32."""
        for hook in self.hooks:
            hook.remove()
        for name, copy in self.copies.items():
            copy.data = self.originals[name].detach().to(copy.device)
        self.copies.clear()
        self.vectors.clear()


def _hand_over(copy: Tensor, master: nn.Parameter) -> None:
    """A gradient goes to fp32, and is added to what is there."""
    assert copy.grad is not None
    _add(master, copy.grad)
    copy.grad = None


def _add(master: Tensor, gradient: Tensor) -> None:
    if master.grad is None:
        master.grad = gradient.float()
    else:
        master.grad.add_(gradient)
