"""The runs under a folder, as their files say: nothing is loaded, so that looking costs nothing."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from gpt2lab.core import console, files, lines, lock
from gpt2lab.core.errors import UserError
from gpt2lab.core.settings import read_yaml
from gpt2lab.train.watch import is_low_better

UNITS = ((86400, "day"), (3600, "hour"), (60, "minute"))


@dataclass(frozen=True)
class Run:
    folder: Path
    record: dict[str, Any]  # run.json
    settings: dict[str, Any]  # run.yaml

    @property
    def kind(self) -> str:
        return self.settings.get("kind", "pretrain")

    @property
    def what(self) -> str:
        """`pretrain`, `finetune text`."""
        return " ".join(filter(None, [self.kind, self.settings.get("task")]))

    @property
    def state(self) -> str:
        """`finished`, `running`, or `unfinished`: waiting for --resume."""
        stored = str(self.record["state"])
        return "running" if stored != "finished" and lock.holder(self.folder / ".lock") else stored

    @property
    def steps_to_do(self) -> int | None:
        return self.record.get("decided", {}).get("steps")

    @cached_property
    def metrics(self) -> list[dict[str, Any]]:
        return list(lines.read(self.folder / "metrics.jsonl"))

    @property
    def steps_done(self) -> int:
        return self.metrics[-1]["step"] if self.metrics else 0

    @property
    def watched(self) -> str:
        return self.settings.get("train", {}).get("watch", "validation_loss")

    @property
    def best(self) -> tuple[int, float] | None:
        """The step at which what is watched was best, and its value there."""
        looks = [(line["step"], line[self.watched]) for line in self.metrics if line.get(self.watched) is not None]
        sign = 1 if is_low_better(self.watched) else -1
        return min(looks, key=lambda look: sign * look[1]) if looks else None

    @property
    def results(self) -> list[dict[str, Any]]:
        return [files.read_json(path) for path in sorted((self.folder / "results").glob("*.json"))]

    @cached_property
    def size(self) -> int:
        return size_of(self.folder)

    @property
    def age(self) -> float:
        """Seconds since it ended, or since something was last written."""
        if ended := self.record.get("finished"):
            return (datetime.now(UTC) - datetime.fromisoformat(ended)).total_seconds()
        written = (self.folder / name for name in ("run.json", "metrics.jsonl"))
        return time.time() - max(path.stat().st_mtime for path in written if path.is_file())

    def as_dict(self) -> dict[str, Any]:
        best = self.best
        return {
            "run": str(self.folder),
            "kind": self.kind,
            "task": self.settings.get("task"),
            "method": self.settings.get("method"),
            "data": self.settings["data"]["source"],
            "steps": self.steps_done,
            "steps_to_do": self.steps_to_do,
            "watched": self.watched,
            "best_step": best[0] if best else None,
            "best": best[1] if best else None,
            "state": self.state,
            "bytes": self.size,
            "age_seconds": self.age,
        }


def open_run(folder: Path) -> Run:
    if not (folder / "run.json").is_file():
        raise UserError(
            "there is no run here", place=folder, way_out="gpt2lab runs list DIR shows those under a folder"
        )
    record, settings = files.read_json(folder / "run.json"), read_yaml(folder / "run.yaml")[0]
    if not isinstance(record, dict) or "state" not in record or "source" not in (settings.get("data") or {}):
        raise UserError("the run is damaged: its files do not say what it is", place=folder)
    return Run(folder, record, settings)


def find(place: Path) -> Iterator[Path]:
    """Folders of runs under `place`, itself included, in the order of their names; what is hidden is passed over."""
    if not place.is_dir():
        raise UserError("there is no such folder", place=place, way_out="name the folder that holds the runs")
    for folder, inner, names in os.walk(place):
        inner.sort()
        if "run.json" in names:
            inner.clear()
            yield Path(folder)
        inner[:] = [name for name in inner if not name.startswith(".")]


def opened(place: Path) -> list[Run]:
    """Those that can be read; the others are named."""
    found = []
    for folder in find(place):
        try:
            run = open_run(folder)
            run.metrics  # noqa: B018 - a damaged file is named here, not in the middle of a table
            found.append(run)
        except UserError as error:
            console.warn(f"left out: {error.cause} ({error.place})")
    return found


def size_of(path: Path) -> int:
    """Bytes of a file or of all files in a folder, but not of what links lead to."""
    try:
        if path.is_symlink() or not path.is_dir():
            return path.lstat().st_size
        return sum(size_of(entry) for entry in path.iterdir())
    except FileNotFoundError:
        return 0  # a run that goes on removes files meanwhile


def ago(seconds: float) -> str:
    for length, name in UNITS:
        if seconds >= length:
            return f"{console.counted(int(seconds // length), name)} ago"
    return "just now"


def show_list(found: list[Run]) -> None:
    columns = ("run", "what", "method", "data", "steps", "best", "state", "size", "age")
    console.table("", columns, [_row(run) for run in found])
    total = sum(run.size for run in found)
    console.say(f"{console.counted(len(found), 'run')}, {console.size(total)}")


def _row(run: Run) -> tuple[object, ...]:
    best, to_do = run.best, run.steps_to_do
    return (
        str(run.folder),
        run.what,
        run.settings.get("method") or "",
        short(run.settings["data"]["source"]),
        f"{run.steps_done:,}" if to_do in (None, run.steps_done) else f"{run.steps_done:,} of {to_do:,}",
        f"{run.watched} {best[1]:.4f} at {best[0]:,}" if best else "",
        run.state,
        console.size(run.size),
        ago(run.age),
    )


def short(source: str) -> str:
    """The end of a path says enough in a table."""
    return Path(source).name if Path(source).is_absolute() else source
