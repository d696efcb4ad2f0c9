"""What is no longer as it was when a corpus was begun, in a few words."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from gpt2lab.core.console import counted
from gpt2lab.core.settings import differences

SHOWN = 3


def changes(there: dict[str, Any], wanted: dict[str, Any]) -> list[str]:
    """`1 of 160 files changed: a.txt`, `validation: 0.05 there, 0.1 asked for`. Both hold groups of keys. A group that
    is not there is not compared: older versions have not written it down."""
    found = []
    for part, now in wanted.items():
        if part in there:
            found += _of_tokenizer(there[part], now) if part == "tokenizer" else _of_group(there[part], now)
    return found


def _of_tokenizer(there: dict[str, Any], wanted: dict[str, Any]) -> list[str]:
    return [] if there["hash"] == wanted["hash"] else ["the tokenizer is another one than it was"]


def _of_group(there: dict[str, Any], wanted: dict[str, Any]) -> list[str]:
    files = _of_files(there, wanted)
    said = {"files", "data"} if files else {"files"}  # `data` counts the files
    return files + differences(_without(said, there), _without(said, wanted))


def _without(said: set[str], values: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if key not in said}


def _of_files(there: dict[str, Any], wanted: dict[str, Any]) -> list[str]:
    before, now = _by_name(there.get("files", {})), _by_name(wanted.get("files", {}))
    changed = [name for name in before if name in now and now[name] != before[name]]
    added, gone = [name for name in now if name not in before], [name for name in before if name not in now]
    kinds = [
        (changed, f"{len(changed):,} of {counted(len(before), 'file')} changed"),
        (added, f"{counted(len(added), 'file')} added"),
        (gone, f"{counted(len(gone), 'file')} gone"),
    ]
    return [f"{what}: {_some(names)}" for names, what in kinds if names]


def _by_name(listed: Any) -> dict[str, Any]:
    """However a source lists its files: by name, one after another, or so for each split."""
    if isinstance(listed, list):
        return {facts["name"]: facts for facts in listed}
    found: dict[str, Any] = {}
    for name, facts in listed.items():
        found |= _by_name(facts) if isinstance(facts, list) else {name: facts}
    return found


def _some(names: Iterable[str]) -> str:
    names = list(names)
    return ", ".join(names[:SHOWN]) + (" …" if len(names) > SHOWN else "")
