"""Data sets of the Hub: their parquet files, one after another, each checked against the Hub's hash."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from gpt2lab.core import hub
from gpt2lab.core.errors import UserError
from gpt2lab.core.hub import RemoteFile
from gpt2lab.text.columns import UNNAMED, Columns
from gpt2lab.text.documents import BadRow, Document, Piece, inline_pieces
from gpt2lab.text.formats import FileSource

CONVERTED = "refs/convert/parquet"  # where the Hub keeps parquet copies of data sets in other forms
SplitName = Literal["train", "validation", "test"]
SPLIT_WORDS: dict[SplitName, str] = {"validation": r"validation|valid|val|dev", "test": "test", "train": "train"}


@dataclass(frozen=True)
class HubSource:
    """`folder` is where the parquet files of one configuration lie; `read` puts rows together that belong together."""

    name: str
    repository: str
    folder: str = ""
    columns: Columns = UNNAMED
    read: Callable[[Iterator[Path]], Iterator[Document | BadRow]] | None = None
    about: tuple[tuple[str, Any], ...] = ()
    wanted: str | None = None  # the split, where it is one alone

    @cached_property
    def found(self) -> tuple[str | None, list[RemoteFile]]:
        """The revision with parquet files, and those of the configuration."""
        for revision in (None, CONVERTED):
            files = self._parquet(revision)
            if files:
                return revision, [file for file in files if self.wanted in (None, split_of(file.path))]
        raise UserError(
            f"no parquet files {f'under {self.folder!r} ' if self.folder else ''}in this data set",
            place=f"{self.repository} on the Hub",
            way_out="download its files and name them, or give the configuration: hub:owner/name/config",
        )

    @property
    def splits(self) -> list[str]:
        return list(dict.fromkeys(split for file in self.found[1] if (split := split_of(file.path))))

    def only(self, split: str) -> HubSource:
        return replace(self, wanted=split)

    @property
    def size(self) -> int | None:
        return None if self.read else sum(file.size for file in self.found[1])

    def pieces(self) -> Iterator[Piece]:
        by_split: dict[str | None, list[RemoteFile]] = {}
        for file in self.found[1]:
            by_split.setdefault(split_of(file.path), []).append(file)
        for split, files in by_split.items():
            if self.read:
                yield from inline_pieces(self.read(map(self._fetch, files)), split)
            else:
                for path in map(self._fetch, files):
                    yield from FileSource([path], self.columns, split).pieces()

    def paths(self, *splits: str) -> list[Path]:
        """The files of the first of these splits that there is, else all."""
        by_split = {split: [file for file in self.found[1] if split_of(file.path) == split] for split in splits}
        chosen = next((files for files in by_split.values() if files), self.found[1])
        return [self._fetch(file) for file in chosen]

    def describe(self) -> dict[str, Any]:
        files = {file.path: file.sha256 or file.git_blob for file in self.found[1]}
        about = {**dict(self.about), "columns": self.columns.describe()}
        return {"data": self.name, "hub": self.repository, "files": files, **about}

    def _fetch(self, file: RemoteFile) -> Path:
        return hub.fetch_file(self.repository, file.path, kind="dataset", revision=self.found[0])

    def _parquet(self, revision: str | None) -> list[RemoteFile]:
        try:
            listed = hub.list_files(self.repository, kind="dataset", revision=revision)
        except UserError:
            if revision is None:
                raise
            return []
        return [file for file in listed if file.path.endswith(".parquet") and file.path.startswith(self.folder)]


def split_of(path: str) -> SplitName | None:
    """By a word of the file's or folder's name; None where there is none."""
    for split, words in SPLIT_WORDS.items():
        if re.search(rf"(?<![a-z])(?:{words})(?![a-z])", path.lower()):
            return split
    return None


def parse(address: str) -> tuple[str, str]:
    """`owner/name[/config]` as (repository, folder)."""
    owner, _, rest = address.partition("/")
    name, _, config = rest.partition("/")
    if not owner or not name:
        raise UserError(
            f"not a data set of the Hub: {address!r}", way_out="write hub:owner/name or hub:owner/name/config"
        )
    return f"{owner}/{name}", f"{config}/" if config else ""
