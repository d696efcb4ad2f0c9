"""Ways to tune: which parameters exist and move, at which rates, and how the finished model is written."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from gpt2lab.core import files, hardware
from gpt2lab.core.errors import UserError
from gpt2lab.model import lora, partial, prompt, quantised
from gpt2lab.model.config import GPT2Config
from gpt2lab.model.gpt2 import GPT2, GPT2Classifier
from gpt2lab.model.reading import ABOUT
from gpt2lab.model.writing import write_model, write_side_files
from gpt2lab.study.settings import TuneSettings
from gpt2lab.text.tokenizer import Tokenizer
from gpt2lab.train.settings import GroupSettings

LOW_RANK = ("lora", "qlora")
AnyModel = GPT2 | GPT2Classifier
Writer = Callable[[Path, AnyModel], None]


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


def soft_tokens(settings: TuneSettings) -> int:
    """What the method takes of the model's context."""
    return settings.prompt.tokens if settings.method == "prompt" else 0


def apply(settings: TuneSettings, model: AnyModel, tokenizer: Tokenizer | None) -> None:
    """Full and partial tuning move what is there; adapters are added."""
    if model.transformer.prompt is not None:
        raise UserError(
            "the base is prompt-tuned, and soft tokens cannot become weights",
            place=settings.base,
            way_out="begin from the model that it was tuned on",
        )
    if settings.method == "qlora":
        _refuse_what_packed_weights_cannot(settings)
        quantised.quantise(model, settings.qlora)
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


def writer(settings: TuneSettings, tokenizer: Tokenizer, base: Path, base_hash: str) -> Writer:
    about: dict[str, Any] = {"base": str(base), "base_weights": base_hash}
    if settings.method == "qlora":
        about["quantised"] = quantised.about(settings.qlora)
    if settings.method in LOW_RANK:
        return _adapter(lambda folder, model: lora.write(folder, model, settings.lora, str(base)), tokenizer, about)
    if settings.method == "prompt":
        return _adapter(lambda folder, model: prompt.write(folder, model, str(base)), tokenizer, about)
    return lambda folder, model: write_model(folder, model, tokenizer)


def _adapter(write: Writer, tokenizer: Tokenizer, about: dict[str, Any]) -> Writer:
    """PEFT's files, and what we need to find the base again."""

    def written(folder: Path, model: AnyModel) -> None:
        with files.new_folder(folder) as beside:
            write(beside, model)
            files.write_json(beside / ABOUT, {**about, "base": os.path.relpath(about["base"], folder)})
            write_side_files(beside, model, tokenizer)

    return written
