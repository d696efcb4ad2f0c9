"""Tables of comma or tab separated values, with a header or without. A quoted cell may go over several lines.

Between tabs a quote is a character like any other, unless the file is quoted: see `_is_plain`.
"""

from __future__ import annotations

import csv
import io
import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice

from gpt2lab.core.console import counted
from gpt2lab.text.columns import DEFAULT, Columns, choose, document
from gpt2lab.text.cutting import File, Part, Rows, Span, content, cut
from gpt2lab.text.documents import BadRow
from gpt2lab.text.opening import Stream, open_text

CELL_CHARACTERS = 1 << 24  # a quote that is never closed must not swallow all the rest of a large file
UNEXPECTED_END = "unexpected end of data"
NEVER_CLOSED = "a quote is never closed"
SAMPLE_BYTES = 1 << 20
AG_NEWS = ("label", "title", "description")
AG_NEWS_HEADERS = (AG_NEWS, ("class index", "title", "description"))
WHOLE_NUMBER = re.compile(r"0|-?[1-9][0-9]{0,17}")
NUMBER = re.compile(r"[-+]?[0-9]*\.?[0-9]+([eE][-+]?[0-9]+)?")
WAY_OUT = "name the columns, data.text=title,description data.label=category, or count them, data.text=1,2 data.label=0"

SEMICOLONS = "its columns seem to stand between semicolons: write commas (.csv) or tabs (.tsv) there"

CsvRows = Iterator[tuple[list[str] | str, int]]  # cells, or why there are none; and how many lines they took
Read = Callable[[Iterable[str]], CsvRows]


@dataclass(frozen=True)
class Table:
    file: File
    read: Read
    names: tuple[str, ...]
    columns: Columns
    header: int | None  # the row it stands in


def parts(file: File, columns: Columns, piece_bytes: int, delimiter: str) -> Iterator[Part]:
    read = _plain_rows if delimiter == "\t" and _is_plain(file) else partial(_quoted_rows, delimiter=delimiter)
    beginning = _beginning(file, read)
    table = _table(file, read, columns, beginning) if beginning else Table(file, read, (), columns, None)
    return cut(file, partial(whole_rows, read=read, piece_bytes=piece_bytes), partial(_rows, table))


def whole_rows(stream: Stream, read: Read, piece_bytes: int) -> Iterator[tuple[bytes, int]]:
    ahead: deque[bytes] = deque()
    held: list[bytes] = []
    size = rows = 0

    def lines() -> Iterator[str]:
        for line in stream:
            ahead.append(line)
            yield line.decode("utf-8", "surrogateescape")

    for _, count in read(lines()):
        for _ in range(count):
            held.append(ahead.popleft())
            size += len(held[-1])
        rows += 1
        if size >= piece_bytes:
            yield b"".join(held), rows
            held.clear()
            size = rows = 0
    if held:
        yield b"".join(held), rows


def _quoted_rows(lines: Iterable[str], delimiter: str) -> CsvRows:
    """A quote that is never closed costs its row alone: reading goes on at the next line, wherever reading began."""
    csv.field_size_limit(CELL_CHARACTERS)
    source, again, taken = iter(lines), deque[str](), list[str]()

    def next_lines() -> Iterator[str]:
        while (line := again.popleft() if again else next(source, None)) is not None:
            taken.append(line)
            yield line

    while True:
        reader = csv.reader(next_lines(), delimiter=delimiter, strict=True)
        try:
            for cells in reader:
                yield cells, len(taken)
                taken.clear()
            return
        except csv.Error as error:
            open_quote = len(taken) > 1 or str(error) == UNEXPECTED_END
            again.extendleft(reversed(taken[1:]))
            taken.clear()
            yield NEVER_CLOSED if open_quote else str(error), 1


def _plain_rows(lines: Iterable[str]) -> CsvRows:
    """A row a line. A cell is quoted if it begins and ends with a quote and has none inside but doubled ones."""
    for line in lines:
        text = line.removesuffix("\n").removesuffix("\r")
        yield [_unquoted(cell) for cell in text.split("\t")] if text else [], 1


def _unquoted(cell: str) -> str:
    inside = cell[1:-1].replace('""', "")
    quoted = len(cell) > 1 and cell[0] == cell[-1] == '"' and '"' not in inside
    return cell[1:-1].replace('""', '"') if quoted else cell


def _is_plain(file: File) -> bool:
    """Whether tab separated text is a row a line, as most of it is, where a text may well begin with a quote.

    It is not if more rows become sound when quoted cells may hold tabs and line ends.
    """
    stream, _ = open_text(file.path)
    with stream:
        sample = (stream.read(SAMPLE_BYTES) + stream.readline()).decode("utf-8", "surrogateescape")
    lines = io.StringIO(sample, newline="\n").readlines()
    width = lines[0].count("\t") + 1 if lines else 1

    def sound(rows: CsvRows) -> int:
        return sum(1 if isinstance(cells, list) and len(cells) == width else -1 for cells, _ in rows if cells)

    return width > 1 and sound(_plain_rows(lines)) >= sound(_quoted_rows(lines, "\t"))


def _rows(table: Table, held: bytes | Span, first: int) -> Rows:
    lines = io.TextIOWrapper(io.BytesIO(content(held)), "utf-8", errors="surrogateescape", newline="\n")
    width, label = len(table.names), table.columns.label
    for number, (cells, _) in enumerate(table.read(lines), first):
        if isinstance(cells, str):
            yield BadRow(table.file.row(number), f"not valid csv: {cells}")
        elif not cells or number == table.header:
            continue
        elif len(cells) != width:
            yield BadRow(table.file.row(number), f"{counted(len(cells), 'cell')}, not {width}")
        else:
            row: dict[str, str | int] = dict(zip(table.names, cells))
            if label is not None and WHOLE_NUMBER.fullmatch(cells[table.names.index(label)]):
                row[label] = int(row[label])
            yield document(row, table.columns, table.file, number)


def _beginning(file: File, read: Read) -> list[tuple[int, list[str]]]:
    """The first two rows that are neither blank nor broken, with their numbers."""
    stream, _ = open_text(file.path)
    with stream:
        lines = (line.decode("utf-8", "surrogateescape") for line in stream)
        rows = enumerate(read(lines), 1)
        return list(islice(((number, cells) for number, (cells, _) in rows if cells and isinstance(cells, list)), 2))


def _table(file: File, read: Read, wanted: Columns, beginning: list[tuple[int, list[str]]]) -> Table:
    (header, cells), second = beginning[0], beginning[-1][1]
    first = [cell.strip() for cell in cells]
    names, texts = tuple(first), _text_columns(first, second)
    if wanted.every or all(name.isdecimal() for name in wanted.named):
        header, names = None, tuple(str(number) for number in range(len(first)))
    elif not set(wanted.named) <= set(first) and _is_ag_news(first):
        header, names = None if WHOLE_NUMBER.fullmatch(first[0]) else header, AG_NEWS
        wanted = replace(wanted, text=AG_NEWS[1:]) if wanted.texts == DEFAULT else wanted
    way_out = SEMICOLONS if len(names) == 1 and ";" in names[0] else WAY_OUT
    return Table(file, read, names, choose(wanted, names, texts, file, way_out), header)


def _is_ag_news(first: list[str]) -> bool:
    without_header = len(first) == len(AG_NEWS) and WHOLE_NUMBER.fullmatch(first[0]) is not None
    return without_header or tuple(cell.casefold() for cell in first) in AG_NEWS_HEADERS


def _text_columns(first: list[str], second: list[str]) -> set[str]:
    """Known only if a number stands below a name: otherwise nothing says that the first row holds names."""
    numbers = [NUMBER.fullmatch(cell) is not None for cell in second]
    if any(NUMBER.fullmatch(cell) for cell in first) or not any(numbers):
        return set()
    return {name for name, number in zip(first, numbers) if not number}
