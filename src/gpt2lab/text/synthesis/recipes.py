"""Recipes for data sets: the shipped ones by name, and anyone's own files."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import resources
from pathlib import Path

from gpt2lab.core import settings as strict
from gpt2lab.core.errors import UserError
from gpt2lab.text.synthesis import template
from gpt2lab.text.synthesis.settings import SynthesisRecipe


def shipped() -> dict[str, Path]:
    """Name → file of the recipes that come with the package."""
    folder = Path(str(resources.files("gpt2lab"))) / "recipes" / "synthesis"
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def find(name: str) -> Path:
    if Path(name).is_file():
        return Path(name)
    if name in shipped():
        return shipped()[name]
    raise UserError(
        f"there is no recipe for a data set named {name!r}",
        way_out=f"name a YAML file, or one of: {', '.join(shipped())}",
    )


def read(name: str, overrides: Sequence[str] = ()) -> SynthesisRecipe:
    file = find(name)
    recipe = strict.resolve(SynthesisRecipe, file=file, overrides=overrides)
    template.refuse_mistakes(recipe, file)
    return recipe
