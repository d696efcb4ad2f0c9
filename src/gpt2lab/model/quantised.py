"""The blocks' linear layers in NF4: half a byte a weight, by bitsandbytes. They are frozen; adapters move on top."""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from gpt2lab.core.errors import UserError, missing_extra
from gpt2lab.model import layout
from gpt2lab.model.gpt2 import GPT2, GPT2Classifier
from gpt2lab.model.linear import Linear
from gpt2lab.model.settings import QloraSettings


class NF4Linear(nn.Linear):
    """A frozen linear layer whose weights are unpacked at each use, in the precision of what enters.

    bitsandbytes' own layer packs its weights anew when it evaluates on a CPU with AVX512-BF16, rounds their scales on
    the way, and cannot be trained on afterwards; and it keeps the precision of its first call for ever.
    """

    def __init__(self, plain: nn.Linear, settings: QloraSettings) -> None:
        nn.Module.__init__(self)
        self.in_features, self.out_features = plain.in_features, plain.out_features
        self.bias = plain.bias
        # Always quantised in main memory: the same weights come out on every device.
        self.weight = (
            library()
            .nn.Params4bit(
                plain.weight.detach().float().cpu(),
                requires_grad=False,
                blocksize=settings.block_size,
                compress_statistics=settings.double_quantisation,
                quant_type="nf4",
            )
            .to(device="cpu")
        )

    @property
    def scales(self) -> Any:
        packed: Any = self.weight
        return packed.quant_state

    def forward(self, input: Tensor) -> Tensor:
        kind = input.device.type
        x = input.to(torch.get_autocast_dtype(kind)) if torch.is_autocast_enabled(kind) else input
        return library().matmul_4bit(x, self.weight, bias=self.bias.to(x.dtype), quant_state=self.scales)

    @torch.no_grad()
    def dequantised(self) -> nn.Linear:
        plain = Linear(self.in_features, self.out_features, bias=False, device="meta")
        weight = library().functional.dequantize_4bit(self.weight.data, self.scales)
        plain.weight = nn.Parameter(weight.float())
        plain.bias = self.bias
        return plain


def quantise(model: GPT2 | GPT2Classifier, settings: QloraSettings) -> None:
    """In place, layer by layer; each layer's full weights are gone before the next one's turn."""
    library()
    layers = {
        name: module
        for name, module in model.named_modules()
        if name.endswith(layout.LINEAR) and ".h." in name and isinstance(module, nn.Linear)
    }
    _refuse_uneven_rows(layers, settings)
    for name in list(layers):
        _replace(model, name, NF4Linear(layers.pop(name), settings))


def dequantise(model: nn.Module) -> None:
    """In place: what the packed weights stand for, in fp32, in plain layers. Under adapters as well."""
    packed = [name for name, module in model.named_modules() if isinstance(module, NF4Linear)]
    for name in packed:
        layer = model.get_submodule(name)
        assert isinstance(layer, NF4Linear)
        _replace(model, name, layer.dequantised())


def packed_weights(model: nn.Module) -> int:
    """How many weights are held in half a byte each."""
    layers = [module for module in model.modules() if isinstance(module, NF4Linear)]
    return sum(layer.in_features * layer.out_features for layer in layers)


def about(settings: QloraSettings) -> dict[str, Any]:
    """What an adapter's folder says of the base that it was trained on."""
    return {"format": "nf4", **settings.as_dict()}


def settings_of(stored: Any, place: object) -> QloraSettings:
    """What `about` says, read again."""
    values = dict(stored) if isinstance(stored, dict) else {}
    known = set(QloraSettings.model_fields)
    if values.pop("format", None) != "nf4" or not values.keys() <= known:
        raise UserError(f"the adapter's base was quantised in an unknown way: {stored}", place=place)
    return QloraSettings(**values)


def library() -> Any:
    """bitsandbytes, imported when it is first needed."""
    if (found := sys.modules.get("bitsandbytes")) is not None:
        return found
    try:
        with _kept_quiet():
            import bitsandbytes
    except ImportError as error:
        raise missing_extra("bitsandbytes", "qlora", "4-bit quantisation") from error
    return bitsandbytes


def prepare_for_peft() -> None:
    """PEFT imports bitsandbytes wherever it is installed; we import it before, so that it keeps quiet."""
    with contextlib.suppress(UserError):
        library()


@contextlib.contextmanager
def _kept_quiet() -> Iterator[None]:
    """While it is imported, bitsandbytes fetches a kernel from the Hub, or complains that it cannot.

    It belongs to the packing that we do not use.
    """
    logger, missing = logging.getLogger("bitsandbytes"), object()
    level, before = logger.level, sys.modules.get("kernels", missing)
    logger.setLevel(logging.ERROR)
    sys.modules["kernels"] = None  # pyrefly: ignore[unsupported-operation]
    try:
        yield
    finally:
        logger.setLevel(level)
        del sys.modules["kernels"]
        if before is not missing:
            sys.modules["kernels"] = before  # pyrefly: ignore[unsupported-operation]


def _refuse_uneven_rows(layers: dict[str, nn.Linear], settings: QloraSettings) -> None:
    """Blocks that cross from one row to the next are unpacked wrongly on CPUs by bitsandbytes 0.50, in silence."""
    size = settings.block_size
    uneven = {name: layer.in_features for name, layer in layers.items() if layer.in_features % size}
    if uneven:
        name, width = next(iter(uneven.items()))
        raise UserError(
            f"{name} takes {width} numbers, which is no multiple of qlora.block_size ({size})",
            place="qlora.block_size",
            way_out="choose a smaller block, 32 at least, or a base whose width is a multiple of it",
        )


def _replace(model: nn.Module, name: str, layer: nn.Module) -> None:
    parent, _, last = name.rpartition(".")
    setattr(model.get_submodule(parent), last, layer)
