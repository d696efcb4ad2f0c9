"""Ways to tune: which parameters exist and move, at which rates, and how the finished model is written."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gpt2lab.core import files
from gpt2lab.model import lora, partial
from gpt2lab.model.config import GPT2Config
from gpt2lab.model.gpt2 import GPT2, GPT2Classifier
from gpt2lab.model.writing import write_model, write_side_files
from gpt2lab.study.settings import TuneSettings
from gpt2lab.text.tokenizer import Tokenizer
from gpt2lab.train.settings import GroupSettings

# Where nothing else is said: rates that published recipes for GPT-2 use for each method.
RATES = {"full": 5e-5, "lora": 2e-4, "partial": 5e-5}


def defaults(method: str) -> dict[str, Any]:
    """Of a tuning, where pretraining has others."""
    train = {"learning_rate": RATES.get(method, 5e-5), "weight_decay": 0.01, "beta2": 0.999, "floor": 0.0}
    return {"train": {**train, "epochs": 3.0, "batch_rows": 16, "validate_every": "epoch", "warmup": 0.1}}


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


def apply(settings: TuneSettings, model: GPT2 | GPT2Classifier) -> None:
    """Full and partial tuning move what is there; adapters are added."""
    if settings.method == "lora":
        lora.add(model, settings.lora, settings.train.seed)


Writer = Callable[[Path, GPT2 | GPT2Classifier], None]


def writer(settings: TuneSettings, tokenizer: Tokenizer, base: Path, base_hash: str) -> Writer:
    if settings.method != "lora":
        return lambda folder, model: write_model(folder, model, tokenizer)

    def adapter(folder: Path, model: GPT2 | GPT2Classifier) -> None:
        """PEFT's files, and what we need to find the base again."""
        with files.new_folder(folder) as beside:
            lora.write(beside, model, settings.lora, str(base))
            files.write_json(
                beside / "gpt2lab.json", {"base": os.path.relpath(base, folder), "base_weights": base_hash}
            )
            write_side_files(beside, model, tokenizer)

    return adapter
