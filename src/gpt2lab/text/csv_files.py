"""Tables of comma or tab separated values, with a header or without. A row may go over several lines."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice

from gpt2lab.core.console import counted
from gpt2lab.text.columns import DEFAULT, Columns, choose, document
from gpt2lab.text.cutting import File, Part, Rows, Span, content, cut
from gpt2lab.text.documents import BadRow
from gpt2lab.text.opening import Stream, open_text

CELL_CHARACTERS = 1 << 24  # a quote that is never closed must not swallow all the rest of a large file
NEVER_CLOSED = "unexpected end of data"
AG_NEWS = ("label", "title", "description")
AG_NEWS_HEADERS = (AG_NEWS, ("class index", "title", "description"))
WHOLE_NUMBER = re.compile(r"0|-?[1-9][0-9]{0,17}")
NUMBER = re.compile(r"[-+]?[0-9]*\.?[0-9]+([eE][-+]?[0-9]+)?")
WAY_OUT = "name the columns, data.text=title,description data.label=category, or count them, data.text=1,2 data.label=0"

SEMICOLONS = "its columns seem to stand between semicolons: write commas (.csv) or tabs (.tsv) there"


@dataclass(frozen=True)
class Table:
    file: File
    delimiter: str
    names: tuple[str, ...]
    columns: Columns
    header: int | None  # the row it stands in


def parts(file: File, columns: Columns, piece_bytes: int, delimiter: str) -> Iterator[Part]:
    beginning = _beginning(file, delimiter)
    table = _table(file, delimiter, columns, beginning) if beginning else Table(file, delimiter, (), columns, None)
    return cut(file, partial(whole_rows, delimiter=delimiter, piece_bytes=piece_bytes), partial(_rows, table))


def whole_rows(stream: Stream, delimiter: str, piece_bytes: int) -> Iterator[tuple[bytes, int]]:
    held: list[bytes] = []
    size = rows = 0

    def lines() -> Iterator[str]:
        nonlocal size
        for line in stream:
            held.append(line)
            size += len(line)
            yield line.decode("utf-8", "surrogateescape")

    for _ in _records(lines(), delimiter):
        rows += 1
        if size >= piece_bytes:
            yield b"".join(held), rows
            held.clear()
            size = rows = 0
    if held:
        yield b"".join(held), rows


def _records(lines: Iterable[str], delimiter: str) -> Iterator[list[str] | csv.Error]:
    """Rows one by one. After a broken one reading goes on at the next line, wherever reading began."""
    csv.field_size_limit(CELL_CHARACTERS)
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    while True:
        try:
            cells = next(reader, None)
        except csv.Error as error:
            yield error
        else:
            if cells is None:
                return
            yield cells


def _rows(table: Table, held: bytes | Span, first: int) -> Rows:
    lines = io.TextIOWrapper(io.BytesIO(content(held)), "utf-8", errors="surrogateescape", newline="\n")
    width, label = len(table.names), table.columns.label
    for number, cells in enumerate(_records(lines, table.delimiter), first):
        if isinstance(cells, csv.Error):
            cause = "a quote is never closed" if str(cells) == NEVER_CLOSED else str(cells)
            yield BadRow(table.file.row(number), f"not valid csv: {cause}")
        elif not cells or number == table.header:
            continue
        elif len(cells) != width:
            yield BadRow(table.file.row(number), f"{counted(len(cells), 'cell')}, not {width}")
        else:
            row: dict[str, str | int] = dict(zip(table.names, cells))
            if label is not None and WHOLE_NUMBER.fullmatch(cells[table.names.index(label)]):
                row[label] = int(row[label])
            yield document(row, table.columns, table.file, number)


def _beginning(file: File, delimiter: str) -> list[tuple[int, list[str]]]:
    """The first two rows that are neither blank nor broken, with their numbers."""
    stream, _ = open_text(file.path)
    with stream:
        lines = (line.decode("utf-8", "surrogateescape") for line in stream)
        records = enumerate(_records(lines, delimiter), 1)
        return list(islice(((number, cells) for number, cells in records if cells and isinstance(cells, list)), 2))


def _table(file: File, delimiter: str, wanted: Columns, beginning: list[tuple[int, list[str]]]) -> Table:
    (header, first), second = beginning[0], beginning[-1][1]
    names, texts = tuple(first), _text_columns(first, second)
    if wanted.every or all(name.isdecimal() for name in wanted.named):
        header, names = None, tuple(str(number) for number in range(len(first)))
    elif not set(wanted.named) <= set(first) and _is_ag_news(first):
        header, names = None if WHOLE_NUMBER.fullmatch(first[0]) else header, AG_NEWS
        wanted = replace(wanted, text=AG_NEWS[1:]) if wanted.texts == DEFAULT else wanted
    way_out = SEMICOLONS if len(names) == 1 and ";" in names[0] else WAY_OUT
    return Table(file, delimiter, names, choose(wanted, names, texts, file, way_out), header)


def _is_ag_news(first: list[str]) -> bool:
    without_header = len(first) == len(AG_NEWS) and WHOLE_NUMBER.fullmatch(first[0]) is not None
    return without_header or tuple(cell.casefold() for cell in first) in AG_NEWS_HEADERS


def _text_columns(first: list[str], second: list[str]) -> set[str]:
    """Known only if a number stands below a name: otherwise nothing says that the first row holds names."""
    numbers = [NUMBER.fullmatch(cell) is not None for cell in second]
    if any(NUMBER.fullmatch(cell) for cell in first) or not any(numbers):
        return set()
    return {name for name, number in zip(first, numbers) if not number}
