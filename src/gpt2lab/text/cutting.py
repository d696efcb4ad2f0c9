"""A file cut in parts of whole rows: the same parts whoever reads them, and however many there are to do it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise
from pathlib import Path

from gpt2lab.core.errors import UserError
from gpt2lab.text.documents import BadRow, Document
from gpt2lab.text.opening import Stream, is_compressed, open_text, unreadable

PIECE_BYTES = 16 << 20

Rows = Iterator[Document | BadRow]
Part = tuple[int, Callable[[], Rows]]  # bytes on disk, and what reads them


@dataclass(frozen=True)
class File:
    path: Path
    name: str  # relative to the folder that all files of the source share

    def row(self, number: int) -> str:
        return f"{self.name}, row {number}"

    @property
    def size(self) -> int:
        try:
            return self.path.stat().st_size
        except OSError as error:
            raise unreadable(self.path, error) from error


@dataclass(frozen=True)
class Span:
    """Bytes of a plain file, read where they are needed."""

    path: Path
    start: int
    stop: int


def content(held: bytes | Span) -> bytes:
    if isinstance(held, bytes):
        return held
    try:
        with held.path.open("rb") as file:
            file.seek(held.start)
            data = file.read(held.stop - held.start)
    except OSError as error:
        raise unreadable(held.path, error) from error
    if len(data) < held.stop - held.start:
        raise UserError("the file became shorter while it was read", place=held.path, way_out="start again")
    return data


@dataclass(frozen=True)
class Stretch:
    """Whole rows of a file, the number of the first, and what reads them."""

    read: Callable[[bytes | Span, int], Rows]
    held: bytes | Span
    first: int

    def __call__(self) -> Rows:
        return self.read(self.held, self.first)

    def in_a_file(self, path: Path) -> Stretch:
        """With its bytes at `path`, where another process finds them many times faster than through a pipe."""
        if isinstance(self.held, Span):
            return self
        path.write_bytes(self.held)
        return replace(self, held=Span(path, 0, len(self.held)))


def cut(
    file: File,
    whole_rows: Callable[[Stream], Iterator[tuple[bytes, int]]],
    read: Callable[[bytes | Span, int], Rows],
) -> Iterator[Part]:
    """`whole_rows` takes bytes from the file and counts their rows; `read` gets them with the number of the first."""
    stream, start = open_text(file.path)
    with stream:
        row, before = 1, 0
        for data, rows in whole_rows(stream):
            held = data if is_compressed(file.path) else Span(file.path, start, start + len(data))
            needed = stream.on_disk()
            yield needed - before, Stretch(read, held, row)
            start, row, before = start + len(data), row + rows, needed


def whole_lines(stream: Stream, piece_bytes: int) -> Iterator[tuple[bytes, int]]:
    while data := stream.read(piece_bytes) + stream.readline():
        yield data, data.count(b"\n")


def shares(size: int, weights: Sequence[int]) -> list[int]:
    """A file's size among its parts by their weights; nothing is lost to rounding."""
    whole = sum(weights) or 1
    return [right - left for left, right in pairwise(size * sum_ // whole for sum_ in accumulate(weights, initial=0))]
