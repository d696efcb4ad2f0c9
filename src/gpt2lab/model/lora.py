"""Low-rank adapters on our modules, by PEFT; their folders open in PEFT on transformers' GPT-2 with equal logits."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from gpt2lab.core import files, tensor_file
from gpt2lab.core.errors import UserError
from gpt2lab.model import layout, quantised
from gpt2lab.model.gpt2 import GPT2, GPT2Classifier
from gpt2lab.model.pickle_free import ADAPTER_WEIGHTS, read_adapter
from gpt2lab.model.settings import LoraSettings

HEAD = "score."
ADAPTER = "default"  # PEFT's name for the only one
READ = (  # of PEFT's settings; every other one must be as PEFT has it by itself
    "peft_type", "task_type", "base_model_name_or_path", "r", "lora_alpha", "target_modules", "modules_to_save",
    "use_rslora", "use_dora", "init_lora_weights",
)  # fmt: skip
NO_MATTER = (  # to what a finished adapter computes
    "peft_version", "auto_mapping", "inference_mode", "fan_in_fan_out", "lora_dropout", "megatron_core",
    "qalora_group_size", "eva_config", "corda_config", "loftq_config", "lora_ga_config",
)  # fmt: skip
OFF = {"bias": "none", "revision": "main"}  # beside null, false and what is empty
NEEDED: dict[str, Callable[[Any], bool]] = {
    "r": lambda value: type(value) is int and value > 0,
    "lora_alpha": lambda value: type(value) in (int, float) and value > 0,
    "target_modules": lambda value: isinstance(value, str | list),
}
PREFIX = "base_model.model."  # of names in PEFT's files
MAGNITUDE = ".lora_magnitude_vector"
CHANGES_THE_BASE = ("pissa", "olora", "corda", "loftq", "lora_ga")  # starts that PEFT takes out of the weights


def add(model: Any, settings: LoraSettings, seed: int) -> None:
    """Only the adapters move from here on, and a classifier's head; the tied head of a language model never does."""
    quantised.prepare_for_peft()
    from peft import inject_adapter_in_model

    if settings.pissa and settings.dora:
        raise UserError("lora.pissa and lora.dora begin from different weights", way_out="choose one of them")
    if settings.pissa and settings.rank > (most := _directions(model, _targets(model, settings.targets))):
        raise UserError(
            f"lora.rank is {settings.rank}, and PiSSA begins with a matrix's own directions, {most} here at most",
            place="lora.rank",
            way_out="a lower rank, or leave lora.pissa out",
        )
    torch.manual_seed(seed)
    inject_adapter_in_model(_config(model, settings), model)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_("lora_" in name or name.startswith(HEAD))
    if settings.pissa:
        model.lora_start = {name: tensor.clone() for name, tensor in _matrices(model).items()}


def _config(model: nn.Module, settings: LoraSettings) -> Any:
    from peft import LoraConfig

    targets = _targets(model, settings.targets)
    return LoraConfig(
        r=settings.rank,
        lora_alpha=settings.alpha or 2 * settings.rank,  # pyrefly: ignore[bad-argument-type]
        lora_dropout=settings.dropout,
        target_modules=targets,
        use_rslora=settings.rslora,
        use_dora=settings.dora,
        init_lora_weights="pissa" if settings.pissa else True,
    )


def _directions(model: nn.Module, names: list[str]) -> int:
    return min(min(model.get_parameter(f"{name}.weight").shape) for name in names)


def _matrices(model: nn.Module) -> dict[str, Tensor]:
    return {name: parameter.detach() for name, parameter in model.named_parameters() if "lora_" in name}


def _targets(model: nn.Module, wanted: tuple[str, ...]) -> list[str]:
    """Full names of the linear layers that are meant: by the end of their names, or `all`."""
    ends = layout.LINEAR if wanted == ("all",) else wanted
    linear = [name for name, module in model.named_modules() if isinstance(module, nn.Linear) and ".h." in name]
    if idle := [end for end in ends if not any(f".{name}".endswith(f".{end}") for name in linear)]:
        raise UserError(
            f"no linear layer is named {idle[0]!r}",
            place="lora.targets",
            way_out=f"choose of {', '.join(layout.LINEAR)}, or all",
        )
    return [name for name in linear if any(f".{name}".endswith(f".{end}") for end in ends)]


def tensors(model: nn.Module) -> dict[str, Tensor]:
    """What an adapter's file holds, under PEFT's names."""
    start: dict[str, Tensor] = getattr(model, "lora_start", {})
    head = {name: parameter.detach() for name, parameter in model.named_parameters() if name.startswith(HEAD)}
    found = {name: _since(tensor, start.get(name), name) for name, tensor in _matrices(model).items()}
    return {_stored_name(name): tensor for name, tensor in (found | head).items()}


def _stored_name(name: str) -> str:
    return _short(PREFIX + name.replace(f".{ADAPTER}", ""))


def _short(name: str) -> str:
    """PEFT's files name DoRA's magnitudes by their module alone; ours once did not."""
    return name.removesuffix(".weight") if name.endswith(f"{MAGNITUDE}.weight") else name


def _since(now: Tensor, start: Tensor | None, name: str) -> Tensor:
    """PiSSA takes its start B₀A₀ out of the weights. On the weights as they were, the change is BA − B₀A₀: one product
    of twice the rank, [B, −B₀] · [A; A₀]."""
    if start is None:
        return now
    start = start.to(now.device)
    return torch.cat([now, -start], dim=1) if "lora_B" in name else torch.cat([now, start], dim=0)


def write(folder: Path, model: GPT2 | GPT2Classifier, settings: LoraSettings, base: str) -> None:
    """`adapter_config.json` and `adapter_model.safetensors`, as PEFT reads them on transformers' model."""
    config = _config_of(model).to_dict()
    if settings.pissa:  # twice the rank, at the same scale
        config |= {"r": 2 * config["r"], "lora_alpha": config["lora_alpha"] * (2**0.5 if settings.rslora else 2)}
    config |= {
        "init_lora_weights": True,
        "base_model_name_or_path": base,
        "task_type": "SEQ_CLS" if model.config.labels else "CAUSAL_LM",
        "target_modules": sorted(config["target_modules"]),
        "modules_to_save": ["score"] if model.config.labels else None,
        "fan_in_fan_out": True,  # transformers' layers hold their weights the other way round
        "inference_mode": True,
    }
    plain = {key: value for key, value in config.items() if _is_plain(value)}
    files.write_json(folder / "adapter_config.json", plain)
    tensor_file.write(folder / ADAPTER_WEIGHTS, tensors(model), {"format": "pt"})


def load(model: GPT2 | GPT2Classifier, folder: Path) -> None:
    """Put a stored adapter on its base, beside the weights; `merge` puts it into them."""
    stored = files.read_json(folder / "adapter_config.json")
    if foreign := [key for key, value in stored.items() if _is_foreign(key, value)]:
        raise UserError(
            f"this adapter uses PEFT's {foreign[0]}, which is not read here",
            place=folder,
            way_out="merge it in PEFT (merge_and_unload), and read the whole model",
        )
    if str(start := stored.get("init_lora_weights")).startswith(CHANGES_THE_BASE):
        raise UserError(
            f"this adapter stands on a base that PEFT's {start} has changed, and that base is not here",
            place=folder,
            way_out="save it with path_initial_model_for_weight_conversion, which makes it plain LoRA",
        )
    if wrong := [key for key, is_right in NEEDED.items() if not is_right(stored.get(key))]:
        raise UserError(
            f"the adapter's {wrong[0]} is {stored.get(wrong[0])!r}, which cannot be",
            place=folder / "adapter_config.json",
            way_out="download or save the adapter again",
        )
    settings = LoraSettings(
        rank=stored["r"],
        alpha=stored["lora_alpha"],
        targets=tuple(_named(model, stored["target_modules"])),
        rslora=stored.get("use_rslora", False),
        dora=stored.get("use_dora", False),
    )
    add(model, settings, 0)
    found = {_short(name): tensor for name, tensor in read_adapter(folder).items()}
    wanted = {_stored_name(name): parameter for name, parameter in model.named_parameters()}
    expected = set(tensors(model))
    if set(found) != expected:
        raise UserError("the adapter does not fit its base: other tensors than expected", place=folder)
    if other := [name for name, tensor in found.items() if tensor.shape != wanted[name].shape]:
        shapes = f"{tuple(found[other[0]].shape)}, and here it would be {tuple(wanted[other[0]].shape)}"
        raise UserError(f"the adapter is for another base: {other[0]} is {shapes}", place=folder)
    with torch.no_grad():
        for name, tensor in found.items():
            wanted[name].copy_(tensor)


def _is_foreign(key: str, value: object) -> bool:
    """Whether this setting asks for more than low-rank matrices beside the weights."""
    is_off = value is None or value is False or value in ([], {}, OFF.get(key))
    return key not in (*READ, *NO_MATTER) and not is_off


def _named(model: nn.Module, wanted: list[str] | str) -> list[str]:
    """PEFT takes a list of names, or an expression for whole names."""
    if not isinstance(wanted, str):
        return wanted
    return [name for name, _ in model.named_modules() if re.fullmatch(wanted, name)]


def merge(model: nn.Module) -> None:
    """The adapters' product is added to the weights, in their precision, and the adapters go; a plain model stays."""
    if hasattr(model, "peft_config"):
        _merge_layers(model)
        del model.peft_config
    for parameter in model.parameters():
        parameter.requires_grad_(True)


def _merge_layers(model: nn.Module) -> None:
    from peft.tuners.lora import LoraLayer

    for name, module in list(model.named_modules()):
        if isinstance(module, LoraLayer):
            module.merge()  # pyrefly: ignore[not-callable, missing-attribute]
            parent = model.get_submodule(name.rpartition(".")[0])
            setattr(parent, name.rpartition(".")[2], module.get_base_layer())


def _config_of(model: Any) -> Any:
    return model.peft_config[ADAPTER]


def _is_plain(value: object) -> bool:
    return value is None or isinstance(value, str | int | float | bool | list | dict)
