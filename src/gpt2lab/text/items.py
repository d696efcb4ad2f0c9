"""Items of a multiple choice or a cloze: rows as they stand, from anyone's files, a named set, or the built-in one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from gpt2lab.core import files
from gpt2lab.core.errors import UserError
from gpt2lab.text import builtin, hub_data
from gpt2lab.text.arrow_files import parquet_records
from gpt2lab.text.formats import describe_files, find_files, format_of, named_files
from gpt2lab.text.hub_data import HubSource
from gpt2lab.text.named import SETS, LocalSet, open_set
from gpt2lab.text.opening import UTF8_MARK, open_binary, open_text


@dataclass(frozen=True)
class Row:
    place: str  # what a person looks for to find it
    values: Any  # None where the row cannot be read


@dataclass(frozen=True)
class Items:
    rows: list[Row]
    about: dict[str, Any]  # with a hash of these rows


def read(data: str, local: Path | None = None, limit: int | None = None) -> Items:
    """The first `limit` rows of a file, a folder, a glob, `builtin:choices`, a set's name or `hub:owner/name`."""
    if data.startswith("builtin:"):
        if data != "builtin:choices":
            raise UserError(f"{data} has no items with endings", way_out="use builtin:choices")
        # Under both names, so that HellaSwag's protocols are rehearsed on them as well.
        items = ({**item, "ctx": item["context"]} for item in builtin.choice_items())
        made = (Row(f"item {number}", item) for number, item in enumerate(items, 1))
        return _taken(made, limit, builtin.describe("choices"))
    paths, about = _files(data, local)
    rows = (row for file in named_files(paths) for row in _rows(file.path, file.name))
    return _taken(rows, limit, about)


def _taken(rows: Iterator[Row], limit: int | None, about: dict[str, Any]) -> Items:
    taken = list(islice(rows, limit))
    if not taken:
        raise UserError("there are no items here", place=about["data"])
    content = [json.dumps(row.values, sort_keys=True, default=str) for row in taken]
    return Items(taken, {**about, "hash": files.fingerprint(content)})


def _files(data: str, local: Path | None) -> tuple[list[Path], dict[str, Any]]:
    if data.startswith("hub:"):
        repository, folder = hub_data.parse(data.removeprefix("hub:"))
        source = HubSource(data, repository, folder)
        return source.paths("test", "validation", "train"), source.describe()
    if data in SETS and not Path(data).exists():
        source = open_set(data, local)
        splits = list(SETS[data].local)
        if isinstance(source, LocalSet):
            return source.files[next(split for split in splits if split in source.files)], source.describe()
        assert isinstance(source, HubSource)
        return source.paths(*splits), source.describe()
    paths = find_files(data)
    return paths, {"data": data, "files": describe_files(paths)}


def _rows(path: Path, name: str) -> Iterator[Row]:
    kind = format_of(path)
    if kind == ".parquet":
        yield from (Row(f"{name}, row {number}", values) for number, values in enumerate(parquet_records(path), 1))
    elif kind == ".jsonl":
        yield from _lines(path, name)
    elif kind == ".json":
        yield from _list(path, name)
    else:
        raise UserError(
            "items are read from .jsonl, .json and .parquet files", place=path, way_out="write one JSON object a line"
        )


def _lines(path: Path, name: str) -> Iterator[Row]:
    stream, _ = open_text(path)
    with stream:
        for number, line in enumerate(stream, 1):
            if not line.isspace():
                yield Row(f"{name}, row {number}", _parsed(line))


def _list(path: Path, name: str) -> Iterator[Row]:
    with open_binary(path) as stream:
        content = _parsed(stream.read().removeprefix(UTF8_MARK))
    if not isinstance(content, list):
        raise UserError("a .json file of items is a list of them", place=path, way_out="name JSON lines .jsonl")
    for number, values in enumerate(content, 1):
        yield Row(f"{name}, row {number}", values)


def _parsed(data: bytes) -> Any:
    try:
        return json.loads(data.decode("utf-8"))
    except (ValueError, RecursionError):
        return None
