"""Processes that die where we say: at the n-th open, write, fsync or rename, as if the power had gone.

Children are forked from this process, which has imported everything, so that hundreds of deaths take seconds.
"""

from __future__ import annotations

import os
import signal
import traceback
from collections.abc import Callable
from pathlib import Path

from gpt2lab.core import files

KINDS = ("open", "write", "fsync", "rename")


def dies_at(kind: str, number: int, action: Callable[[], object]) -> bool:
    """Run `action` in a child that is killed just before its `number`-th operation of that kind (from 1)."""
    child = os.fork()
    if child == 0:
        _install(kind, number)
        try:
            action()
        except BaseException:
            traceback.print_exc()
            os._exit(3)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL
        return True
    assert os.WEXITSTATUS(status) == 0, "the child failed by itself"
    return False


def every_death(kind: str, action: Callable[[], object], check: Callable[[], object], limit: int = 500) -> int:
    """Let `action` die at its first, second, … operation until it survives, checking after each; how many deaths."""
    for number in range(1, limit):
        if not dies_at(kind, number, action):
            return number - 1
        check()
    raise AssertionError(f"more than {limit} operations of kind {kind}")


def _install(kind: str, number: int) -> None:
    seen = 0

    def die(now: str, _path: Path) -> None:
        nonlocal seen
        seen += now == kind
        if seen == number:
            os.kill(os.getpid(), signal.SIGKILL)

    files.operation = die
