"""Plain text: one document a file, in several pieces where it is long."""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from functools import partial

from gpt2lab.core.errors import UserError
from gpt2lab.text.columns import UNNAMED, Columns
from gpt2lab.text.cutting import File, Part, Rows, Span, content, cut
from gpt2lab.text.documents import BadRow, Document
from gpt2lab.text.opening import BUFFER, UTF16, UTF16_MARKS, Stream, open_binary

BORDER_BYTES = 1 << 16  # in which the end of a word is looked for


def parts(file: File, columns: Columns, piece_bytes: int) -> Iterator[Part]:
    if columns.named != UNNAMED.named:
        raise UserError(
            "a text file has no columns, yet columns are named",
            place=file.path,
            way_out="leave out the file or the names",
        )
    return _parts(file, piece_bytes)


def _parts(file: File, piece_bytes: int) -> Iterator[Part]:
    bad, size = _checked(file)
    if bad:
        yield file.size, partial(_one, bad)
    else:
        yield from cut(file, partial(whole_words, piece_bytes=piece_bytes), partial(_text, file, size > piece_bytes))


def whole_words(stream: Stream, piece_bytes: int) -> Iterator[tuple[bytes, int]]:
    """Cut between a word and the white space after it: no token of GPT-2 has both, so its encoding stays the same."""
    held = stream.read(piece_bytes)
    while more := stream.read(piece_bytes):
        if border := _border(held):
            yield held[:border], 1
            held = held[border:]
        held += more
    yield held, 1


def _border(data: bytes) -> int:
    """Where the last white space begins, or 0."""
    tail = data[-BORDER_BYTES:]
    while len(words := tail.rsplit(None, 1)) == 2:
        tail = words[0]
        before = tail[-4:].decode("utf-8", "ignore")
        if before and not before[-1].isspace():
            return max(0, len(data) - BORDER_BYTES) + len(tail)
    return 0


def _checked(file: File) -> tuple[BadRow | None, int]:
    """What is wrong, and the size: known before the first piece goes out, for a document is whole or is not there."""
    decoder, line, size = codecs.getincrementaldecoder("utf-8")(), 1, 0
    with open_binary(file.path) as stream:
        if stream.peek(2).startswith(UTF16_MARKS):
            return BadRow(file.name, UTF16), size
        try:
            while block := stream.read(BUFFER):
                size += len(block)
                decoder.decode(block)
                line += block.count(b"\n")
            decoder.decode(b"", final=True)
        except UnicodeDecodeError as error:
            line += error.object[: error.start].count(b"\n")
            return BadRow(f"{file.name}, line {line}", f"invalid UTF-8: {error.reason}"), size
    return None, size


def _one(bad: BadRow) -> Rows:
    yield bad


def _text(file: File, in_pieces: bool, held: bytes | Span, number: int) -> Rows:
    text = content(held).decode("utf-8")
    if number == 1 and (not text or text.isspace()):
        yield BadRow(file.name, "empty text")
    else:
        yield Document(text, continues=number > 1, in_pieces=in_pieces, place=file.name)
