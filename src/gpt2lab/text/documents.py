"""What sources give: documents, and rows that hold none, each in pieces that one process can read by itself."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol


@dataclass(frozen=True)
class Document:
    text: str
    prompt: str = ""  # stands before the text and is read, never a target
    label: str | int | None = None
    continues: bool = False  # the document before it goes on: a long text comes in several pieces
    in_pieces: bool = False  # this is one of several pieces of a document
    place: str = field(default="", compare=False)  # `reviews.csv, row 17`, where there is such a place


@dataclass(frozen=True)
class BadRow:
    """A row without a document: never dropped in silence, always counted and named."""

    place: str  # `reviews.csv, row 17`
    reason: str  # `null text`


class Piece(Protocol):
    """Part of a source. It can be pickled, and gives the same documents whenever and wherever it is read."""

    @property
    def split(self) -> str | None:
        """train, validation or test where the source says so itself."""
        ...

    @property
    def size(self) -> int:
        """Bytes to read, for progress."""
        ...

    def documents(self) -> Iterator[Document | BadRow]: ...


class Source(Protocol):
    """Pieces in a fixed order, which does not depend on how many processes read them."""

    @property
    def size(self) -> int | None:
        """Bytes of all pieces together, where that is known before reading them."""
        ...

    @property
    def splits(self) -> list[str]:
        """Train, validation, test: those that the source itself tells apart, known before anything is read."""
        ...

    def only(self, split: str) -> Source:
        """The pieces of one of them."""
        ...

    def pieces(self) -> Iterator[Piece]: ...

    def describe(self) -> dict[str, Any]:
        """What the manifest keeps and what must not change between an interruption and its continuation."""
        ...


PIECE_CHARACTERS = 8_000_000


@dataclass(frozen=True)
class InlinePiece:
    """Documents that were made or cut out by the process that hands them on."""

    rows: tuple[Document | BadRow, ...]
    split: str | None
    size: int

    def documents(self) -> Iterator[Document | BadRow]:
        return iter(self.rows)


def inline_pieces(rows: Iterable[Document | BadRow], split: str | None) -> Iterator[InlinePiece]:
    """A stream of documents in pieces of a few megabytes, cut at the same places every time."""
    waiting: list[Document | BadRow] = []
    size = 0
    for row in rows:
        waiting.append(row)
        size += len(row.text) if isinstance(row, Document) else 0
        if size >= PIECE_CHARACTERS:
            yield InlinePiece(tuple(waiting), split, size)
            waiting, size = [], 0
    if waiting:
        yield InlinePiece(tuple(waiting), split, size)
