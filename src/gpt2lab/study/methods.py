"""Ways to tune: which parameters exist and move, at which rates, and how the finished model is written."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np

from gpt2lab.core import files
from gpt2lab.core.errors import UserError
from gpt2lab.model import lora, partial, prompt
from gpt2lab.model.config import GPT2Config
from gpt2lab.model.gpt2 import GPT2, GPT2Classifier
from gpt2lab.model.writing import write_model, write_side_files
from gpt2lab.study.settings import TuneSettings
from gpt2lab.text.tokenizer import Tokenizer
from gpt2lab.train.settings import GroupSettings

AnyModel = GPT2 | GPT2Classifier
Writer = Callable[[Path, AnyModel], None]


def groups(settings: TuneSettings, config: GPT2Config) -> tuple[GroupSettings, ...]:
    """What the user says about parameters comes first."""
    own = settings.train.groups
    if settings.method == "partial":
        still = GroupSettings(match=partial.frozen(config, settings.partial), frozen=True)
        return (*own, still, *_top(settings, config))
    if settings.method == "lora" and settings.lora.plus != 1:
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
    if settings.method == "lora":
        lora.add(model, settings.lora, settings.train.seed)
    if settings.method == "prompt":
        ids = tokenizer.encode(settings.prompt.text) if tokenizer and settings.prompt.text else np.empty(0)
        prompt.add(model, settings.prompt, settings.train.seed, ids.astype(np.int64))


def writer(settings: TuneSettings, tokenizer: Tokenizer, base: Path, base_hash: str) -> Writer:
    if settings.method == "lora":
        return _adapter(
            lambda folder, model: lora.write(folder, model, settings.lora, str(base)), tokenizer, base, base_hash
        )
    if settings.method == "prompt":
        return _adapter(lambda folder, model: prompt.write(folder, model, str(base)), tokenizer, base, base_hash)
    return lambda folder, model: write_model(folder, model, tokenizer)


def _adapter(write: Writer, tokenizer: Tokenizer, base: Path, base_hash: str) -> Writer:
    """PEFT's files, and what we need to find the base again."""

    def written(folder: Path, model: AnyModel) -> None:
        with files.new_folder(folder) as beside:
            write(beside, model)
            files.write_json(
                beside / "gpt2lab.json", {"base": os.path.relpath(base, folder), "base_weights": base_hash}
            )
            write_side_files(beside, model, tokenizer)

    return written
