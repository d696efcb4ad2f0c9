"""What a model card is made of, without an address on this machine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gpt2lab.core import files
from gpt2lab.model.config import GPT2Config
from gpt2lab.model.reading import ABOUT
from gpt2lab.study.runs import Run
from gpt2lab.text import named
from gpt2lab.text.corpus import is_corpus, open_corpus


@dataclass(frozen=True)
class Facts:
    name: str  # of the repository, or of the folder
    folder: Path
    config: GPT2Config
    weights: str
    results: Sequence[Mapping[str, Any]]
    run: Run | None
    base: str | None  # on the Hub

    @property
    def adapter(self) -> str | None:
        """PEFT's name for its kind."""
        path = self.folder / "adapter_config.json"
        return files.read_json(path).get("peft_type") if path.is_file() else None

    @property
    def about(self) -> dict[str, Any]:
        """What an adapter or a merged model says of itself."""
        path = self.folder / ABOUT
        return files.read_json(path) if path.is_file() else {}

    @property
    def method(self) -> str | None:
        return self.run.settings.get("method") if self.run else None

    @property
    def task(self) -> str:
        return "text-classification" if self.config.labels else "text-generation"

    @property
    def data(self) -> str | None:
        return data_name(str(self.run.settings["data"]["source"])) if self.run else None


def data_name(source: str) -> str:
    """As others know it: the name of a set, what a corpus was made of, or a file's name without its folder."""
    if is_corpus(Path(source)):
        source = str(open_corpus(Path(source)).manifest.get("source", {}).get("data") or source)
    is_name = source in named.SETS or source.startswith(("hub:", "builtin:"))
    return source if is_name else Path(source).name


def of_record(record: Mapping[str, Any]) -> str:
    return data_name(str(record["data"].get("path") or ""))


def split_of(record: Mapping[str, Any]) -> str | None:
    return record["settings"].get("split") or record["data"].get("split")


def hub_data(name: str | None) -> str | None:
    """The data set's repository on the Hub, where it has one."""
    if name in named.SETS:
        return named.SETS[name].hub
    if name and name.startswith("hub:"):
        return "/".join(name.removeprefix("hub:").split("/")[:2])
    return None


def without_places(value: Any) -> Any:
    """Settings in which a path is only its last name."""
    if isinstance(value, Mapping):
        return {key: without_places(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [without_places(inner) for inner in value]
    return Path(value).name if isinstance(value, str) and Path(value).is_absolute() else value
