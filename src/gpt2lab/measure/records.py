"""One JSON a result, with everything that moves its value; what each item gave stands in a file beside it."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Any

import torch

from gpt2lab.core import console, environment, files, hardware, lines, own_memory
from gpt2lab.core.errors import UserError

NEEDED = ("protocol", "settings", "model", "data")


def write(folder: Path, record: dict[str, Any]) -> Path:
    """Under a name made of what was asked, so that the same measurement replaces itself.

    `items`, where there are any, go to `NAME.items.jsonl`, and the record keeps that name and its hash.
    """
    path = folder / f"{_name(record)}.json"
    stored = summary(record)
    if "items" in stored:
        files.write_bytes(folder / stored["items"]["file"], _lines(record["items"]))
    files.write_json(path, stored)
    return path


def summary(record: dict[str, Any]) -> dict[str, Any]:
    """As it is stored: in place of the items, where they are."""
    stored = dict(record)
    if (items := stored.pop("items", None)) is not None:
        digest = hashlib.sha256(_lines(items)).hexdigest()
        stored["items"] = {"file": f"{_name(record)}.items.jsonl", "count": len(items), "sha256": digest}
    return stored


def read(path: Path) -> dict[str, Any]:
    """A record with its items, as it was before it was written."""
    record = files.read_json(path)
    if not isinstance(record, dict) or any(key not in record for key in NEEDED):
        raise UserError("this is no record of a measurement", place=path)
    about = record.get("items")
    if about is not None:
        beside = path.parent / str(about["file"])
        data = beside.read_bytes() if beside.is_file() else b""
        if hashlib.sha256(data).hexdigest() != about["sha256"]:
            raise UserError("the file with what each item gave is missing or has changed", place=beside)
        record["items"] = list(lines.read(beside))
    return record


def find(folder: Path, asked: dict[str, Any]) -> dict[str, Any] | None:
    """The stored answer to the same question; a damaged one is named, and does not count."""
    path = folder / f"{_name({'asked': asked})}.json"
    if not path.is_file():
        return None
    try:
        record = read(path)
    except UserError as error:
        console.warn(f"a stored result is damaged, so it is measured again: {error.cause} ({error.place})")
        return None
    return record if record.get("asked") == asked else None


def circumstances(device: torch.device, precision: str, seconds: float, tokens: int) -> dict[str, Any]:
    """What was measured on the side and never decides whether two results compare."""
    return {
        "device": hardware.device_name(device),
        "precision": precision,
        "seconds": seconds,
        "tokens_per_second": tokens / seconds,
        "peak_memory": own_memory.peak(device),
        **environment.record(),
    }


def _lines(items: list[dict[str, Any]]) -> bytes:
    return "".join(lines.encode(item) for item in items).encode("utf-8")


def _name(record: dict[str, Any]) -> str:
    """By the question where that is known, else by what was measured."""
    asked = record.get("asked")
    if asked is not None:
        protocol, what = asked["protocol"], asked
    else:
        protocol, model, data = record["protocol"], record["model"], record["data"]
        what = [protocol, model["weights"], model.get("config"), data.get("hash"), record["settings"]]
    return f"{re.sub(r'[^a-z0-9]+', '-', protocol.lower())}-{files.fingerprint(what)[:10]}"
