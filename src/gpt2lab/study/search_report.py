"""A search as a table and a curve."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gpt2lab.core import files
from gpt2lab.study.axis import Axis


def write(out: Path, axes: Sequence[Axis], watched: str, trials: Sequence[dict[str, Any]]) -> None:
    """`table.csv`, and `curve.svg` and `curve.png` over the first axis."""
    files.write_text(out / "table.csv", table(axes, watched, trials))
    ended = [trial for trial in trials if trial["best"] is not None]
    if ended:
        _draw(out, axes[0], watched, ended, joined=len(axes) == 1 and axes[0].is_number)


def table(axes: Sequence[Axis], watched: str, trials: Sequence[dict[str, Any]]) -> str:
    made = io.StringIO()
    writer = csv.writer(made, lineterminator="\n")
    writer.writerow(["trial", *(axis.key for axis in axes), "state", watched, "at_step"])
    for trial in trials:
        values = [trial["point"][axis.key] for axis in axes]
        writer.writerow([trial["number"], *values, trial["state"], trial["best"], trial["best_step"]])
    return made.getvalue()


def _draw(out: Path, axis: Axis, watched: str, trials: Sequence[dict[str, Any]], joined: bool) -> None:
    """Trials that differ in nothing but a number are joined."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 4), layout="constrained")
    plot = figure.add_subplot()
    numbers = _numbers(axis, trials)
    for state, marker in (("finished", "o"), ("pruned", "v"), ("diverged", "x")):
        chosen = [(number, trial["best"]) for number, trial in zip(numbers, trials) if trial["state"] == state]
        if chosen:
            chosen.sort()
            plot.plot(*zip(*chosen), marker, linestyle="-" if joined and state == "finished" else "none", label=state)
    if axis.is_number and min(numbers) > 0:
        plot.set_xscale("log")
    if not axis.is_number:
        plot.set_xticks(range(len(axis.values)), axis.values)
    plot.set_xlabel(axis.key)
    plot.set_ylabel(f"best {watched}")
    plot.legend()
    for ending in ("svg", "png"):
        drawn = io.BytesIO()
        figure.savefig(drawn, format=ending, metadata={"Date": None} if ending == "svg" else {})
        with files.new_file(out / f"curve.{ending}") as file:
            file.write(drawn.getvalue())


def _numbers(axis: Axis, trials: Sequence[dict[str, Any]]) -> list[float]:
    values = [trial["point"][axis.key] for trial in trials]
    return [float(value) if axis.is_number else float(axis.values.index(value)) for value in values]
