"""A line of JSON becomes a value, at the speed of orjson where it is installed, and always as Python's json reads it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

try:
    from orjson import loads as _quick
except ImportError:
    _quick: Callable[[bytes], Any] = None


def parse(line: bytes) -> Any:
    """orjson refuses more (NaN, half of a pair of surrogates), so its refusal is not the last word."""
    if _quick:
        try:
            return _quick(line)
        except ValueError:
            pass
    return exactly(line)


def exactly(line: bytes) -> Any:
    """Python's json alone: it keeps a whole number of any size, which orjson makes a decimal one beyond 64 bits."""
    return json.loads(line.decode("utf-8"))
