"""Two processes cannot write one place; the lock names its holder and dies with it."""

import errno
import fcntl
import os
import signal
import threading
import time

import pytest

from gpt2lab.core import lock
from gpt2lab.core.errors import UserError


def child_that_holds(path) -> int:
    ready, tell = os.pipe()
    child = os.fork()
    if child == 0:
        with lock.locked(path):
            os.write(tell, b"1")
            time.sleep(60)
        os._exit(0)
    assert os.read(ready, 1) == b"1"
    return child


def test_a_second_process_is_refused_and_told_who_holds_it(tmp_path):
    child = child_that_holds(tmp_path / ".lock")
    try:
        with pytest.raises(UserError, match=f"process {child} on") as caught, lock.locked(tmp_path / ".lock"):
            pass
        assert "way out" in str(caught.value)
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def test_the_lock_is_free_once_its_holder_was_killed(tmp_path):
    child = child_that_holds(tmp_path / ".lock")
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    with lock.locked(tmp_path / ".lock"):
        pass


def test_children_of_the_holder_do_not_keep_it(tmp_path):
    """A forked worker that outlives its parent must not block the next run."""
    with lock.locked(tmp_path / ".lock"):
        child = os.fork()
        if child == 0:
            time.sleep(60)
            os._exit(0)
    other = child_that_holds(tmp_path / ".lock")
    for process in (child, other):
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)


def test_the_same_process_cannot_take_it_twice(tmp_path):
    with (
        lock.locked(tmp_path / ".lock"),
        pytest.raises(UserError, match="another process is writing"),
        lock.locked(tmp_path / ".lock"),
    ):
        pass


def test_it_leaves_nothing_behind(tmp_path):
    with lock.locked(tmp_path / ".lock"):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_drive_without_locks_is_warned_about_and_used(tmp_path, monkeypatch, capsys):
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "lockf", refuse)
    with lock.locked(tmp_path / ".lock"):
        pass
    assert "cannot lock files" in capsys.readouterr().err


def test_who_asks_about_a_lock_of_its_own_process_does_not_lose_it(tmp_path):
    """Closing any descriptor of the file would drop every lock that the process has on it."""
    with lock.locked(tmp_path / ".lock"):
        assert lock.holder(tmp_path / ".lock")["pid"] == os.getpid()
        child = os.fork()
        if child == 0:
            lock._held_here.clear()  # a process of its own has never heard of it
            try:
                with lock.locked(tmp_path / ".lock"):
                    os._exit(0)
            except UserError:
                os._exit(3)
        _, status = os.waitpid(child, 0)
    assert os.WEXITSTATUS(status) == 3


def test_who_waits_says_for_whom(tmp_path, capsys):
    child = child_that_holds(tmp_path / ".lock")
    threading.Timer(0.5, lambda: os.kill(child, signal.SIGKILL)).start()
    with lock.locked(tmp_path / ".lock", wait=True):
        pass
    os.waitpid(child, 0)
    assert f"waiting, for another process is writing here: process {child}" in capsys.readouterr().out
