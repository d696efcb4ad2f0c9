"""Parquet by row groups, and Arrow's own files and streams by record batches."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gpt2lab.core.errors import UserError
from gpt2lab.text.columns import Columns, choose, document
from gpt2lab.text.cutting import File, Part, Rows, shares
from gpt2lab.text.documents import Document
from gpt2lab.text.opening import BUFFER, unreadable

if TYPE_CHECKING:
    import pyarrow

ROWS_AT_ONCE = 256
FILE_MARK = b"ARROW1"
PADDED_MARK = 8  # an Arrow file is this mark, a stream, a footer, its length, and the mark again
FOOTER_LENGTH = 4
PADDING = 64  # less than any batch needs


def parquet_parts(file: File, columns: Columns, piece_bytes: int) -> Iterator[Part]:
    from pyarrow import parquet

    with _reading(file), parquet.ParquetFile(file.path) as table:
        columns = _choose(columns, table.schema_arrow, file)
        groups = [table.metadata.row_group(number) for number in range(table.num_row_groups)]
        rows, weights = [group.num_rows for group in groups], [group.total_byte_size for group in groups]
    starts = _starts(weights, piece_bytes)
    stops = [*starts[1:], len(groups)]
    sizes = shares(file.size, [sum(weights[start:stop]) for start, stop in zip(starts, stops)])
    firsts = [1 + before for before in accumulate(rows, initial=0)]
    return (
        (size, partial(_parquet_rows, file, columns, range(start, stop), firsts[start]))
        for start, stop, size in zip(starts, stops, sizes)
    )


def parquet_records(path: Path) -> Iterator[dict[str, Any]]:
    """Rows as they stand, with all their columns."""
    from pyarrow import parquet

    with _reading(File(path, path.name)), parquet.ParquetFile(path) as table:
        for batch in table.iter_batches():
            yield from batch.to_pylist()


def _starts(weights: Sequence[int], enough: int) -> list[int]:
    """Where to begin a new piece so that each but the last has enough."""
    starts, held = [], enough
    for number, weight in enumerate(weights):
        if held >= enough:
            starts.append(number)
            held = 0
        held += weight
    return starts


def _parquet_rows(file: File, columns: Columns, groups: Sequence[int], first: int) -> Rows:
    from pyarrow import parquet

    # A file may be one row group of gigabytes: it is streamed, not fetched ahead.
    with _reading(file), parquet.ParquetFile(file.path, buffer_size=BUFFER, pre_buffer=False) as table:
        batches = table.iter_batches(ROWS_AT_ONCE, row_groups=list(groups), columns=columns.named)
        stop = first + sum(table.metadata.row_group(group).num_rows for group in groups)
        for row in _documents(batches, columns, file, first):
            yield row
            first += 1
        if first != stop:
            raise _damaged(file, "a column has fewer values than there are rows")


def arrow_parts(file: File, columns: Columns, piece_bytes: int) -> Iterator[Part]:
    from pyarrow import ipc

    with _reading(file), _stream(file) as source, ipc.open_stream(source) as table:
        schema, start = table.schema, source.tell()
        columns = _choose(columns, schema, file)
    if "dictionary<" in str(schema):  # later batches need what earlier ones brought
        return iter([(file.size, partial(_all_arrow_rows, file, columns))])
    return _arrow_parts(file, columns, piece_bytes, schema, start)


def _arrow_parts(file: File, columns: Columns, piece_bytes: int, schema: pyarrow.Schema, stop: int) -> Iterator[Part]:
    first = 1
    while True:
        start, rows = stop, 0
        with _reading(file), _stream(file) as source:  # a new map each time: what is mapped counts as memory
            source.seek(start)
            for batch in _batches(source, schema, _end(source)):
                rows, stop = rows + batch.num_rows, source.tell()
                if stop - start >= piece_bytes:
                    break
            else:
                _check_end(file, source)
        if stop == start:
            return
        yield stop - start, partial(_arrow_rows, file, columns, start, stop, first)
        first += rows


def _arrow_rows(file: File, columns: Columns, start: int, stop: int, first: int) -> Rows:
    import pyarrow

    with _reading(file), _stream(file) as source:
        schema = pyarrow.ipc.read_schema(source)
        source.seek(start)
        yield from _documents(_batches(source, schema, stop), columns, file, first)


def _all_arrow_rows(file: File, columns: Columns) -> Rows:
    import pyarrow

    with _reading(file), _stream(file) as source, pyarrow.ipc.open_stream(source) as batches:
        yield from _documents(batches, columns, file, 1)
        _check_end(file, source)


def _batches(source: pyarrow.NativeFile, schema: pyarrow.Schema, stop: int) -> Iterator[pyarrow.RecordBatch]:
    from pyarrow import ipc

    while source.tell() < stop:
        try:
            message = ipc.read_message(source)
        except EOFError:
            return
        yield ipc.read_record_batch(message, schema)


@contextlib.contextmanager
def _stream(file: File) -> Iterator[pyarrow.NativeFile]:
    """The stream, also where it stands inside an Arrow file."""
    import pyarrow

    with pyarrow.memory_map(str(file.path)) as source:
        is_file = source.read(len(FILE_MARK)) == FILE_MARK
        if is_file and source.read_at(len(FILE_MARK), source.size() - len(FILE_MARK)) != FILE_MARK:
            raise _damaged(file, "its end is missing")
        source.seek(PADDED_MARK if is_file else 0)
        yield source


def _end(source: pyarrow.NativeFile) -> int:
    """Where the stream ends: with the source, or before the footer of an Arrow file."""
    size = source.size()
    if source.read_at(len(FILE_MARK), 0) != FILE_MARK:
        return size
    behind = len(FILE_MARK) + FOOTER_LENGTH
    return size - behind - int.from_bytes(source.read_at(FOOTER_LENGTH, size - behind), "little")


def _check_end(file: File, source: pyarrow.NativeFile) -> None:
    if abs(_end(source) - source.tell()) > PADDING:
        raise _damaged(file, "it says that it ends before it does")


@contextlib.contextmanager
def _reading(file: File) -> Iterator[None]:
    import pyarrow

    try:
        yield
    except (pyarrow.ArrowException, OSError, EOFError, UnicodeDecodeError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise unreadable(file.path, error) from error
        raise _damaged(file, str(error)) from error


def _damaged(file: File, cause: str) -> UserError:
    return UserError(f"the file is damaged or cut short: {cause}", place=file.path, way_out="get the file again")


def _documents(batches: Iterable[pyarrow.RecordBatch], columns: Columns, file: File, first: int) -> Rows:
    names = columns.named
    for batch in batches:
        for start in range(0, batch.num_rows, ROWS_AT_ONCE):
            part = batch.slice(start, ROWS_AT_ONCE)
            cells = [_values(part.column(name)) for name in names]
            if len(names) == 1:
                yield from _texts(cells[0], columns, file, first)
            else:
                for number, row in enumerate(zip(*cells), first):
                    yield document(dict(zip(names, row)), columns, file, number)
            first += part.num_rows


def _texts(values: Iterable[Any], columns: Columns, file: File, first: int) -> Rows:
    """The only column; what is not plainly text goes the way of all rows."""
    for number, value in enumerate(values, first):
        if isinstance(value, str) and value and not value.isspace():
            yield Document(value, place=file.row(number))
        else:
            yield document({columns.named[0]: value}, columns, file, number)


def _values(column: pyarrow.Array) -> list[Any]:
    """Texts that are not UTF-8 come as bytes."""
    import pyarrow

    try:
        column.validate(full=True)
    except pyarrow.ArrowInvalid:
        column = column.cast(pyarrow.large_binary())
        column.validate(full=True)
    return column.to_pylist()


def _choose(columns: Columns, schema: pyarrow.Schema, file: File) -> Columns:
    texts = {field.name for field in schema if _holds_text(field.type)}
    return choose(columns, schema.names, texts, file)


def _holds_text(kind: pyarrow.DataType) -> bool:
    from pyarrow import types

    inner = kind.value_type if types.is_dictionary(kind) else kind
    return types.is_string(inner) or types.is_large_string(inner) or types.is_string_view(inner)
