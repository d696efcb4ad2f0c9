"""A rehearsal: the stages, variants, methods and measures of a recipe, with a tiny model and built-in data.

It is an overlay on the recipe, and may set only what does not change the study: data, base, tokenizer, sizes, steps,
seeds, precision, compilation. Everything else is the recipe's own, so that a mistake shows here and not after a day.
"""

from __future__ import annotations

import re
from importlib import resources
from pathlib import Path
from typing import Any

import yaml

from gpt2lab.core import console
from gpt2lab.core import settings as strict
from gpt2lab.core.errors import UserError
from gpt2lab.core.settings import Settings
from gpt2lab.model.settings import ModelSettings
from gpt2lab.study import recipe as recipes
from gpt2lab.study.pretrain import pretrain
from gpt2lab.study.recipe import Recipe
from gpt2lab.study.run_folder import Intent
from gpt2lab.study.settings import CorpusSettings, RunSettings
from gpt2lab.text.prepare import prepare
from gpt2lab.text.settings import PrepareSettings
from gpt2lab.train.settings import TrainSettings

SPOT = "a model made on the spot"
HOW_LONG = "steps|tokens|epochs|minutes|batch_tokens|batch_rows|micro_batch|block|warmup|precision|compile"
HOW_OFTEN = "validate_every|validate_tokens|checkpoint_every"
ALLOWED = re.compile(
    rf"(data|tune\.data|variants\.[^.]+\.data)\.(source|also|local|tokenizer|text|label)|base|spot\..*|seeds"
    rf"|prepare\.(vocabulary|validation)|tune\.prepare\.(vocabulary|validation)|model\.(size|layers|heads|width|context)"
    rf"|((tune|variants\.[^.]+)\.)?train\.({HOW_LONG}|{HOW_OFTEN})|measures\.\d+\.(data|local)"
    r"|synthesize\.(backend|count)|probe\.(data|local|every|limit)|measures\.\d+\.settings\.(evaluate\.limit|data\.split|data\.max_tokens)|samples\.max_new_tokens"
)


class SpotSettings(Settings):
    data: str = "builtin:docs"
    """What the base learns from."""
    prepare: PrepareSettings = PrepareSettings(vocabulary=1024)
    model: ModelSettings = ModelSettings(layers=2, heads=2, width=64, context=128)
    train: TrainSettings = TrainSettings(steps=40, batch_tokens=2048, learning_rate=3e-3, precision="fp32")


def read(name: str) -> tuple[Recipe, SpotSettings]:
    """The recipe as it is rehearsed, and how its base is made where it names one."""
    path = resources.files("gpt2lab") / "recipes" / "rehearsals" / f"{name}.yaml"
    if not path.is_file():
        raise UserError(f"there is no rehearsal of {name!r}", way_out=f"there are: {', '.join(shipped())}")
    overlay = yaml.safe_load(path.read_text("utf-8")) or {}
    if wrong := [key for key in paths(overlay) if not ALLOWED.fullmatch(key)]:
        raise UserError(f"a rehearsal may not set {', '.join(wrong)}", place=f"rehearsals/{name}.yaml")
    spot = strict.resolve(SpotSettings, values=overlay.pop("spot", {}))
    values = _laid_over(strict.read_yaml(recipes.find(name))[0], overlay)
    if values.get("base"):
        values["base"] = SPOT
    for variant in values.get("variants", {}).values():
        if variant.get("base"):
            variant["base"] = SPOT
    return strict.resolve(Recipe, values=values), spot


def prepared(name: str, out: Path, device: str) -> Recipe:
    """With its base made, where it names one."""
    recipe, spot = read(name)
    if recipe.base != SPOT and not any(variant.get("base") for variant in recipe.variants.values()):
        return recipe
    base = _made(spot, out / "spot", device)
    variants = {
        key: {**values, **({"base": base} if values.get("base") else {})} for key, values in recipe.variants.items()
    }
    changes = {"variants": variants, **({"base": base} if recipe.base else {})}
    return recipe.model_copy(update=changes)


def shipped() -> list[str]:
    folder = resources.files("gpt2lab") / "recipes" / "rehearsals"
    return sorted(entry.name.removesuffix(".yaml") for entry in folder.iterdir() if entry.name.endswith(".yaml"))


def is_one(stored: dict[str, Any]) -> bool:
    """Whether a study's settings are those of the rehearsal of its name, wherever its base was made."""
    name = stored.get("name")
    return name in shipped() and _without_bases(read(name)[0].as_dict()) == _without_bases(stored)


def _without_bases(recipe: dict[str, Any]) -> dict[str, Any]:
    own = {name: {**values, "base": bool(values.get("base"))} for name, values in recipe["variants"].items()}
    return {**recipe, "base": bool(recipe["base"]), "variants": own}


def paths(values: Any, prefix: str = "") -> list[str]:
    """Every key that is set, with its place."""
    if isinstance(values, dict):
        return [path for key, value in values.items() for path in paths(value, f"{prefix}{key}.")]
    return [prefix.removesuffix(".")]


def _laid_over(values: dict[str, Any], overlay: dict[str, Any]) -> dict[str, Any]:
    """Measures are changed by their number."""
    measures = [dict(measure) for measure in values.get("measures", [])]
    for number, changes in overlay.pop("measures", {}).items():
        measures[int(number)] = strict.merged(measures[int(number)], changes)
    both = strict.merged(values, overlay)
    return {**both, "measures": measures} if measures else both


def _made(spot: SpotSettings, out: Path, device: str) -> str:
    console.say(f"base: {SPOT}, in {out}")
    corpus = prepare(spot.data, out / "corpus", "builtin", spot.prepare)
    settings = RunSettings(
        data=CorpusSettings(source=str(corpus.folder.resolve())), device=device, model=spot.model, train=spot.train
    )
    pretrain(settings, out / "run", Intent(resume=True))
    return str((out / "run").resolve())
