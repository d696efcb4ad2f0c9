"""One run for people: what it is, how its losses fell, what was measured, where it came from; also while it runs."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gpt2lab.core import console, files, lines
from gpt2lab.core.errors import UserError
from gpt2lab.study.run_differences import flat
from gpt2lab.study.runs import Run, ago, open_run

SECONDS_BETWEEN_LOOKS = 0.5
STEPS_OF_RATE = 50  # the last so many say how fast it goes now


def show(run: Run) -> None:
    console.say(f"{run.folder}: {run.what}, {run.state}, {console.size(run.size)}, {ago(run.age)}")
    rows = [(key, _plain(value)) for key, value in flat(run.settings).items() if value not in (None, [], {})]
    console.table("settings", ("setting", "value"), rows)
    for line in curves(run.metrics):
        console.say(line)
    if best := run.best:
        console.say(f"best: {run.watched} {best[1]:.4f} at step {best[0]:,}")
    if results := run.results:
        from gpt2lab.measure import showing

        console.say("results")
        showing.show(results)
    console.say("lineage")
    for number, line in enumerate(lineage(run)):
        console.say(f"{'  ' * number}{line}")


def curves(metrics: list[dict[str, Any]]) -> list[str]:
    """A line of bars for each loss, with its first, lowest and last value."""
    found = []
    for key in ("loss", "validation_loss", "validation_accuracy"):
        values = [line[key] for line in metrics if line.get(key) is not None]
        if values:
            extreme = f"highest {max(values):.4f}" if key.endswith("accuracy") else f"lowest {min(values):.4f}"
            ends = f"{values[0]:.4f} to {values[-1]:.4f}, {extreme}"
            found.append(f"{key:20}{console.sparkline(values)}  {ends}")
    return found


def lineage(run: Run) -> list[str]:
    """What it began from, and that from, as far as it can be followed from here."""
    told = [f"{run.folder}, on {run.settings['data']['source']}"]
    seen, here = {run.folder.resolve()}, run
    while True:
        base = here.record.get("base")
        if not base:
            return [*told, "random weights"]
        place = Path(base["path"])
        known = f"{base['path']} (weights {base['weights'][:12]})"
        if place.name == "model" and (place.parent / "run.json").is_file():
            place = place.parent
        if not (place / "run.json").is_file() or place.resolve() in seen:
            return [*told, known]
        here = open_run(place)
        seen.add(place.resolve())
        told.append(f"{known}, on {here.settings['data']['source']}")


class Tail:
    """The records of a file that grows; begun anew where it was cut back because the run went on from a checkpoint."""

    def __init__(self, path: Path) -> None:
        self.path, self.place = path, 0
        self.records: list[dict[str, Any]] = []

    def look(self) -> bool:
        """Whether there was something new."""
        if not self.path.is_file():
            return False
        if self.path.stat().st_size < self.place:
            self.place, self.records = 0, []
        with self.path.open("rb") as file:
            file.seek(self.place)
            whole = file.read()
        whole = whole[: whole.rfind(b"\n") + 1]
        self.place += len(whole)
        self.records += lines.parsed(whole, self.path)
        return bool(whole)


def follow(folder: Path, sleep: Callable[[float], None] = time.sleep) -> str:
    """Watch a run until it ends, stops, or the watcher has enough; how it stood then."""
    run = open_run(folder)
    metrics, timings = Tail(folder / "metrics.jsonl"), Tail(folder / "timings.jsonl")
    try:
        with console.live() as tell:
            while True:
                state = run.state  # before the last look, so that nothing written in between is missed
                new = metrics.look()
                if timings.look() or new or state != "running":
                    tell(_now(run, metrics.records, timings.records))
                if state != "running":
                    break
                sleep(SECONDS_BETWEEN_LOOKS)
                run = _again(run)
    except KeyboardInterrupt:
        return "left"
    console.say(f"{folder}: {state}")
    return state


def _again(run: Run) -> Run:
    """run.json may be being replaced, and the folder may have gone."""
    try:
        return Run(run.folder, files.read_json(run.folder / "run.json"), run.settings)
    except UserError:
        if os.path.lexists(run.folder):
            raise
        raise UserError("the run was removed while it was watched", place=run.folder) from None


def _now(run: Run, metrics: list[dict[str, Any]], timings: list[dict[str, Any]]) -> str:
    if not metrics:
        return f"{run.folder}: no step yet"
    step, to_do = metrics[-1]["step"], run.steps_to_do
    last = [line["seconds"] for line in timings[-STEPS_OF_RATE:]]
    parts = [f"step {step:,}" + (f" of {to_do:,}" if to_do else "")]
    if last and sum(last):
        rate = len(last) / sum(last)
        parts.append(f"{rate:,.2f} steps/s")
        if to_do and to_do > step:
            parts.append(f"{console.duration((to_do - step) / rate)} left")
    return "\n".join([*curves(metrics), ", ".join(parts)])


def _plain(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
