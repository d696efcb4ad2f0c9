"""One writer a place: a lock that names its holder and frees itself when that process is gone.

POSIX record locks: the kernel drops them with the process, children do not inherit them, and network drives know them.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import socket
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from gpt2lab.core import console, files
from gpt2lab.core.errors import UserError

_held_here: dict[Path, dict[str, Any]] = {}


@contextlib.contextmanager
def locked(path: Path, wait: bool = False) -> Iterator[None]:
    """Hold the lock file at `path`; where another process holds it, name it and refuse, or `wait` for it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path = path.resolve()
    if path in _held_here:
        raise _taken(path, {"pid": os.getpid(), "command": "this very process"})
    descriptor = _acquire(path, wait)
    _held_here[path] = _self()
    try:
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, json.dumps(_held_here[path]).encode(), 0)
        yield
    finally:
        path.unlink(missing_ok=True)
        _held_here.pop(path, None)
        os.close(descriptor)


def holder(path: Path) -> dict[str, Any] | None:
    """Who holds the lock file at `path`, without touching it. What a dead process of this machine left is nobody's."""
    if own := _held_here.get(path.resolve()):
        return own  # to close the file, once read, would drop the lock
    try:
        found = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return None
    here = found.get("host") == socket.gethostname()
    return None if here and not files.process_exists(int(found["pid"])) else found


def _acquire(path: Path, wait: bool) -> int:
    """The locked descriptor of the file that is at `path` now: the holder before us may just have removed its own."""
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)

        def lock(descriptor: int = descriptor) -> None:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)

        try:
            files.tolerate("lock files, so make sure that only one process writes there", lock)
        except (BlockingIOError, PermissionError):
            taken = _taken(path, _read(descriptor))
            if not wait:
                os.close(descriptor)
                raise taken from None
            console.say(f"{path.parent}: waiting, for {taken.cause}")
            fcntl.lockf(descriptor, fcntl.LOCK_EX)
        with contextlib.suppress(FileNotFoundError):
            if path.stat().st_ino == os.fstat(descriptor).st_ino:
                return descriptor
        os.close(descriptor)


def _read(descriptor: int) -> dict:
    with contextlib.suppress(ValueError):
        return json.loads(os.pread(descriptor, 4096, 0))
    return {}


def _self() -> dict[str, object]:
    return {
        "pid": os.getpid(),
        "host": socket.gethostname(),
        "command": " ".join([Path(sys.argv[0]).name, *sys.argv[1:]])[:400],
        "since": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _taken(path: Path, holder: dict) -> UserError:
    who = f"process {holder.get('pid', '?')} on {holder.get('host', 'this machine')}"
    return UserError(
        f"another process is writing here: {who}, since {holder.get('since', '?')}: {holder.get('command', '?')}",
        place=path.parent,
        way_out="wait for it, stop it, or choose another folder with --out",
    )
