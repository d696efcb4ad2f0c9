"""What of runs could go: never a model, a result, or what an unfinished run goes on from."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from gpt2lab.core import console, files, lock
from gpt2lab.core.errors import UserError
from gpt2lab.study.runs import find, open_run, size_of

FORMER = "model-before-*"  # the model of a run before it was prolonged
ABOUT = "gpt2lab.json"  # what an adapter stands on


@dataclass(frozen=True)
class Spare:
    """A file or folder that nothing needs any more."""

    path: Path
    why: str
    run: Path
    size: int


def spares(place: Path) -> list[Spare]:
    found = []
    for folder in find(place):
        try:
            state = open_run(folder).state
        except UserError as error:
            console.warn(f"left alone: {error.cause} ({error.place})")
            continue
        if state == "running":
            console.say(f"{folder}: running, left alone")
        else:
            found += _of(folder, finished=state == "finished")
    return _without_bases(found, place)


def _without_bases(found: list[Spare], place: Path) -> list[Spare]:
    """Former models stay where an adapter was tuned on them: one under this place, or around it where it is a run."""
    former = [spare for spare in found if spare.path.match(FORMER)]
    around = place.resolve().parent if (place / "run.json").is_file() else place
    records = around.rglob(ABOUT) if former else ()
    adapters = {files.read_json(about).get("base_weights"): about.parent for about in records}
    if not adapters:
        return found
    from gpt2lab.model.reading import weight_hash

    bases = {spare.path: adapter for spare in former if (adapter := adapters.get(weight_hash(spare.path)))}
    for path, adapter in bases.items():
        console.say(f"{path}: kept, the adapter {adapter} stands on it")
    return [spare for spare in found if spare.path not in bases]


def _of(run: Path, *, finished: bool) -> list[Spare]:
    found = [(path, "an earlier model of a prolonged run") for path in sorted(run.glob(FORMER))]
    checkpoints = run / "checkpoints"
    if finished and checkpoints.is_dir() and any(checkpoints.iterdir()):
        found.append((checkpoints, "checkpoints of a finished run; without them it cannot be prolonged"))
    else:
        found += [(path, "a damaged checkpoint") for path in sorted(checkpoints.glob("damaged-step-*"))]
        found += [(path, "half removed") for path in sorted(checkpoints.glob(".removed-*"))]
    found += [(path, "half removed") for path in sorted(run.glob(".removed-*"))]
    inside = [path for path, _ in found]
    found += [
        (path, "left by a process that is gone")
        for path in _left_behind(run)
        if not any(path.is_relative_to(parent) for parent in inside)
    ]
    return [Spare(path, why, run, size_of(path)) for path, why in found if not path.is_symlink()]


def _left_behind(run: Path) -> Iterator[Path]:
    """What was being written in the run, or was to become it, when a process of this machine died."""
    around = [path for path in run.parent.glob(f".{run.name}.*.writing") if files.is_leftover(path)]
    inside = [
        Path(folder) / name
        for folder, inner, names in os.walk(run)
        for name in [*inner, *names]
        if files.is_leftover(Path(folder) / name)
    ]
    return iter(sorted([*around, *inside]))


def remove(found: list[Spare]) -> int:
    """Bytes that are free again. A run that has begun to run meanwhile is left alone."""
    freed = 0
    for run in dict.fromkeys(spare.run for spare in found):
        try:
            with lock.locked(run / ".lock"):
                still = {spare.path: spare for spare in _of(run, finished=open_run(run).state == "finished")}
                for spare in [still[spare.path] for spare in found if spare.run == run and spare.path in still]:
                    _remove(spare.path)
                    freed += spare.size
        except UserError as error:
            console.warn(f"left alone: {error.cause} ({error.place})")
    return freed


def _remove(path: Path) -> None:
    """Under another name first, so that nothing half removed looks whole."""
    gone = path if path.name.startswith(".") else path.with_name(f".removed-{path.name}")
    if gone != path:
        if gone.is_dir():
            shutil.rmtree(gone)
        files.rename(path, gone)
    shutil.rmtree(gone) if gone.is_dir() else gone.unlink(missing_ok=True)


def show(found: list[Spare]) -> None:
    rows = [(str(spare.path), console.size(spare.size), spare.why) for spare in found]
    if rows:
        console.table("", ("what could go", "size", "why"), rows)
    console.say(f"{console.counted(len(found), 'thing')}, {console.size(sum(spare.size for spare in found))}")
