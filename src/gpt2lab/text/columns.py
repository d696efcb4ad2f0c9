"""Rows of a table become documents by the names of their columns."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, replace
from typing import Any

from gpt2lab.core.errors import UserError
from gpt2lab.text.cutting import File
from gpt2lab.text.documents import BadRow, Document

DEFAULT = ("text",)
LABEL = "label"  # where classes are wanted and no column is named
SHOWN = 40  # characters of a name: without a header it may be a whole text
WAY_OUT = "name the columns: data.text=title,description data.label=category, or data.prompt=… data.completion=…"


@dataclass(frozen=True)
class Columns:
    """Which columns hold what. Several texts are joined by a line end; a completion is the text after a prompt."""

    text: tuple[str, ...] = DEFAULT
    label: str | None = None
    prompt: str | None = None
    completion: str | None = None
    every: bool = False  # all columns that hold text; what is no text there counts as empty

    @property
    def texts(self) -> tuple[str, ...]:
        return self.text if self.completion is None else (self.completion,)

    def describe(self) -> dict[str, Any]:
        return {"text": list(self.text), "label": self.label, "prompt": self.prompt, "completion": self.completion}

    @property
    def named(self) -> list[str]:
        return [name for name in (*self.texts, self.label, self.prompt) if name is not None]


UNNAMED = Columns()
EVERY_TEXT = Columns(every=True)


def choose(wanted: Columns, names: Sequence[str], texts: Set[str], file: File, way_out: str = WAY_OUT) -> Columns:
    """The wanted ones of a file's columns; where none is named for the text, the only one that holds text."""
    if wanted.every:
        return replace(wanted, text=tuple(name for name in names if name in texts) or tuple(names))
    missing = [name for name in wanted.named if name not in names]
    candidates = [name for name in names if name in texts and name not in wanted.named]
    if missing == list(DEFAULT) and wanted.texts == DEFAULT and len(candidates) == 1:
        wanted, missing = replace(wanted, text=tuple(candidates)), []
    if missing:
        close = difflib.get_close_matches(missing[0], names, n=1, cutoff=0.5)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        shown = ", ".join(name if len(name) <= SHOWN else f"{name[:SHOWN]}…" for name in names)
        raise UserError(f"there is no column {missing[0]!r}{hint} (columns: {shown})", place=file.path, way_out=way_out)
    if twice := [name for name in wanted.named if names.count(name) > 1]:
        raise UserError(f"there are two columns {twice[0]!r}", place=file.path, way_out="rename one of them")
    return wanted


def document(
    row: Mapping[str, Any], columns: Columns, file: File, number: int, sound: bool = False
) -> Document | BadRow:
    """`sound` where every text is known to be whole characters, and need not be looked through for that."""
    try:
        names = [name for name in columns.texts if isinstance(row.get(name), str)] if columns.every else columns.texts
        text = "\n".join([_text(row, name, sound) for name in names])
        if not text or text.isspace():
            return BadRow(file.row(number), "empty text")
        prompt = "" if columns.prompt is None else _text(row, columns.prompt, sound)
        label = None if columns.label is None else _label(row, columns.label)
    except _Unusable as unusable:
        return BadRow(file.row(number), str(unusable))
    return Document(text, prompt, label, place=file.row(number))


class _Unusable(Exception):
    """Why a row gives no document. Reasons are counted, so they hold no numbers or texts of the row."""


def _text(row: Mapping[str, Any], name: str, sound: bool = False) -> str:
    value = _value(row, name)
    try:
        if isinstance(value, bytes):
            return value.decode("utf-8")
        if isinstance(value, str):
            sound or value.isascii() or value.encode("utf-8")
            return value
    except UnicodeDecodeError as error:
        raise _Unusable(f"invalid UTF-8: {error.reason}") from error
    except UnicodeEncodeError as error:  # half of a pair, which JSON may spell out
        raise _Unusable("invalid UTF-8: what stands there is no character") from error
    raise _Unusable(f"{name} is {_kind(value)}, not text")


def _label(row: Mapping[str, Any], name: str) -> str | int:
    value = _value(row, name)
    if isinstance(value, int):
        return int(value)
    if not isinstance(value, str | bytes):
        raise _Unusable(f"{name} is {_kind(value)}, neither text nor a whole number")
    text = _text(row, name)
    if not text or text.isspace():
        raise _Unusable(f"empty {name}")
    return text


def _value(row: Mapping[str, Any], name: str) -> Any:
    if name not in row:
        raise _Unusable(f"no {name}")
    value = row[name]
    if value is None:
        raise _Unusable(f"null {name}")
    return value


def _kind(value: Any) -> str:
    kinds = {bool: "true or false", int: "a number", float: "a decimal number", list: "a list", dict: "an object"}
    return kinds.get(type(value), type(value).__name__)
