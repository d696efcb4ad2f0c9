"""JSON: an object a line, a list of objects, or one object."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from functools import partial
from itertools import islice
from typing import Any

from gpt2lab.text.columns import Columns, choose, document
from gpt2lab.text.cutting import File, Part, Rows, Span, content, cut, whole_lines
from gpt2lab.text.documents import BadRow, Document
from gpt2lab.text.json_rows import exactly, parse
from gpt2lab.text.opening import UTF8_MARK, UTF16, UTF16_MARKS, open_binary, open_text

SAMPLE_BYTES = 1 << 20
SAMPLE_ROWS = 100


def line_parts(file: File, columns: Columns, piece_bytes: int) -> Iterator[Part]:
    stream, _ = open_text(file.path)
    with stream:
        sample = stream.read(SAMPLE_BYTES) + stream.readline()
    columns = _choose(columns, _parsed(sample.split(b"\n")), file)
    return cut(file, partial(whole_lines, piece_bytes=piece_bytes), partial(_lines, file, columns))


def whole_parts(file: File, columns: Columns, piece_bytes: int) -> Iterator[Part]:
    """One part: a list cannot be cut without reading all of it."""
    yield file.size, partial(_whole, file, columns)


def _lines(file: File, columns: Columns, held: bytes | Span, first: int) -> Rows:
    for number, line in enumerate(content(held).split(b"\n"), first):
        if line and not line.isspace():
            try:
                row, sound = parse(line)
                if columns.label and isinstance(row, dict) and isinstance(row.get(columns.label), float):
                    row = exactly(line)
            except (ValueError, RecursionError) as error:
                yield BadRow(file.row(number), _reason(error))
            else:
                yield _document(row, columns, file, number, sound)


def _whole(file: File, columns: Columns) -> Rows:
    with open_binary(file.path) as stream:
        data = stream.read().removeprefix(UTF8_MARK)
    if data.startswith(UTF16_MARKS):
        yield BadRow(file.name, UTF16)
        return
    try:
        value = json.loads(data.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        if isinstance(error, json.JSONDecodeError) and error.msg == "Extra data":  # JSON lines, called .json by many
            yield from _lines(file, _choose(columns, _parsed(data.split(b"\n")), file), data, 1)
        else:
            line = f", line {error.lineno}" if isinstance(error, json.JSONDecodeError) else ""
            yield BadRow(f"{file.name}{line}", _reason(error))
        return
    rows = value if isinstance(value, list) else [value]
    columns = _choose(columns, rows, file)
    for number, row in enumerate(rows, 1):
        yield _document(row, columns, file, number)


def _document(row: Any, columns: Columns, file: File, number: int, sound: bool = False) -> Document | BadRow:
    if isinstance(row, dict):
        return document(row, columns, file, number, sound)
    return BadRow(file.row(number), "not an object")


def _reason(error: Exception) -> str:
    if isinstance(error, UnicodeDecodeError):
        return f"invalid UTF-8: {error.reason}"
    return f"not valid JSON: {error.msg if isinstance(error, json.JSONDecodeError) else 'too deep or too long'}"


def _choose(columns: Columns, rows: Iterable[Any], file: File) -> Columns:
    """By the keys of the first rows. A key holds text if it never holds anything else."""
    found: dict[str, bool] = {}
    for row in islice((row for row in rows if isinstance(row, dict)), SAMPLE_ROWS):
        for name, value in row.items():
            found[name] = (value is None or isinstance(value, str)) and found.get(name, True)
    texts = {name for name, holds_text in found.items() if holds_text}
    return choose(columns, list(found), texts, file) if found else columns


def _parsed(lines: Iterable[bytes]) -> Iterator[Any]:
    for line in lines:
        try:
            yield exactly(line)
        except (ValueError, RecursionError):
            continue
