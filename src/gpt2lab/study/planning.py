"""What a recipe would do, as far as its settings say: printed before anything is done, without data or weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from gpt2lab.core import console, hardware
from gpt2lab.core.console import counted
from gpt2lab.core.errors import UserError
from gpt2lab.model.config import GPT2Config
from gpt2lab.study import facts, measuring, needs, rehearsal
from gpt2lab.study.recipe import Recipe, chosen, is_untouched, needed_searches, seeds_of, with_seeds

LONG = 3600  # seconds, after which a rehearsal is worth its minutes


def plan(recipe: Recipe, device: str = "auto", only: str | None = None, seeds: Sequence[int] = ()) -> dict[str, Any]:
    """Of all variants or the `only` one, with the recipe's seeds or others. Nothing is written."""
    recipe, variants = with_seeds(recipe, seeds), chosen(recipe, only)
    here, config = hardware.choose_device(device), facts.config_of(recipe)
    described, parameters = facts.describe_config(config)
    found: dict[str, Any] = {
        "data": recipe.data.source,
        "tokenizer": recipe.data.tokenizer,
        "base": recipe.base,
        "parameters": parameters,
        "seeds": list(recipe.seeds),
        "published": recipe.published,
    }
    if recipe.synthesize:
        console.say(f"synthesize: {counted(recipe.synthesize.count, 'text')} by {recipe.synthesize.recipe}")
        found["synthesize"] = recipe.synthesize.as_dict()
    if recipe.base is None:
        console.say(f"prepare {recipe.data.source} with the tokenizer {recipe.data.tokenizer}")
        console.say(f"pretrain: {described}")
        found |= _pretraining(recipe, config, here)
    else:
        console.say(f"base {recipe.base}: {described}; data {recipe.data.source}")
    needed = needed_searches(recipe, variants)
    for name, axes in needed.items():
        over = "; ".join(f"{axis.key} over {axis.text}" for axis in axes)
        console.say(f"search with {name}: {over}, {counted(facts.trials(recipe)[name], 'trial')}")
        found.setdefault("searches", {})[name] = {axis.key: axis.text for axis in axes}
    if tuned := [name for name in variants if not is_untouched(recipe, name)]:
        console.say(f"tune {counted(len(tuned), 'variant')}:")
        found["variants"] = {name: _variant(recipe, name, config, here) for name in tuned}
    for wanted in recipe.measures:
        measuring.settings_of(wanted)
    if recipe.measures:
        console.say(
            "measure: "
            + "; ".join(f"{wanted.protocol} on {wanted.data or recipe.data.source}" for wanted in recipe.measures)
        )
    for what, said in recipe.published.items():
        console.say(f"published: {what}: {said}")
    trials = {name: facts.trials(recipe)[name] * _seconds(recipe, name, config, here) for name in needed}
    found["at_least_seconds_in_all"] = _in_all(recipe, found, sum(trials.values()))
    return found


def _pretraining(recipe: Recipe, config: GPT2Config, device: torch.device) -> dict[str, Any]:
    assert recipe.train is not None
    found = facts.pretraining(recipe, config)
    rows, block, tokens = found["rows_a_step"], found["tokens_a_row"], found.get("tokens")
    found |= needs.needs(config, found["parameters"], recipe.train, block, rows, tokens, device)
    if tokens:
        console.say(
            f"   {counted(found['steps'], 'step')} of {counted(rows, 'row')} of {block} tokens: {tokens:,} tokens"
        )
    console.say(f"   {needs.wording(found)}")
    return found


def _variant(recipe: Recipe, name: str, config: GPT2Config, device: torch.device) -> dict[str, Any]:
    """What cannot be trained is said, and stops nothing else: the study would show it as failed."""
    try:
        found = facts.of_variant(recipe, name, config, device)
    except UserError as error:
        console.warn(f"{name} cannot be trained: {error}")
        return {"problem": error.cause}
    facts.say(name, found)
    return found


def _seconds(recipe: Recipe, name: str, config: GPT2Config, device: torch.device) -> float:
    """Of one training, where its length is known."""
    try:
        return facts.of_variant(recipe, name, config, device).get("at_least_seconds", 0.0)
    except UserError:
        return 0.0  # it cannot be trained, nor searched


def _in_all(recipe: Recipe, found: dict[str, Any], of_trials: float) -> float:
    """Seconds of all trainings whose length is known, trials of searches too."""
    variants = found.get("variants", {})
    seconds = (
        found.get("at_least_seconds", 0.0)
        + of_trials
        + sum(about.get("at_least_seconds", 0.0) * len(seeds_of(recipe, name)) for name, about in variants.items())
    )
    if seconds:
        unknown = "; trainings of unknown length come on top" if _some_unknown(recipe, found) else ""
        console.say(f"in all: at least {console.duration(seconds)} here{unknown}")
    if seconds > LONG and recipe.name in rehearsal.shipped():
        console.say(f"try first: gpt2lab rehearse {recipe.name} --out REHEARSAL, a few minutes")
    return seconds


def _some_unknown(recipe: Recipe, found: dict[str, Any]) -> bool:
    can_be_trained = [about for about in found.get("variants", {}).values() if "problem" not in about]
    lengths = [about.get("at_least_seconds") for about in can_be_trained]
    return None in lengths or (recipe.base is None and "at_least_seconds" not in found)
