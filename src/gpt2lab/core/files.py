"""Files and folders that appear whole or not at all: written beside, flushed, renamed.

Everything the project writes passes through here, so this is also where the fault tests let the process die:
`operation` is called before each open, write, fsync and rename.
"""

from __future__ import annotations

import contextlib
import difflib
import errno
import hashlib
import json
import os
import shutil
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

from gpt2lab.core import console
from gpt2lab.core.errors import UserError

# What mounted drives (FUSE, SMB, some network file systems) answer when they cannot do a thing at all,
# as opposed to EIO or ENOSPC, which mean that data is lost and must be heard.
CANNOT = {errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EPERM, errno.ENOLCK}


def operation(kind: str, path: Path) -> None:
    """Nothing. The fault tests replace it by a function that ends the process at the n-th call."""


def write_bytes(path: Path, data: bytes) -> None:
    with new_file(path) as file:
        file.write(data)


def write_text(path: Path, text: str) -> None:
    write_bytes(path, text.encode("utf-8"))


def write_json(path: Path, value: Any) -> None:
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text("utf-8"))
    except FileNotFoundError as error:
        raise UserError("the file does not exist", place=path) from error
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"not valid JSON: {error}", place=path) from error


class NewFile:
    """A binary file whose writes announce themselves to the fault tests."""

    def __init__(self, file: BinaryIO, path: Path) -> None:
        self.file = file
        self.path = path

    def write(self, data: bytes | memoryview) -> int:
        operation("write", self.path)
        return self.file.write(data)


@contextlib.contextmanager
def new_file(path: Path) -> Iterator[NewFile]:
    """A file that replaces `path` in one step, once the block has ended well."""
    path.parent.mkdir(parents=True, exist_ok=True)
    remove_leftovers(path)
    beside = _beside(path)
    operation("open", beside)
    try:
        with beside.open("wb") as file:
            yield NewFile(file, beside)
            flush(file)
        _rename(beside, path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    flush_folder(path.parent)


@contextlib.contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """A folder that becomes `path` in one step, once the block has ended well. At most an empty one may be there."""
    refuse_taken(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    remove_leftovers(path)
    beside = _beside(path)
    shutil.rmtree(beside, ignore_errors=True)  # in containers every process may have the same number
    operation("open", beside)
    beside.mkdir()
    try:
        yield beside
        for file in sorted(beside.rglob("*")):
            flush_folder(file) if file.is_dir() else flush_path(file)
        flush_folder(beside)
        _rename(beside, path)
    except BaseException:
        shutil.rmtree(beside, ignore_errors=True)
        raise
    flush_folder(path.parent)


def refuse_taken(path: Path) -> None:
    """A folder can be put where nothing is, or an empty folder."""
    is_empty = path.is_dir() and not path.is_symlink() and not any(path.iterdir())
    if path.exists() and not is_empty:
        raise UserError("the folder exists already", place=path, way_out="choose another place or remove it")


def rename(source: Path, target: Path) -> None:
    """In one step, and on disk when it returns."""
    _rename(source, target)
    flush_folder(target.parent)


def like(path: Path) -> str | None:
    """For who mistyped a path: what there is instead."""
    there = [entry.name for entry in path.parent.iterdir()] if path.parent.is_dir() else []
    close = difflib.get_close_matches(path.name, there, n=1)
    return f"did you mean {path.parent / close[0]}?" if close else None


def remove_leftovers(path: Path) -> None:
    """Remove what processes of this machine that are gone left beside `path`."""
    for leftover in path.parent.glob(f".{path.name}.*.writing"):
        if is_leftover(leftover):
            shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink(missing_ok=True)


def is_leftover(path: Path) -> bool:
    """Whether this was being written by a process of this machine that is gone."""
    begun, _, pid = path.name.removesuffix(".writing").rpartition(".")
    ours = path.name.startswith(".") and path.name.endswith(f".{pid}.writing") and begun.endswith(f".{_host()}")
    return ours and pid.isdecimal() and not process_exists(int(pid))


def process_exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def flush(file: BinaryIO) -> None:
    file.flush()
    operation("fsync", Path(file.name))
    tolerate("flush files to disk", lambda: os.fsync(file.fileno()))


def flush_path(path: Path) -> None:
    with path.open("rb+") as file:
        flush(file)


def flush_folder(path: Path) -> None:
    def sync() -> None:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    operation("fsync", path)
    tolerate("flush folders to disk", sync)


def tolerate(what: str, action: Callable[[], object]) -> bool:
    """Do it; where the drive cannot do such a thing at all, say so once and go on."""
    try:
        action()
    except OSError as error:
        if error.errno not in CANNOT:
            raise
        console.warn_once(f"this drive cannot {what} ({error.strerror}): a power cut may lose the last writes")
        return False
    return True


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fingerprint(value: Any) -> str:
    """A hash of plain data that does not depend on the order of keys."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def home() -> Path:
    """Where corpora, tokenizers and results of this user live."""
    return Path(os.environ.get("GPT2LAB_HOME") or Path.home() / ".cache" / "gpt2lab")


def _rename(source: Path, target: Path) -> None:
    operation("rename", target)
    source.replace(target)


def _beside(path: Path) -> Path:
    return path.with_name(f".{path.name}.{_host()}.{os.getpid()}.writing")


def _host() -> str:
    return socket.gethostname().replace("/", "-")
