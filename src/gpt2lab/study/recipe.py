"""A study as one YAML file."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from gpt2lab.core import settings as strict
from gpt2lab.core.errors import UserError
from gpt2lab.core.settings import Settings
from gpt2lab.generate.settings import SamplingSettings
from gpt2lab.model.settings import ModelSettings
from gpt2lab.text.settings import ColumnSettings, PrepareSettings
from gpt2lab.train.settings import TrainSettings


class DataSettings(ColumnSettings):
    source: str
    """Built-in data, a named set, a file, a folder or a glob."""
    tokenizer: str = "gpt2"
    """gpt2, builtin, own (trained on this very data), or a folder."""


class Recipe(Settings):
    name: str
    """Of the study."""
    question: str
    """What the study answers."""
    data: DataSettings
    prepare: PrepareSettings = PrepareSettings()
    model: ModelSettings
    train: TrainSettings
    prompts: tuple[str, ...] = ()
    """Texts that the finished model continues."""
    samples: SamplingSettings = SamplingSettings()


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
    raise UserError(f"there is no recipe {name!r}", way_out=f"name a YAML file, or one of: {', '.join(shipped())}")


def read(name: str, overrides: list[str]) -> Recipe:
    return strict.resolve(Recipe, file=find(name), overrides=overrides)
