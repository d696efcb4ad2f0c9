"""What people see: messages, tables, progress with rate and time left.

Messages go to standard output; with --json they go to standard error, so that standard output holds only the result.
Progress always goes to standard error: a bar in a terminal or notebook, plain lines every few seconds elsewhere.
"""

from __future__ import annotations

import contextlib
import json
import re
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol

if TYPE_CHECKING:
    from rich.console import Console

Mode = Literal["normal", "quiet", "json"]
SECONDS_BETWEEN_LINES = 5.0
UNFOLDED = 10_000  # columns


@dataclass
class _State:
    mode: Mode = "normal"
    hushed: bool = False
    told: dict[str, set[str]] | None = None  # by title, what the last announcement said
    telling: tuple[set[str], set[str]] | None = None  # what the one before had said, and what this one has
    warned: set[str] = field(default_factory=set)


_state = _State()


def configure(mode: Mode) -> None:
    _state.mode = mode
    _state.warned.clear()


def is_quiet() -> bool:
    return _state.mode == "quiet"


@contextlib.contextmanager
def hushed() -> Iterator[None]:
    """Not a word inside: for what is done over and over, and has said once what there is to say."""
    before, _state.hushed = _state.hushed, True
    try:
        yield
    finally:
        _state.hushed = before


@contextlib.contextmanager
def one_after_another() -> Iterator[None]:
    """Of many announcements under one title, each tells what sets it apart from the one before."""
    before, _state.told = _state.told, {}
    try:
        yield
    finally:
        _state.told = before


@contextlib.contextmanager
def announcement(title: str) -> Iterator[None]:
    """What is said and shown inside, but for warnings, may be left out where it was said just before."""
    if _state.told is None:
        yield
        return
    words: set[str] = set()
    _state.telling = _state.told.get(title, set()), words
    try:
        yield
    finally:
        _state.told[title], _state.telling = words, None


def _is_news(*words: object) -> bool:
    if _state.telling is None:
        return True
    before, now = _state.telling
    now.add(repr(words))
    return repr(words) not in before


def say(text: str = "") -> None:
    if _state.mode != "quiet" and not _state.hushed and _is_news(text):
        _messages().print(printable(text), highlight=False, soft_wrap=True, markup=False)


def printable(text: str) -> str:
    """Bytes of a file's name that are no UTF-8, which Python keeps as halves of pairs, written out: `caf\\xe9.txt`."""
    return re.sub("[\udc80-\udcff]", lambda byte: f"\\x{ord(byte[0]) - 0xDC00:02x}", text)


def show(text: str) -> None:
    """What was asked for, such as a sample: to standard output also when quiet, without a change."""
    sys.stdout.write(text + "\n")


def warn(text: str) -> None:
    if not _state.hushed:
        _errors().print(printable(f"warning: {text}"), style="yellow", highlight=False, soft_wrap=True, markup=False)


def warn_once(text: str) -> None:
    if text not in _state.warned:
        _state.warned.add(text)
        warn(text)


def error(text: str) -> None:
    _errors().print(printable(text), style="red", highlight=False, soft_wrap=True, markup=False)


def next_command(command: str) -> None:
    """The next sensible thing to type."""
    say(f"next: {command}")


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    from rich.table import Table
    from rich.text import Text

    if _state.mode == "quiet" or _state.hushed or not _is_news(title, columns, rows):
        return
    drawn = Table(box=None, pad_edge=False, show_header=any(columns))
    numeric = [all(isinstance(row[i], int | float) for row in rows) for i in range(len(columns))]
    for name, number in zip(columns, numeric):
        drawn.add_column(name, justify="right" if number else "left", overflow="fold")
    for row in rows:
        drawn.add_row(*(Text(f"{cell:,}" if isinstance(cell, int) else str(cell)) for cell in row))
    if title:
        _messages().print(title, style="bold", highlight=False, markup=False)
    _messages(as_wide_as_needed=True).print(drawn, soft_wrap=False)


def result(value: Any) -> None:
    """The one JSON object that a script reads, as the last line of standard output."""
    if _state.mode == "json":
        result_line(value)


def result_line(value: Any) -> None:
    sys.stdout.write(json.dumps(value, ensure_ascii=False, allow_nan=False) + "\n")
    sys.stdout.flush()


class Progress(Protocol):
    def advance(self, amount: float = 1, note: str = "") -> None: ...

    def skip(self, amount: float) -> None:
        """This much was done before: it counts as done, and not for the rate."""


@contextlib.contextmanager
def progress(what: str, total: float | None, unit: str, done: float = 0) -> Iterator[Progress]:
    """Show that `total` units of work are under way; `done` of them were finished before."""
    if _state.mode == "quiet" or _state.hushed:
        yield _Silent()
    elif _errors().is_terminal or _errors().is_jupyter:
        with _bar(what, total, unit, done) as bar:
            yield bar
    else:
        lines = PlainLines(what, total, unit, done)
        yield lines
        lines.finish()


@contextlib.contextmanager
def live() -> Iterator[Callable[[str], None]]:
    """What is told replaces what was told before; outside a terminal, lines every few seconds and the last one."""
    if _errors().is_terminal or _errors().is_jupyter:
        with _replaced_in_place() as tell:
            yield tell
        return
    told, shown, last = "", "", -SECONDS_BETWEEN_LINES

    def tell(text: str) -> None:
        nonlocal told, shown, last
        told = text
        if text != shown and time.monotonic() - last >= SECONDS_BETWEEN_LINES:
            say(text)
            shown, last = text, time.monotonic()

    try:
        yield tell
    finally:
        if told != shown:
            say(told)


@contextlib.contextmanager
def _replaced_in_place() -> Iterator[Callable[[str], None]]:
    from rich.live import Live
    from rich.text import Text

    with Live(console=_errors(), auto_refresh=False) as shown:
        yield lambda text: shown.update(Text(text), refresh=True)


BARS = "▁▂▃▄▅▆▇█"


def sparkline(values: Sequence[float | None], width: int = 60) -> str:
    """Values as bars, the lowest to the highest; where they are many, each bar is the mean of its share of them."""
    known = [value for value in values if value is not None]
    if not known:
        return ""
    width = min(width, len(known))
    shares = [known[i * len(known) // width : (i + 1) * len(known) // width] for i in range(width)]
    means = [sum(share) / len(share) for share in shares]
    low, high = min(means), max(means)
    return "".join(BARS[round((mean - low) / (high - low or 1) * (len(BARS) - 1))] for mean in means)


class _Silent:
    def advance(self, amount: float = 1, note: str = "") -> None:
        pass

    def skip(self, amount: float) -> None:
        pass


class PlainLines:
    """A line every few seconds, for log files and pipes."""

    def __init__(self, what: str, total: float | None, unit: str, done: float = 0) -> None:
        self.what, self.total, self.unit = what, total, unit
        self.done, self.before = done, done
        self.start = self.last = time.monotonic()
        self.note = ""

    def advance(self, amount: float = 1, note: str = "") -> None:
        self.done += amount
        self.note = note or self.note
        if time.monotonic() - self.last >= SECONDS_BETWEEN_LINES:
            self._print()

    def skip(self, amount: float) -> None:
        self.done += amount
        self.before += amount

    def finish(self) -> None:
        if self.done > self.before:
            self._print()

    def _print(self) -> None:
        self.last = time.monotonic()
        rate = (self.done - self.before) / max(self.last - self.start, 1e-9)
        parts = [f"{self.what}: {self.done:,.0f}"]
        if self.total:
            parts[0] += f" of {self.total:,.0f}"
        parts[0] += f" {self.unit}"
        parts.append(f"{rate:,.1f} {self.unit}/s")
        if self.total and rate > 0 and (seconds := (self.total - self.done) / rate) > 0.05:
            parts.append(f"{duration(seconds)} left")
        if self.note:
            parts.append(self.note)
        _errors().print(", ".join(parts), highlight=False, soft_wrap=True, markup=False)


class _Bar:
    def __init__(self, bar: Any, task: Any) -> None:
        self.bar, self.task = bar, task

    def advance(self, amount: float = 1, note: str = "") -> None:
        self.bar.update(self.task, advance=amount, **({"note": note} if note else {}))

    def skip(self, amount: float) -> None:
        self.bar.tasks[0].completed += amount  # rich takes the rate from its updates


@contextlib.contextmanager
def _bar(what: str, total: float | None, unit: str, done: float) -> Iterator[_Bar]:
    from rich import progress as rich_progress
    from rich.markup import escape
    from rich.text import Text

    class Rate(rich_progress.ProgressColumn):
        def render(self, task: rich_progress.Task) -> Text:
            return Text(f"{task.speed:,.1f} {unit}/s" if task.speed else "")

    columns = (
        rich_progress.TextColumn("{task.description}"),
        rich_progress.BarColumn(),
        rich_progress.MofNCompleteColumn(),
        Rate(),
        rich_progress.TimeRemainingColumn(),
        rich_progress.TextColumn("{task.fields[note]}", markup=False),
    )
    with rich_progress.Progress(*columns, console=_errors(), transient=False) as bar:
        yield _Bar(bar, bar.add_task(escape(what), total=total, completed=int(done), note=""))


def duration(seconds: float) -> str:
    """`95` → `1 min 35 s`, `7300` → `2 h 2 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def counted(count: int, noun: str) -> str:
    """`1 document`, `2,000 documents`."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def size(count: float) -> str:
    """Bytes for people: `1.5 GB`."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "bytes" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def _messages(as_wide_as_needed: bool = False) -> Console:
    """A table in a file or a pipe is never folded: its paths can be found and copied."""
    from rich.console import Console

    file = sys.stderr if _state.mode == "json" else sys.stdout
    width = UNFOLDED if as_wide_as_needed and not file.isatty() else _width()
    return Console(file=file, width=width, emoji=False)


def _errors() -> Console:
    from rich.console import Console

    return Console(file=sys.stderr, width=_width(), emoji=False)


def _width() -> int | None:
    """Terminals know their width; files and pipes get one wide enough for our tables."""
    return None if sys.stdout.isatty() or sys.stderr.isatty() else 120
