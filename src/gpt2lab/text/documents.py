"""What sources give: documents, and rows that hold none, each in pieces that one process can read by itself."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True)
class Document:
    text: str
    prompt: str = ""  # stands before the text and is read, never a target
    label: str | int | None = None


@dataclass(frozen=True)
class BadRow:
    """A row without a document: never dropped in silence, always counted and named."""

    place: str  # `reviews.csv, row 17`
    reason: str  # `null text`


class Piece(Protocol):
    """Part of a source. It can be pickled, and gives the same documents whenever and wherever it is read."""

    split: str | None  # train, validation or test where the source says so itself
    size: int  # bytes to read, for progress

    def documents(self) -> Iterator[Document | BadRow]: ...


class Source(Protocol):
    """Pieces in a fixed order, which does not depend on how many processes read them."""

    size: int  # bytes of all pieces together

    def pieces(self) -> Iterator[Piece]: ...

    def describe(self) -> dict[str, Any]:
        """What the manifest keeps and what must not change between an interruption and its continuation."""
        ...
