"""`NAME.journal`: what was asked and answered, a JSON object a line, on disk before anything is made of it.

Everything else can be made again from it: with it nothing is paid twice. Its first line is the plan, which later
plans (more texts, other checks) follow.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gpt2lab.core import files, lines
from gpt2lab.core.errors import UserError

Record = dict[str, Any]


class Journal:
    """Appends records; with `durable`, each is on disk when it returns."""

    def __init__(self, path: Path, *, durable: bool) -> None:
        self.writer = lines.LineWriter(path)
        self.durable = durable
        files.flush_folder(path.parent)

    def write(self, record: Record) -> Record:
        self.writer.write(record)
        if self.durable:
            self.writer.flush()
        return record

    def close(self) -> None:
        self.writer.flush()
        self.writer.close()


def read(path: Path) -> list[Record]:
    records = list(lines.read(path))
    if records and not (isinstance(records[0], dict) and records[0].get("kind") == "plan"):
        raise UserError("not a journal of gpt2lab synthesize", place=path, way_out="choose another --out")
    return records


def last_plan(records: list[Record]) -> Record | None:
    return next((record for record in reversed(records) if record["kind"] == "plan"), None)
