"""Keyword arguments are the settings of the command line: `lora={"rank": 8}`, or `**{"lora.rank": 8}`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from os import PathLike, fspath
from pathlib import Path
from typing import Any, TypeVar

from gpt2lab.core import settings as strict
from gpt2lab.core.settings import Settings

S = TypeVar("S", bound=Settings)


def resolved(kind: type[S], values: dict[str, Any], given: Mapping[str, Any]) -> S:
    """`values`, then what was given; all problems are raised together, as one UserError."""
    return strict.resolve(kind, values=values, overrides=overrides(given), said="in Python")


def overrides(given: Mapping[str, Any], prefix: str = "") -> list[str]:
    """As one would type them, so that both ways mean the same."""
    found: list[str] = []
    for key, value in given.items():
        if isinstance(value, Mapping):
            found += overrides(value, f"{prefix}{key}.")
        else:
            found.append(f"{prefix}{key}={_typed(value)}")
    return found


def _typed(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, str | PathLike):
        return fspath(value)
    if isinstance(value, bool | list | tuple):
        return json.dumps(value, ensure_ascii=False)
    return str(value)


def address(place: str | PathLike[str]) -> str:
    """A path stays the same wherever a run is resumed from; names are no paths."""
    path = Path(place)
    return str(path.resolve()) if path.exists() else fspath(place)
