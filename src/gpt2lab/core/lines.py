"""JSON lines that survive a torn last line."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from gpt2lab.core import files
from gpt2lab.core.errors import UserError


def read(path: Path) -> Iterator[Any]:
    """Every whole line; a last line without its end was cut by a crash and does not count."""
    if not path.exists():
        return
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if not line.endswith(b"\n"):
                return
            try:
                yield json.loads(line)
            except ValueError as error:
                raise UserError(f"not valid JSON: {error}", place=f"{path}, line {number}") from error


def parsed(data: bytes, place: Path) -> list[Any]:
    """Of whole lines that were read already."""
    try:
        return [json.loads(line) for line in data.splitlines()]
    except ValueError as error:
        raise UserError(f"not valid JSON: {error}", place=place) from error


def encode(record: Any) -> str:
    return json.dumps(record, ensure_ascii=False, allow_nan=False) + "\n"


class LineWriter:
    """Appends one JSON object a line; what an earlier crash tore is removed first."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        files.operation("open", path)
        self.file = path.open("ab")
        _drop_torn_line(path)

    def write(self, record: Any) -> None:
        files.operation("write", self.path)
        self.file.write(encode(record).encode())
        self.file.flush()

    def flush(self) -> None:
        files.flush(self.file)

    def position(self) -> int:
        """Bytes written so far, to which `cut` can bring the file back."""
        return os.fstat(self.file.fileno()).st_size

    def close(self) -> None:
        self.file.close()


def cut(path: Path, size: int) -> None:
    """Forget everything after `size` bytes."""
    if path.exists() and path.stat().st_size > size:
        os.truncate(path, size)


def _drop_torn_line(path: Path) -> None:
    with path.open("rb+") as file:
        size = file.seek(0, os.SEEK_END)
        keep = size
        while keep and not _ends_line(file, keep):
            keep -= 1
        if keep < size:
            file.truncate(keep)


def _ends_line(file: Any, position: int) -> bool:
    file.seek(position - 1)
    return file.read(1) == b"\n"
