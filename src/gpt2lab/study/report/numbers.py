"""Numbers as people read them; the same everywhere in a report."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gpt2lab.core import console

NOTHING = "–"


def value(what: str, number: float | None) -> str:
    """`what` is what the number is: an accuracy is a percentage."""
    if number is None:
        return NOTHING
    if what.startswith(("accuracy", "macro")):
        return f"{number:.2%}"
    if what.startswith("perplexity"):
        return f"{number:,.2f}"
    return f"{number:.4f}" if abs(number) < 100 else f"{number:,.1f}"


def interval(what: str, found: Mapping[str, Any] | None) -> str:
    return f"{value(what, found['low'])} to {value(what, found['high'])}" if found else ""


def p_value(p: float | None) -> str:
    if p is None:
        return NOTHING
    return "< 0.0001" if p < 0.0001 else f"{p:.4f}" if p < 0.01 else f"{p:.3f}"


def count(number: int | float | None) -> str:
    return NOTHING if number is None else f"{number:,.0f}"


def seconds(number: float | None) -> str:
    return NOTHING if number is None else console.duration(number)


def size(number: float | None) -> str:
    return NOTHING if not number else console.size(number)


def plain(setting: Any) -> str:
    """A setting as one would type it."""
    if setting is None:
        return "none"
    if isinstance(setting, bool):
        return str(setting).lower()
    if isinstance(setting, float):
        return f"{setting:g}"
    if isinstance(setting, list | tuple):
        return ", ".join(plain(part) for part in setting)
    return str(setting)


def flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Groups of settings as dotted keys."""
    found: dict[str, Any] = {}
    for key, inner in settings.items():
        if isinstance(inner, Mapping):
            found |= flat(inner, f"{prefix}{key}.")
        else:
            found[f"{prefix}{key}"] = inner
    return found
