"""Processes that this one starts and answers for: several of this very command, as `torchrun` would, or one of another.

They hear of Ctrl-C and SIGTERM through us, once, and have all the time they need to save.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from gpt2lab.core import hardware
from gpt2lab.core.errors import BAD_INPUT, FAILED, INTERRUPTED, Failed
from gpt2lab.train.processes import LAUNCHER, RENDEZVOUS

SECONDS_TO_LEAVE = 3  # once another process has died
FORWARDED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
LOOPBACK = {"linux": "lo", "darwin": "lo0"}


def is_member() -> bool:
    """Whether this process was started as one of several."""
    return "RANK" in os.environ


def processes(count: int, resume: str) -> None:
    """Run this command `count` times as one team; the first to fail ends all. Raises unless all succeed."""
    with tempfile.TemporaryDirectory() as place:
        started = [_start(rank, count, Path(place)) for rank in range(count)]
        with _signals_forwarded(started):
            first = _first_failure(started)
        if first is None:
            return
        # One that was interrupted tears down what the others wait for: they may fail, and first.
        first = next((rank for rank, process in enumerate(started) if process.returncode == INTERRUPTED), first)
        code = started[first].returncode
        if code in (INTERRUPTED, BAD_INPUT) or (code == FAILED and first == 0):
            raise SystemExit(code)  # it has said why itself
        said = "" if first == 0 else _messages(Path(place), first).read_text(errors="replace").strip()
        died = f"was killed by signal {-code}" if code < 0 else f"ended with code {code}"
        raise Failed(
            f"process {first} of {count} {died}, and the others were ended",
            place=said.splitlines()[-1] if said else None,
            way_out=resume,
        )


def to_its_end(words: Sequence[str], **output: Any) -> subprocess.CompletedProcess[str]:
    """A command of ours in a process of its own. Interrupted meanwhile, we are so too, even if it came to its end."""
    command, environ = [sys.executable, "-m", "gpt2lab", *words], {**os.environ, LAUNCHER: str(os.getpid())}
    process = subprocess.Popen(command, env=environ, start_new_session=True, text=True, **output)
    with _signals_forwarded([process]) as forwarded:
        said, _ = process.communicate()
    return subprocess.CompletedProcess(command, INTERRUPTED if forwarded else process.returncode, said)


def _start(rank: int, count: int, place: Path) -> subprocess.Popen[bytes]:
    environ = {
        **os.environ,
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": str(count),
        LAUNCHER: str(os.getpid()),
        RENDEZVOUS: f"file://{place / 'rendezvous'}",
    }
    environ.setdefault("OMP_NUM_THREADS", str(max(1, hardware.cores() // count)))
    environ.setdefault("GLOO_SOCKET_IFNAME", LOOPBACK.get(sys.platform, "lo"))
    command = [sys.executable, "-m", "gpt2lab", *sys.argv[1:]]
    # A session of its own: the terminal's Ctrl-C reaches us alone, and we forward it once.
    if rank == 0:
        return subprocess.Popen(command, env=environ, start_new_session=True)
    with _messages(place, rank).open("wb") as said:
        return subprocess.Popen(command, env=environ, start_new_session=True, stdout=said, stderr=said)


def _messages(place: Path, rank: int) -> Path:
    """Only the first process speaks; what another one said is for when it fails."""
    return place / f"process-{rank}.log"


@contextlib.contextmanager
def _signals_forwarded(started: Sequence[subprocess.Popen[Any]]) -> Iterator[list[int]]:
    """Which have come, and were passed on."""
    come: list[int] = []

    def forward(number: int, _frame: object) -> None:
        come.append(number)
        for process in started:
            if process.poll() is None:  # a terminal that was closed is a wish to stop as well
                process.send_signal(signal.SIGTERM if number == signal.SIGHUP else number)

    ours = FORWARDED if threading.current_thread() is threading.main_thread() else ()  # no other thread hears any
    before = {number: signal.signal(number, forward) for number in ours}
    try:
        yield come
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for process in started:
            if process.poll() is None:
                process.kill()
                process.wait()


def _first_failure(started: Sequence[subprocess.Popen[bytes]]) -> int | None:
    """Which process failed first, if any. Once one has, the others have little time left; a stop has all it needs."""
    first, deadline = None, None
    while any(process.poll() is None for process in started):
        if first is None:
            first = next((rank for rank, process in enumerate(started) if process.poll() not in (None, 0)), None)
            if first is not None and started[first].returncode != INTERRUPTED:
                deadline = time.monotonic() + SECONDS_TO_LEAVE
        if deadline is not None and time.monotonic() > deadline:
            return first
        time.sleep(0.05)
    if first is None:
        first = next((rank for rank, process in enumerate(started) if process.returncode != 0), None)
    return first
