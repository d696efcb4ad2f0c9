"""A line of JSON becomes a value, by orjson where it is installed, and always as Python's json reads it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

_quick: Callable[[bytes], Any] | None
try:
    from orjson import loads as _quick
except ImportError:
    _quick = None


def parse(line: bytes) -> tuple[Any, bool]:
    """The value, and whether every text in it is known to be whole characters.

    orjson makes sure of that. It refuses more than that (NaN, for one), so its refusal is not the last word.
    """
    if _quick:
        try:
            return _quick(line), True
        except ValueError:
            pass
    return exactly(line), False


def exactly(line: bytes) -> Any:
    """Python's json alone: it keeps a whole number of any size, which orjson makes a decimal one beyond 64 bits."""
    return json.loads(line.decode("utf-8"))
