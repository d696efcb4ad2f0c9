"""Texts one after another as people hand them over: arguments, a file, or standard input; never all in memory."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO

from gpt2lab.core.errors import UserError
from gpt2lab.text.columns import DEFAULT, Columns
from gpt2lab.text.documents import BadRow
from gpt2lab.text.formats import FileSource, format_of
from gpt2lab.text.opening import UTF8_MARK, open_text
from gpt2lab.text.tokenizer import whole_characters

STANDARD_INPUT = "-"
KEYS = ("text", "prompt")  # of a JSON line, the first that is there


@dataclass(frozen=True)
class LooseText:
    text: str
    problem: str | None = None  # why there is no text


def gather(texts: Iterable[str], file: str | None, columns: tuple[str, ...] | None = None) -> Iterator[LooseText]:
    """Those given one by one, then those of the file; half characters, which JSON may spell out, become `�`."""
    for loose in chain(map(LooseText, texts), read(file, columns) if file is not None else ()):
        yield loose if loose.text.isascii() else LooseText(whole_characters(loose.text))


def read(file: str, columns: tuple[str, ...] | None = None) -> Iterator[LooseText]:
    """A `.txt` is one text a line and a `.jsonl` an object a line; tables are read by their columns.

    Standard input is lines too: of JSON where the first one is an object, else of text.
    """
    if file == STANDARD_INPUT:
        yield from _lines(sys.stdin.buffer, "standard input", None, columns)
        return
    path = Path(file)
    kind = format_of(path)
    if kind not in (".txt", ".md", ".jsonl"):
        yield from _rows(path, Columns(columns or DEFAULT))
        return
    with _opened(path) as stream:
        yield from _lines(stream, path.name, kind == ".jsonl", columns)


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    stream, _ = open_text(path)
    with stream:
        yield stream


def _lines(
    lines: Iterable[bytes], name: str, json_lines: bool | None, columns: tuple[str, ...] | None
) -> Iterator[LooseText]:
    for number, raw in enumerate(lines, 1):
        try:
            line = (raw.removeprefix(UTF8_MARK) if number == 1 else raw).decode("utf-8").rstrip("\r\n")
        except UnicodeDecodeError as error:
            yield LooseText("", f"{name}, row {number}: invalid UTF-8: {error.reason}")
            continue
        if json_lines is None:
            json_lines = isinstance(_parsed(line), dict)
        if not json_lines:
            yield LooseText(line)
        elif line and not line.isspace():
            yield _of_json(line, f"{name}, row {number}", columns)


def _of_json(line: str, place: str, columns: tuple[str, ...] | None) -> LooseText:
    row = _parsed(line)
    if not isinstance(row, dict):
        return LooseText("", f"{place}: not a JSON object")
    wanted = columns or next(((key,) for key in KEYS if key in row), None)
    if wanted is None:
        raise UserError(
            f"there is no {' or '.join(KEYS)} (there is {', '.join(row) or 'nothing'})",
            place=place,
            way_out="name the key: data.text=KEY",
        )
    texts = [row.get(key) for key in wanted]
    if wrong := [key for key, text in zip(wanted, texts) if not isinstance(text, str)]:
        return LooseText("", f"{place}: {wrong[0]} is not text")
    return LooseText("\n".join(map(str, texts)))


def _rows(path: Path, columns: Columns) -> Iterator[LooseText]:
    for piece in FileSource([path], columns).pieces():
        for row in piece.documents():
            yield LooseText("", f"{row.place}: {row.reason}") if isinstance(row, BadRow) else LooseText(row.text)


def _parsed(line: str) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None
