"""Ctrl-C and SIGTERM finish the step and save; a second one stops at once."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator

from gpt2lab.core import console


@contextlib.contextmanager
def terminated_like_ctrl_c() -> Iterator[None]:
    """Outside the loop, SIGTERM raises KeyboardInterrupt as well: what is open is closed, and the way on is said."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


class Stop:
    asked = False


@contextlib.contextmanager
def stop_signals() -> Iterator[Stop]:
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():  # only the main thread hears signals
        yield stop
        return

    def ask(number: int, _frame: object) -> None:
        if stop.asked:
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)
        stop.asked = True
        # In another thread: this one may be in the middle of a line.
        threading.Thread(target=console.say, args=("stopping after this step; once more to stop at once",)).start()

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
