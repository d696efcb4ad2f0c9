"""What comes before the variants of a study: the data set it writes, and where that stands when data are named."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gpt2lab.core import console
from gpt2lab.core import settings as strict
from gpt2lab.model.reading import find_model
from gpt2lab.study.data import kept_tokenizer
from gpt2lab.study.recipe import CORPUS, SYNTHESIZED, Recipe, SynthesizeSettings
from gpt2lab.text import tokenizer as tokenizers
from gpt2lab.text.prepare import prepare
from gpt2lab.text.settings import PrepareSettings
from gpt2lab.text.synthesis import recipes as data_sets
from gpt2lab.text.synthesis.synthesize import synthesize


def written(wanted: SynthesizeSettings | None, out: Path) -> Path | None:
    """Texts of the data set. It comes first: what a key or a budget forbids shows before anything is trained."""
    if wanted is None:
        return None
    recipe = data_sets.read(wanted.recipe, [f"{key}={value}" for key, value in wanted.settings.items()])
    rows = out / "synthesis" / "texts.jsonl"
    console.say(f"synthesize: {wanted.count:,} texts by {wanted.recipe}, {wanted.backend}")
    synthesize(recipe, rows, wanted.count, backend=wanted.backend, max_cost=wanted.max_cost)
    return rows


def with_places(recipe: Recipe, texts: Path | None, base: str, out: Path) -> Recipe:
    """The recipe with folders where it says `corpus` or `synthesized`; what was written is prepared for this base."""
    places = {CORPUS: out / CORPUS} if recipe.base is None else {}
    if texts is not None:
        places[SYNTHESIZED] = _prepared(recipe, texts, base, out.resolve() / SYNTHESIZED)
    return _replaced(recipe, {name: str(place.resolve()) for name, place in places.items()})


def _prepared(recipe: Recipe, texts: Path, base: str, folder: Path) -> Path:
    own = recipe.tune.get("prepare") or {}
    settings = strict.resolve(PrepareSettings, values=strict.merged(recipe.prepare.as_dict(), own))
    tokenizer = kept_tokenizer(tokenizers.load(find_model(base)), texts.resolve().parent / "tokenizer")
    return prepare(str(texts), folder, str(tokenizer), settings).folder


def _replaced(recipe: Recipe, places: Mapping[str, str]) -> Recipe:
    changes = {
        "tune": _renamed(recipe.tune, places),
        "variants": {name: _renamed(own, places) for name, own in recipe.variants.items()},
        "measures": tuple(
            wanted.model_copy(update={"data": places.get(wanted.data or "", wanted.data)}) for wanted in recipe.measures
        ),
    }
    return recipe.model_copy(update=changes)


def _renamed(settings: dict[str, Any], places: Mapping[str, str]) -> dict[str, Any]:
    data = settings.get("data") or {}
    source = data.get("source")
    return {**settings, "data": {**data, "source": places[source]}} if source in places else settings
