"""A file as a stream of bytes, plain or compressed, in memory that does not grow with the file."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

from gpt2lab.core.errors import UserError

BUFFER = 1 << 20
UTF8_MARK = b"\xef\xbb\xbf"
UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")
UTF16 = "UTF-16, not UTF-8 (`iconv -f UTF-16 -t UTF-8 FILE > NEW` converts it)"


def _zstd(file: BinaryIO) -> Any:
    import pyarrow

    return pyarrow.CompressedInputStream(file, "zstd")


DECOMPRESSORS: dict[str, Callable[[BinaryIO], Any]] = {
    ".gz": lambda file: gzip.GzipFile(fileobj=file),
    ".bz2": bz2.BZ2File,
    ".xz": lzma.LZMAFile,
    ".zst": _zstd,
}
CHECKS = {".gz": "gzip -t", ".bz2": "bzip2 -t", ".xz": "xz -t", ".zst": "zstd -t"}


def is_compressed(path: Path) -> bool:
    return path.suffix.lower() in DECOMPRESSORS


def open_binary(path: Path) -> Stream:
    return Stream(path)


def open_text(path: Path) -> tuple[Stream, int]:
    """The stream after the mark that some programs put before UTF-8, and how many bytes that mark has."""
    stream = Stream(path)
    if stream.peek(2).startswith(UTF16_MARKS):
        stream.close()
        raise UserError(
            "the text is UTF-16, not UTF-8",
            place=path,
            way_out=f"iconv -f UTF-16 -t UTF-8 {path.name} > utf-8-{path.name}",
        )
    return stream, len(stream.read(3)) if stream.peek(3).startswith(UTF8_MARK) else 0


def unreadable(path: Path, error: OSError) -> UserError:
    return UserError(f"the file cannot be read: {error.strerror or error}", place=path)


class Stream(io.BufferedReader):
    """What the file holds once decompressed. Reading raises a UserError where it is damaged or cut short."""

    def __init__(self, path: Path) -> None:
        try:
            self._file = path.open("rb")
        except OSError as error:
            raise unreadable(path, error) from error
        super().__init__(_Decompressed(path, self._file), BUFFER)

    def on_disk(self) -> int:
        """How many bytes of the file were needed so far."""
        return self._file.tell()


class _Decompressed(io.RawIOBase):
    def __init__(self, path: Path, file: BinaryIO) -> None:
        self._path, self._file = path, file
        self._inner: Any = DECOMPRESSORS[path.suffix.lower()](file) if is_compressed(path) else file

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        try:
            count = self._inner.readinto(buffer)
        except (EOFError, OSError, zlib.error, lzma.LZMAError) as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise unreadable(self._path, error) from error
            raise self._damaged(str(error)) from error
        if not count and is_compressed(self._path) and not self._file.tell():
            raise self._damaged("it is empty")  # gzip and zstd take no bytes at all for no text
        return count

    def close(self) -> None:
        if not self.closed:
            self._inner.close()
            self._file.close()
        super().close()

    def _damaged(self, cause: str) -> UserError:
        check = CHECKS[self._path.suffix.lower()]
        if "too much memory" in cause:
            return UserError(
                "the file was compressed with a window of more than 128 MB, which its readers refuse",
                place=self._path,
                way_out=f"zstd -d --long=31 {self._path.name}, and use what that writes",
            )
        return UserError(
            f"the compressed file is damaged or cut short: {cause}",
            place=self._path,
            way_out=f"get the file again; `{check} {self._path.name}` says whether it is whole",
        )
