"""Parquet by row groups, and Arrow's own files and streams by record batches."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from gpt2lab.core.errors import UserError
from gpt2lab.text.columns import Columns, choose, document
from gpt2lab.text.cutting import File, Part, Rows, shares
from gpt2lab.text.opening import BUFFER, unreadable

if TYPE_CHECKING:
    import pyarrow

ROWS_AT_ONCE = 256
FILE_MARK = b"ARROW1"
PADDED_MARK = 8  # an Arrow file is this mark, a stream, and a footer


def parquet_parts(file: File, columns: Columns, piece_bytes: int) -> Iterator[Part]:
    from pyarrow import parquet

    with _reading(file), parquet.ParquetFile(file.path) as table:
        columns = choose(columns, _existing(table.schema_arrow), file)
        groups = [table.metadata.row_group(number) for number in range(table.num_row_groups)]
        rows, weights = [group.num_rows for group in groups], [group.total_byte_size for group in groups]
    starts = _starts(weights, piece_bytes)
    stops = [*starts[1:], len(groups)]
    sizes = shares(file.size, [sum(weights[start:stop]) for start, stop in zip(starts, stops)])
    for start, stop, size in zip(starts, stops, sizes):
        yield size, partial(_parquet_rows, file, columns, range(start, stop), 1 + sum(rows[:start]))


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
        yield from _documents(batches, columns, file, first)


def arrow_parts(file: File, columns: Columns, piece_bytes: int) -> Iterator[Part]:
    import pyarrow

    with _reading(file), _stream(file) as source, pyarrow.ipc.open_stream(source) as table:
        schema, stop = table.schema, source.tell()
    columns = choose(columns, _existing(schema), file)
    if any(pyarrow.types.is_dictionary(field.type) for field in schema):  # later batches need what earlier ones brought
        yield file.size, partial(_all_arrow_rows, file, columns)
        return
    first = 1
    while True:
        start, rows = stop, 0
        with _reading(file), _stream(file) as source:  # a new map each time: what is mapped counts as memory
            for batch in _batches(source, schema, start):
                rows, stop = rows + batch.num_rows, source.tell()
                if stop - start >= piece_bytes:
                    break
        if stop == start:
            return
        yield stop - start, partial(_arrow_rows, file, columns, start, stop, first)
        first += rows


def _arrow_rows(file: File, columns: Columns, start: int, stop: int, first: int) -> Rows:
    import pyarrow

    with _reading(file), _stream(file) as source:
        schema = pyarrow.ipc.read_schema(source)
        yield from _documents(_batches(source, schema, start, stop), columns, file, first)


def _all_arrow_rows(file: File, columns: Columns) -> Rows:
    import pyarrow

    with _reading(file), _stream(file) as source, pyarrow.ipc.open_stream(source) as batches:
        yield from _documents(batches, columns, file, 1)


def _batches(
    source: pyarrow.NativeFile, schema: pyarrow.Schema, start: int, stop: int | None = None
) -> Iterator[pyarrow.RecordBatch]:
    import pyarrow

    source.seek(start)
    while stop is None or source.tell() < stop:
        try:
            message = pyarrow.ipc.read_message(source)
        except EOFError:
            return
        yield pyarrow.ipc.read_record_batch(message, schema)


@contextlib.contextmanager
def _stream(file: File) -> Iterator[pyarrow.NativeFile]:
    """The stream, also where it stands inside an Arrow file."""
    import pyarrow

    with pyarrow.memory_map(str(file.path)) as source:
        if source.read(len(FILE_MARK)) == FILE_MARK:
            source.seek(source.size() - len(FILE_MARK))
            if source.read() != FILE_MARK:
                raise UserError("the file is cut short: its end is missing", place=file.path, way_out=WAY_OUT)
            source.seek(PADDED_MARK)
        else:
            source.seek(0)
        yield source


WAY_OUT = "get the file again"


@contextlib.contextmanager
def _reading(file: File) -> Iterator[None]:
    import pyarrow

    try:
        yield
    except (pyarrow.ArrowException, OSError, EOFError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise unreadable(file.path, error) from error
        raise UserError(f"the file is damaged or cut short: {error}", place=file.path, way_out=WAY_OUT) from error


def _documents(batches: Iterable[pyarrow.RecordBatch], columns: Columns, file: File, first: int) -> Rows:
    for batch in batches:
        for start in range(0, batch.num_rows, ROWS_AT_ONCE):
            part = batch.slice(start, ROWS_AT_ONCE)
            cells = [_values(part.column(name)) for name in columns.named]
            for number, row in enumerate(zip(*cells), first):
                yield document(dict(zip(columns.named, row)), columns, file, number)
            first += part.num_rows


def _values(column: pyarrow.Array) -> list[Any]:
    """Texts that are not UTF-8 come as bytes."""
    import pyarrow

    try:
        column.validate(full=True)
    except pyarrow.ArrowInvalid:
        column = column.cast(pyarrow.large_binary())
        column.validate(full=True)
    return column.to_pylist()


def _existing(schema: pyarrow.Schema) -> dict[str, bool]:
    import pyarrow

    def holds_text(kind: pyarrow.DataType) -> bool:
        is_text = (pyarrow.types.is_string, pyarrow.types.is_large_string, pyarrow.types.is_string_view)
        return any(check(kind.value_type if pyarrow.types.is_dictionary(kind) else kind) for check in is_text)

    return {field.name: holds_text(field.type) for field in schema}
