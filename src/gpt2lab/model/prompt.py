"""Prompt tuning: soft tokens before every text, and a classifier's head, move. Saved as PEFT saves them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from gpt2lab.core import console, files, tensor_file
from gpt2lab.core.errors import UserError
from gpt2lab.model.gpt2 import GPT2, GPT2Classifier
from gpt2lab.model.pickle_free import ADAPTER_WEIGHTS, read_adapter
from gpt2lab.model.settings import PromptSettings

COMMON = 5000  # GPT-2's ids are ordered by how early their bytes were merged: the first are common text
HEAD = "score."
SOFT = "prompt_embeddings"  # PEFT's names
PREFIX = "base_model."


def add(model: GPT2 | GPT2Classifier, settings: PromptSettings, seed: int, text_ids: NDArray[np.int64]) -> None:
    """Those of a base that has some go on; others begin as embeddings of real tokens."""
    if model.transformer.soft_tokens:
        _go_on(model, settings, text_ids)
    else:
        _begin(model, settings, seed, text_ids)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name.startswith(("transformer.prompt.", HEAD)))


def _go_on(model: GPT2 | GPT2Classifier, settings: PromptSettings, text_ids: NDArray[np.int64]) -> None:
    own = model.transformer.soft_tokens
    if own != settings.tokens:
        raise UserError(
            f"prompt.tokens is {settings.tokens}, and the base has {own} soft tokens to go on with",
            way_out=f"prompt.tokens={own}, or begin from the model that these stand before",
        )
    if len(text_ids):
        console.warn("prompt.text has no effect: the base has soft tokens of its own")


def _begin(model: GPT2 | GPT2Classifier, settings: PromptSettings, seed: int, text_ids: NDArray[np.int64]) -> None:
    """From the given text, over and over, or from common tokens."""
    window = model.config.context
    if settings.tokens >= window:
        raise UserError(f"prompt.tokens is {settings.tokens}, and the model sees only {window}")
    if len(text_ids) > settings.tokens:
        console.warn(f"of the {len(text_ids):,} tokens of prompt.text the first {settings.tokens:,} are taken")
    if len(text_ids):
        ids = torch.from_numpy(np.resize(text_ids, settings.tokens))
    else:
        generator = torch.Generator().manual_seed(seed)
        ids = torch.randint(min(COMMON, model.config.vocabulary), (settings.tokens,), generator=generator)
    _install(model, model.transformer.wte.weight.detach()[ids].clone())


def write(folder: Path, model: GPT2 | GPT2Classifier, base: str) -> None:
    """`adapter_config.json` and `adapter_model.safetensors`, as PEFT reads them on transformers' model."""
    config = model.config
    files.write_json(
        folder / "adapter_config.json",
        {
            "peft_type": "PROMPT_TUNING",
            "task_type": "SEQ_CLS" if config.labels else "CAUSAL_LM",
            "base_model_name_or_path": base,
            "num_virtual_tokens": model.transformer.soft_tokens,
            "token_dim": config.width,
            "num_transformer_submodules": 1,
            "num_attention_heads": config.heads,
            "num_layers": config.layers,
            "modules_to_save": ["score"] if config.labels else None,
            "prompt_tuning_init": "RANDOM",
            "inference_mode": True,
        },
    )
    tensor_file.write(folder / ADAPTER_WEIGHTS, tensors(model), {"format": "pt"})


def tensors(model: GPT2 | GPT2Classifier) -> dict[str, Tensor]:
    """What an adapter's file holds, under PEFT's names."""
    assert model.transformer.prompt is not None
    head = {PREFIX + name: weight.detach() for name, weight in model.named_parameters() if name.startswith(HEAD)}
    return {SOFT: model.transformer.prompt.weight.detach(), **head}


def load(model: GPT2 | GPT2Classifier, folder: Path) -> None:
    """Put an adapter's soft tokens before every text of its base."""
    found = read_adapter(folder)
    soft = found.pop(SOFT, None)
    width, context = model.config.width, model.config.context
    if soft is None or soft.dim() != 2 or soft.shape[1] != width or not 0 < len(soft) < context:
        shape = "nothing" if soft is None else f"the shape {tuple(soft.shape)}"
        raise UserError(f"the adapter does not fit its base: {SOFT} has {shape}, the width is {width}", place=folder)
    _install(model, soft.float())
    wanted = {PREFIX + name: weight for name, weight in model.named_parameters() if name.startswith(HEAD)}
    for name, weight in wanted.items():
        if name not in found or found[name].shape != weight.shape:
            raise UserError(f"the adapter does not fit its base: {name} is missing or has another shape", place=folder)
        with torch.no_grad():
            weight.copy_(found[name])


def _install(model: GPT2 | GPT2Classifier, soft: Tensor) -> None:
    model.transformer.prompt = nn.Embedding.from_pretrained(soft.to(model.transformer.wte.weight.device), freeze=False)
