"""DATA on the command line becomes a source: built-in text, a named set, a Hub data set, anyone's own files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from gpt2lab.core import console, files
from gpt2lab.core.errors import UserError
from gpt2lab.text import builtin, hub_data, named
from gpt2lab.text.columns import DEFAULT, Columns
from gpt2lab.text.cutting import PIECE_BYTES
from gpt2lab.text.documents import Piece, Source, inline_pieces
from gpt2lab.text.formats import FileSource, find_files
from gpt2lab.text.settings import ColumnSettings


def open_source(data: str, local: Path | None, columns: Columns) -> Source:
    """`local` is the folder that holds the files of a named set."""
    if data.startswith("builtin:"):
        return BuiltinSource(data.removeprefix("builtin:"))
    if data in named.SETS:
        return named.open_set(data, local)
    if local is not None:
        raise UserError(f"--from goes with a named data set, and {data!r} is none", way_out=f"known: {_names()}")
    if data.startswith("hub:"):
        repository, folder = hub_data.parse(data.removeprefix("hub:"))
        return hub_data.HubSource(data, repository, folder, columns)
    if not Path(data).exists() and not any(letter in data for letter in "*?["):
        raise UserError(
            f"there is no data named {data!r}",
            way_out=files.like(Path(data)) or f"name a file, a folder, a glob, or one of: {_names()}",
        )
    paths = find_files(data)
    found = FileSource(paths, columns, _splits_by_name(paths, Path(data)), PIECE_BYTES)
    found.check()
    return found


def _splits_by_name(paths: Sequence[Path], folder: Path) -> dict[Path, str] | None:
    """Of a folder whose every file is named for its split, some for train and some to be held out; else of none."""
    if not folder.expanduser().is_dir():
        return None
    named_for = {path: hub_data.split_of(path.relative_to(folder.expanduser()).as_posix()) for path in paths}
    counts = Counter(named_for.values())
    if None in counts or "train" not in counts or len(counts) == 1:
        return None
    console.say(f"{folder}: split by the names of its files: {', '.join(f'{n} {name}' for name, n in counts.items())}")
    return {path: split for path, split in named_for.items() if split}


def chosen_columns(settings: ColumnSettings) -> Columns:
    return Columns(settings.text or DEFAULT, settings.label, settings.prompt, settings.completion)


class BuiltinSource:
    def __init__(self, name: str) -> None:
        self.name = name
        self.rows = builtin.documents(name)
        self.size = sum(len(document.text) for document in self.rows)
        self.splits: list[str] = []

    def only(self, split: str) -> BuiltinSource:
        raise AssertionError(f"built-in text has no split {split}")

    def pieces(self) -> Iterator[Piece]:
        return inline_pieces(self.rows, None)

    def describe(self) -> dict[str, Any]:
        return builtin.describe(self.name)


def _names() -> str:
    return ", ".join([*(f"builtin:{name}" for name in builtin.NAMES), *named.SETS])
