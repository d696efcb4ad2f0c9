"""What follows from a recipe's settings before anything is read or trained: parameters, rows, steps."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from gpt2lab.core import console
from gpt2lab.core.console import counted
from gpt2lab.model.config import GPT2_VOCABULARY, SIZES, GPT2Config, describe, parameter_count
from gpt2lab.model.reading import HUB_NAMES, find_model, read_config
from gpt2lab.study import at_hand, methods, needs
from gpt2lab.study.recipe import Recipe, searched_with, searches, seeds_of, tuning
from gpt2lab.study.settings import TuneSettings
from gpt2lab.text import named
from gpt2lab.text.corpus import is_corpus, open_corpus
from gpt2lab.train.plan import batch_rows, limits
from gpt2lab.train.schedule import warmup_steps

HUB_SIZES = dict(zip(HUB_NAMES, SIZES))  # gpt2 is small, gpt2-medium medium, …
END_OF_TEXT = GPT2_VOCABULARY - 1


def config_of(recipe: Recipe) -> GPT2Config:
    """Of the base, known without its files where it is one of OpenAI's, or of the model to be pretrained."""
    if recipe.base is None:
        assert recipe.model is not None
        own = recipe.data.tokenizer in ("builtin", "own")
        vocabulary = recipe.prepare.vocabulary if own else GPT2_VOCABULARY
        return recipe.model.config(vocabulary, vocabulary - 1)
    return base_config(recipe.base)


def base_config(base: str) -> GPT2Config:
    name = base.removeprefix("openai-community/")
    if name in HUB_SIZES and not Path(base).exists():
        return GPT2Config(*SIZES[HUB_SIZES[name]], start_of_text=END_OF_TEXT, end_of_text=END_OF_TEXT)
    return read_config(find_model(base))


def of_variant(recipe: Recipe, name: str, config: GPT2Config, device: torch.device) -> dict[str, Any]:
    settings = tuning(recipe, name, recipe.base or "")
    if recipe.variants[name].get("base"):
        config = base_config(settings.base)
    labels = _labels(settings)
    total, trainable = methods.parameters(settings, replace(config, labels=labels))
    train = settings.train
    block = train.block or config.context - methods.soft_tokens(settings)
    rows_a_step = batch_rows(train, block)
    found: dict[str, Any] = {
        "method": settings.method,
        "task": settings.task,
        "base": settings.base or "pretrained above",
        "parameters": total,
        "trainable": trainable,
        "learning_rate": train.learning_rate,
        "searched": [axis.key for axis in searches(recipe).get(searched_with(recipe, name) or "", [])],
        "rows_a_step": rows_a_step,
        "tokens_a_row": block,
        "epochs": train.epochs,
        "seeds": list(seeds_of(recipe, name)),
    }
    rows, tokens = _rows(settings, recipe.data.tokenizer, block), None
    known = limits(train, rows, rows_a_step, block)
    if known and (rows is not None or not train.epochs):
        steps = min(known.values())
        found |= {"rows": rows, "steps": steps, "warmup_steps": warmup_steps(steps, train)}
        tokens = steps * rows_a_step * block if settings.task == "text" else None  # texts with labels are shorter
    return found | needs.needs(config, trainable, train, block, rows_a_step, tokens, device, settings.method)


def trials(recipe: Recipe) -> dict[str, int]:
    """Of each search; a grid is tried whole."""
    return {
        name: math.prod(len(axis.values) for axis in axes)
        if all(axis.values for axis in axes)
        else recipe.search.trials
        for name, axes in searches(recipe).items()
    }


def say(name: str, found: dict[str, Any]) -> None:
    size = f"{found['trainable']:,} of {found['parameters']:,} parameters move"
    rate = "the search's rate" if "train.learning_rate" in found["searched"] else f"rate {found['learning_rate']:g}"
    console.say(f"   {name}: {found['method']} on {found['base']}, {size}, {rate}")
    length = f"{found['epochs']:g} epochs" if found["epochs"] else ""
    if "steps" in found:
        over = f" over {counted(found['rows'], 'row')}" if found["rows"] else ""
        length = f"{length} = {counted(found['steps'], 'step')}{over}".strip(" =")
    rows = f"{counted(found['rows_a_step'], 'row')} of at most {found['tokens_a_row']:,} tokens a step"
    console.say(f"      {rows}, {length or 'until its limit'}, {counted(len(found['seeds']), 'seed')}")
    console.say(f"      {needs.wording(found)}")


def pretraining(recipe: Recipe, config: GPT2Config) -> dict[str, Any]:
    assert recipe.train is not None
    block = recipe.train.block or config.context
    rows = batch_rows(recipe.train, block)
    found: dict[str, Any] = {"parameters": parameter_count(config), "rows_a_step": rows, "tokens_a_row": block}
    known = limits(recipe.train, None, rows, block)
    if known:
        steps = min(known.values())
        found |= {"steps": steps, "warmup_steps": warmup_steps(steps, recipe.train), "tokens": steps * rows * block}
    return found


def describe_config(config: GPT2Config) -> tuple[str, int]:
    return describe(config), parameter_count(config)


def _labels(settings: TuneSettings) -> tuple[str, ...]:
    if settings.task != "labels":
        return ()
    source = settings.data.source
    if source in named.SETS:
        return named.SETS[source].labels
    if is_corpus(Path(source)):
        return tuple(open_corpus(Path(source)).manifest["labels"])
    return ("a class", "another")  # how many there are is known when the data are read


def _rows(settings: TuneSettings, tokenizer: str, block: int) -> int | None:
    """Of training, where the data are at hand, or by a named set's published count."""
    counted_here, source = at_hand.rows(settings, tokenizer, block), settings.data.source
    if counted_here is not None:
        return counted_here
    published = named.SETS[source].documents if source in named.SETS else None
    if published and settings.task == "labels" and isinstance(settings.prepare.validation, float):
        return round(published["train"] * (1 - settings.prepare.validation))
    return None
