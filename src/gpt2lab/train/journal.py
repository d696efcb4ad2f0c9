"""What a run writes down: `metrics.jsonl`, which must be reproducible, and `timings.jsonl`, which was measured."""

from __future__ import annotations

import math
import statistics
from collections import deque
from pathlib import Path
from typing import Any

from gpt2lab.core import lines

WINDOW, ENOUGH = 50, 20  # losses that say what is normal
FAR = 6.0  # standard deviations above it


class Journal:
    """Appends records; knows the last losses, so that a spike is marked as one."""

    def __init__(self, folder: Path, sizes: dict[str, int] | None) -> None:
        for name in ("metrics", "timings"):
            lines.cut(folder / f"{name}.jsonl", (sizes or {}).get(name, 0))
        self.losses: deque[float] = deque(maxlen=WINDOW)
        for record in lines.read(folder / "metrics.jsonl"):
            self._remember(record)
        self.metrics = lines.LineWriter(folder / "metrics.jsonl")
        self.timings = lines.LineWriter(folder / "timings.jsonl")

    def write(self, record: dict[str, Any]) -> dict[str, Any]:
        if self._is_spike(record):
            record["spike"] = True
        record = {key: _finite(value) for key, value in record.items()}
        self._remember(record)
        self.metrics.write(record)
        return record

    def sizes(self) -> dict[str, int]:
        """To which the files are cut back when a run goes on from here."""
        self.metrics.flush()
        self.timings.flush()
        return {"metrics": self.metrics.position(), "timings": self.timings.position()}

    def close(self) -> None:
        self.metrics.close()
        self.timings.close()

    def _remember(self, record: dict[str, Any]) -> None:
        if record.get("loss") is not None:
            self.losses.append(record["loss"])

    def _is_spike(self, record: dict[str, Any]) -> bool:
        if len(self.losses) < ENOUGH or not math.isfinite(record["loss"]):
            return False
        return record["loss"] > statistics.fmean(self.losses) + FAR * statistics.pstdev(self.losses)


def numbers(record: dict[str, Any]) -> dict[str, float]:
    """What can be drawn."""
    return {key: float(value) for key, value in record.items() if isinstance(value, int | float) and key != "step"}


def _finite(value: Any) -> Any:
    """JSON knows no NaN."""
    return None if isinstance(value, float) and not math.isfinite(value) else value
