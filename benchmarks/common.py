"""What benchmarks share: candidates take turns in one process, and results are kept with date and hardware."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import torch

from gpt2lab.core import environment, hardware

RESULTS = Path(__file__).parent / "results"


def take_turns(candidates: dict[str, Callable[[int], Callable[[], object]]], rounds: int) -> dict[str, list[float]]:
    """Seconds of each candidate in each round: A B C A B C …, so that a noisy minute hurts all alike.

    A candidate gets the number of the round and returns the work that is timed.
    """
    seconds: dict[str, list[float]] = {name: [] for name in candidates}
    for number in range(rounds):
        for name, prepare in candidates.items():
            work = prepare(number)
            start = time.perf_counter()
            work()
            seconds[name].append(time.perf_counter() - start)
    return seconds


def save(name: str, result: dict[str, Any], device: torch.device | None = None) -> Path:
    device = device or torch.device("cpu")
    record = {
        "date": date.today().isoformat(),
        "hardware": {
            "device": hardware.device_name(device),
            "memory_gb": round(hardware.memory() / 1e9, 1),
            "bf16": hardware.has_bf16(device),
        },
        **environment.record(),
        **result,
    }
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    path.write_text(json.dumps(record, indent=2, ensure_ascii=False) + "\n")
    print(f"written: {path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path}")
    return path


def table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    cells = [[str(cell) for cell in row] for row in [columns, *rows]]
    widths = [max(len(row[i]) for row in cells) for i in range(len(columns))]
    for row in cells:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip())


def median(values: Sequence[float]) -> float:
    return statistics.median(values)
