"""Ways to tune: which parameters exist and move, at which rates, and how the finished model is written."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from gpt2lab.core import console, files, hardware
from gpt2lab.core.errors import UserError
from gpt2lab.model import lora, partial, prompt, quantised
from gpt2lab.model.config import GPT2Config
from gpt2lab.model.gpt2 import GPT2, GPT2Classifier
from gpt2lab.model.reading import base_of, find_model, read_model, weight_hash
from gpt2lab.model.writing import write_beside_adapter, write_model
from gpt2lab.study.settings import TuneSettings
from gpt2lab.text.tokenizer import Tokenizer
from gpt2lab.train import groups as parting
from gpt2lab.train.settings import GroupSettings

LOW_RANK = ("lora", "qlora")
SETTINGS_OF = {"lora": LOW_RANK, "qlora": ("qlora",), "prompt": ("prompt",), "partial": ("partial",)}
AnyModel = GPT2 | GPT2Classifier
Writer = Callable[[Path, AnyModel], None]


@dataclass(frozen=True)
class Base:
    """Where the model is that is tuned, and the hash of its weights when it was read."""

    place: Path
    weights: str


def groups(settings: TuneSettings, config: GPT2Config) -> tuple[GroupSettings, ...]:
    """What the user says about parameters comes first."""
    own = settings.train.groups
    if settings.method == "partial":
        still = GroupSettings(match=partial.frozen(config, settings.partial), frozen=True)
        return (*own, still, *_top(settings, config))
    if settings.method in LOW_RANK and settings.lora.plus != 1:
        return (*own, GroupSettings(match="*.lora_B.*", rate=settings.lora.plus))
    return own


def _top(settings: TuneSettings, config: GPT2Config) -> tuple[GroupSettings, ...]:
    if settings.partial.top_rate == 1:
        return ()
    return (GroupSettings(match=partial.top(config, settings.partial), rate=settings.partial.top_rate),)


def is_idle(key: str, method: str) -> bool:
    """Whether this setting is another method's."""
    return method not in SETTINGS_OF.get(key.partition(".")[0], (method,))


def soft_tokens(settings: TuneSettings) -> int:
    """What the method takes of the model's context."""
    return settings.prompt.tokens if settings.method == "prompt" else 0


def apply(settings: TuneSettings, model: AnyModel, tokenizer: Tokenizer | None) -> None:
    """Full and partial tuning move what is there; adapters are added."""
    if model.transformer.soft_tokens and settings.method != "prompt":
        raise UserError(
            "the base is prompt-tuned, and soft tokens cannot become weights",
            place=settings.base,
            way_out="--method prompt, which goes on with them, or begin from the model that they stand before",
        )
    if settings.method == "qlora":
        _refuse_what_packed_weights_cannot(settings)
        quantised.quantise(model, settings.qlora)
    if settings.method == "partial" and settings.partial.top == "head" and settings.task == "text":
        raise UserError(
            "a language model's head is its embedding, which partial tuning freezes",
            place="partial.top",
            way_out="partial.top=blocks",
        )
    if settings.method in LOW_RANK:
        lora.add(model, settings.lora, settings.train.seed)
    if settings.method == "prompt":
        ids = tokenizer.encode(settings.prompt.text) if tokenizer and settings.prompt.text else np.empty(0)
        prompt.add(model, settings.prompt, settings.train.seed, ids.astype(np.int64))


def _refuse_what_packed_weights_cannot(settings: TuneSettings) -> None:
    if settings.lora.pissa:
        raise UserError(
            "PiSSA takes its start out of the weights, and qlora's are packed",
            place="lora.pissa",
            way_out="--method lora, or leave lora.pissa out",
        )
    if hardware.choose_device(settings.device).type == "mps":
        raise UserError(
            "4-bit weights work on CPUs and CUDA, not on mps", place="device", way_out="--device cpu, or --method lora"
        )


def parameters(settings: TuneSettings, config: GPT2Config) -> tuple[int, int]:
    """(all, those that move), counted on a model without numbers, which refuses what a real one would."""
    if settings.method == "qlora":  # the same numbers, without weights to pack
        settings = settings.model_copy(update={"method": "lora"})
    with torch.device("meta"):
        model = GPT2Classifier(config) if config.labels else GPT2(config)
        apply(settings, model, None)
    train = settings.train.model_copy(update={"groups": groups(settings, config)})
    parting.freeze(model, train)
    every = parting.Group("", dict(model.named_parameters()), 0, 0)
    moving = parting.Group("", {name: p for name, p in every.parameters.items() if p.requires_grad}, 0, 0)
    return every.count(config.vocabulary), moving.count(config.vocabulary)


def writer(settings: TuneSettings, tokenizer: Tokenizer, base: Base) -> Writer:
    if settings.method in LOW_RANK:
        packed = {"quantised": quantised.about(settings.qlora)} if settings.method == "qlora" else {}
        return _adapter(lambda folder, model, on: lora.write(folder, model, settings.lora, on), tokenizer, base, packed)
    if settings.method == "prompt":
        return _adapter(prompt.write, tokenizer, base, {})
    return lambda folder, model: write_model(folder, model, tokenizer)


def _adapter(
    write: Callable[[Path, AnyModel, str], None], tokenizer: Tokenizer, base: Base, about: dict[str, Any]
) -> Writer:
    """PEFT's files, and what we need to find the base again."""

    def written(folder: Path, model: AnyModel) -> None:
        on = _whole(base, folder.parent / "base", tokenizer)
        weights = base.weights if on == base.place else weight_hash(on)
        with files.new_folder(folder) as beside:
            write(beside, model, str(on))
            place = {"base": os.path.relpath(on, folder), "base_weights": weights}
            write_beside_adapter(beside, model, tokenizer, {**about, **place})

    return written


def _whole(base: Base, merged: Path, tokenizer: Tokenizer) -> Path:
    """The model that an adapter stands on: PEFT begins from nothing less."""
    adapter = base.place / "adapter_config.json"
    if not adapter.is_file():
        return base.place
    if files.read_json(adapter).get("peft_type") == "PROMPT_TUNING":  # new soft tokens stand in place of its own
        return find_model(base_of(base.place)).resolve()
    return _merged(base, merged, tokenizer)


def _merged(base: Base, merged: Path, tokenizer: Tokenizer) -> Path:
    """A base that is an adapter itself, as a model of its own."""
    if weight_hash(base.place) != base.weights:
        raise UserError("the base has changed since it was read", place=base.place, way_out="put it back, and resume")
    if not merged.is_dir():
        console.say(f"the base is an adapter: {merged.resolve()} is that adapter merged, which the new one stands on")
        write_model(merged, read_model(base.place), tokenizer)
    return merged.resolve()
