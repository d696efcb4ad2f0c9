"""A study as one YAML file: what it asks, on which data, a model made or named, and the ways it is tuned."""

from __future__ import annotations

import difflib
import itertools
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from gpt2lab.core import files
from gpt2lab.core import settings as strict
from gpt2lab.core.errors import UserError
from gpt2lab.core.settings import Positive, Seed, Settings
from gpt2lab.generate.settings import SamplingSettings
from gpt2lab.model.settings import ModelSettings
from gpt2lab.study.axis import Axis, at, axis_of
from gpt2lab.study.settings import ProbeSettings, SearchSettings, TuneSettings
from gpt2lab.text.settings import ColumnSettings, PrepareSettings
from gpt2lab.train.settings import TrainSettings

CORPUS = "corpus"  # what the base was pretrained on here
SYNTHESIZED = "synthesized"  # what the study has written
BASE = "base"  # all that comes before variants, where one of them could be named
BASES = ("untouched", BASE)  # runs of a study that are no variants
BESIDE = ("seeds", "over", "untouched")  # said of a variant, and no setting of its trainings


class DataSettings(ColumnSettings):
    source: str
    """Built-in data, a named set, a file, a folder or a glob."""
    local: str | None = None
    """The folder that holds a named set's files."""
    tokenizer: str = "gpt2"
    """gpt2, builtin, own (trained on this very data), or a folder."""


class MeasureSettings(Settings):
    protocol: str
    """One or more, with commas."""
    data: str | None = None
    """What to measure on: the study's own data unless given. `samples` is what each model has written, `synthesized`
    what the study has, and `corpus` what its base was pretrained on, of which no training saw the held-out part."""
    local: str | None = None
    """The folder that holds a named set's files."""
    settings: dict[str, str | int | float | bool | None] = Field(default_factory=dict)
    """Of the measurement: evaluate.stride, data.split, …"""

    @property
    def protocols(self) -> list[str]:
        return [name.strip() for name in self.protocol.split(",")]


class SynthesizeSettings(Settings):
    recipe: str
    """Of the data set: a file of one's own, or a shipped one by name."""
    count: Positive
    """How many texts."""
    backend: Literal["api", "builtin"] = "api"
    """A model behind an endpoint, or the built-in grammar, offline."""
    max_cost: float | None = None
    """Never spend more on them, in the recipe's currency."""
    settings: dict[str, str | int | float | bool | None] = Field(default_factory=dict)
    """Of that recipe: model.name, requests.concurrency, …"""


class Recipe(Settings):
    name: str
    """Of the study."""
    question: str
    """What the study answers."""
    data: DataSettings
    prepare: PrepareSettings = PrepareSettings()
    base: str | None = None
    """The model to tune; without it, `model` is pretrained on the data first."""
    model: ModelSettings | None = None
    train: TrainSettings | None = None
    """Of the pretraining."""
    probe: ProbeSettings = ProbeSettings()
    """What is measured while it goes on, beside validation."""
    synthesize: SynthesizeSettings | None = None
    """A data set that is written on the way: `synthesized` is its name where data are named."""
    tune: dict[str, Any] = Field(default_factory=dict)
    """Settings that all variants share."""
    variants: dict[str, dict[str, Any]] = Field(default_factory=dict)
    """By name: the settings in which a tuning differs from the others, its own `seeds` and `over`, where it has some;
    or a `base` and `untouched: true`, for a model that is measured as it is."""
    over: dict[str, str] = Field(default_factory=dict)
    """What is searched before the variants are trained: setting → a,b,c or low..high. The first variant is searched for
    all of them; one with an `over` of its own is searched by itself."""
    search: SearchSettings = SearchSettings(retrain=False)
    seeds: tuple[Seed, ...] = (1,)
    """A variant is trained once a seed, unless it names its own."""
    untouched: bool = False
    """Measure the base as it is as well, and let it write: a comparator that costs no training."""
    measures: tuple[MeasureSettings, ...] = ()
    """What every finished model is measured by; the base too, where it is pretrained here or `untouched`."""
    prompts: tuple[str, ...] = ()
    """Texts that every finished model continues."""
    draws: Positive = 1
    """How many times; the same draws of random numbers for every model."""
    samples: SamplingSettings = SamplingSettings()
    published: dict[str, str] = Field(default_factory=dict)
    """What a write-up says of itself, with what it counts; shown beside our own numbers, never compared in silence."""


def is_untouched(recipe: Recipe, variant: str) -> bool:
    """A comparator that is measured, and not trained."""
    return bool(recipe.variants[variant].get("untouched"))


def trained(recipe: Recipe) -> list[str]:
    return [name for name in recipe.variants if not is_untouched(recipe, name)]


def chosen(recipe: Recipe, only: str | None) -> list[str]:
    """All variants, the `only` one, or none where that is what comes before them."""
    if only is None or only in recipe.variants:
        return [only] if only else list(recipe.variants)
    if only == BASE:
        return []
    there = ", ".join([BASE, *recipe.variants])
    raise UserError(f"there is no variant {only!r}", place="--only", way_out=f"one of: {there}")


def searches(recipe: Recipe) -> dict[str, list[Axis]]:
    """By the variant that is searched: the first, for all that have none of their own."""
    every = trained(recipe)
    own = {name: over for name in every if (over := recipe.variants[name].get("over"))}
    shared = {every[0]: recipe.over} if recipe.over and set(every) - set(own) else {}
    return {name: [_axis(key, text) for key, text in over.items()] for name, over in {**shared, **own}.items()}


def _axis(key: str, text: object) -> Axis:
    if key == "method":
        raise UserError("a variant has one method", place=f"over: {key}: {text}", way_out="a variant for each")
    if isinstance(text, list | dict):
        raise UserError(
            f"what to search over is written in quotes (got {text!r})", place=f"over: {key}",
            way_out='"1e-4,2e-4,4e-4" or "1e-5..1e-2"',
        )  # fmt: skip
    return axis_of(f"{key}={text}")


def searched_with(recipe: Recipe, variant: str) -> str | None:
    """The variant whose best values this one takes."""
    if recipe.variants[variant].get("over"):
        return variant
    return trained(recipe)[0] if recipe.over else None


def needed_searches(recipe: Recipe, variants: Sequence[str]) -> dict[str, list[Axis]]:
    """Those that a chosen variant takes its values from; all, where none is chosen but what comes before them."""
    needed = {searched_with(recipe, name) for name in variants or recipe.variants if not is_untouched(recipe, name)}
    return {name: axes for name, axes in searches(recipe).items() if name in needed}


def with_seeds(recipe: Recipe, seeds: Sequence[int]) -> Recipe:
    """In place of its own and its variants', where some are given."""
    if not seeds:
        return recipe
    variants = {name: {key: own[key] for key in own if key != "seeds"} for name, own in recipe.variants.items()}
    return recipe.model_copy(update={"seeds": tuple(seeds), "variants": variants})


def seeds_of(recipe: Recipe, variant: str) -> tuple[int, ...]:
    own = recipe.variants[variant].get("seeds", recipe.seeds)
    seeds = tuple(own) if isinstance(own, list | tuple) else (own,)
    if not seeds or not all(isinstance(seed, int) and seed >= 0 for seed in seeds):
        raise UserError("seeds are whole numbers: [1, 2, 3]", place=f"{recipe.name}, variants.{variant}.seeds")
    return seeds


def run_name(recipe: Recipe, variant: str, seed: int) -> str:
    """The variant alone, where the recipe wants it once and with this seed."""
    return variant if seeds_of(recipe, variant) == (seed,) else seeded(variant, seed)


def seeded(variant: str, seed: int) -> str:
    return f"{variant}-seed-{seed}"


def tuning(recipe: Recipe, variant: str, base: str) -> TuneSettings:
    """All settings of one variant: the method's own defaults, what all share, what it has alone."""
    own = {key: value for key, value in recipe.variants[variant].items() if key not in BESIDE}
    shared = strict.merged(recipe.tune, own)
    columns = recipe.data.model_dump(exclude={"tokenizer"}, exclude_none=True)
    data = strict.merged({"data": columns, "prepare": recipe.prepare.as_dict()}, {"base": base})
    values = strict.merged(data, shared)
    try:
        return strict.resolve(TuneSettings, values=values)
    except UserError as error:
        raise UserError(error.cause, place=f"{recipe.name}, variants.{variant}", way_out=error.way_out) from error


def shipped() -> dict[str, str]:
    """Name → text of the recipes that come with the package."""
    folder = resources.files("gpt2lab") / "recipes"
    found = {entry.name.removesuffix(".yaml"): entry for entry in folder.iterdir() if entry.name.endswith(".yaml")}
    return {name: found[name].read_text("utf-8") for name in sorted(found)}


def find(name: str) -> Path:
    """A recipe file of one's own, or a shipped one by name."""
    path = Path(name)
    if path.is_file():
        return path
    if name in shipped():
        return Path(str(resources.files("gpt2lab") / "recipes" / f"{name}.yaml"))
    close = difflib.get_close_matches(name, shipped(), n=1)
    meant = files.like(path) or (f"did you mean {close[0]}?" if close else None)
    raise UserError(
        f"there is no recipe {name!r}", way_out=meant or f"name a YAML file, or one of: {', '.join(shipped())}"
    )


def read(name: str, overrides: list[str]) -> Recipe:
    recipe = strict.resolve(Recipe, file=find(name), overrides=overrides)
    if recipe.base is None and (recipe.model is None or recipe.train is None):
        raise UserError("a recipe names a base, or says how one is pretrained: model and train", place=name)
    if recipe.base is not None and not trained(recipe):
        raise UserError("a recipe with a base needs variants to tune", place=name)
    _refuse_names_of_variants(recipe, name)
    _refuse_what_is_no_group(recipe, name)
    _refuse_empty_names(recipe, name)
    for variant in trained(recipe):
        seeds_of(recipe, variant)
        tuning(recipe, variant, recipe.base or "")
    _refuse_impossible_points(recipe)
    for variant in set(recipe.variants) - set(trained(recipe)):
        if set(recipe.variants[variant]) != {"base", "untouched"}:
            raise UserError("what is untouched has a base and no settings", place=f"{name}, variants.{variant}")
    return recipe


def _refuse_impossible_points(recipe: Recipe) -> None:
    """What is searched over is a setting, and takes these values: said before the base is pretrained."""
    for variant, axes in searches(recipe).items():
        settings, keys = tuning(recipe, variant, recipe.base or ""), [axis.key for axis in axes]
        for values in itertools.product(*(axis.samples for axis in axes)):
            try:
                at(settings, dict(zip(keys, values)), said="over")
            except UserError as error:
                raise UserError(error.cause, place=f"{recipe.name}, the search with {variant}") from error


def _refuse_names_of_variants(recipe: Recipe, place: str) -> None:
    """A variant's name is its folder's, beside those of the bases."""
    for variant in recipe.variants:
        if variant in BASES:
            raise UserError(
                f"no variant can be called {variant}: that is the model they begin from",
                place=f"{place}, variants.{variant}", way_out="another name",
            )  # fmt: skip
        if not variant.strip() or variant.startswith(".") or "/" in variant or "\\" in variant:
            raise UserError(
                f"{variant!r} cannot be the name of a variant: a folder is named for it",
                place=f"{place}, variants", way_out="a name without slashes that begins with no dot, such as lora-8",
            )  # fmt: skip


def _refuse_what_is_no_group(recipe: Recipe, place: str) -> None:
    """What is read before a variant's settings are resolved."""
    tunings = {"tune": recipe.tune, **{f"variants.{name}": own for name, own in recipe.variants.items()}}
    examples = {
        "data": "data: {source: builtin:fantasy}",
        "prepare": "prepare: {validation: 0.1}",
        "over": 'over: {train.learning_rate: "1e-4,2e-4"}',
    }
    for where, settings in tunings.items():
        for key, example in examples.items():
            if not isinstance(settings.get(key) or {}, dict):
                raise UserError(
                    f"{key} is a group of settings (got {settings[key]!r})", place=f"{place}, {where}.{key}",
                    way_out=f"such as {example}",
                )  # fmt: skip


def _refuse_empty_names(recipe: Recipe, place: str) -> None:
    """`synthesized` and `corpus` are data that the study makes: said at once where it makes none."""
    tunings = [recipe.tune, *recipe.variants.values()]
    named = {(settings.get("data") or {}).get("source") for settings in tunings} | {
        wanted.data for wanted in recipe.measures
    }
    if SYNTHESIZED in named and recipe.synthesize is None:
        raise UserError(
            f"{SYNTHESIZED} names what the study writes, and it writes nothing",
            place=place,
            way_out="add the stage `synthesize:`, or name other data",
        )
    if CORPUS in named and recipe.base is not None:
        raise UserError(
            f"{CORPUS} names what the base was pretrained on here, and this recipe names a base",
            place=place,
            way_out="name the data, or pretrain: model and train in place of base",
        )
