"""python benchmarks/every_death.py: a training dies at every single open, fsync and rename, and is resumed each time.

For every case of tests/faults and two more, all with dropout, accumulation, several epochs and shards. The tests take a
seeded sample of these deaths; here is every one, once, in about twenty minutes.
"""

from __future__ import annotations

import itertools
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
sys.path[:1] = [str(ROOT), str(ROOT / "tests")]

import torch  # noqa: E402
from benchmarks.common import save, table  # noqa: E402

from faults.cases import CASES, deaths, small_rows  # noqa: E402
from gpt2lab.core import console  # noqa: E402

KINDS = ("open", "fsync", "rename")
MORE: dict[str, dict[str, Any]] = {
    "adamw, bf16, every step, layer decay": {"checkpoint_every": 1, "precision": "bf16", "layer_decay": 0.8},
    "muon, fp32, at epoch ends, one kept": {"checkpoint_every": "epoch", "optimizer": "muon", "keep": 1},
}


def sweep(place: Path) -> Iterator[dict[str, Any]]:
    """One row a case and kind; a death after which anything differs raises."""
    rows = small_rows(place)
    for case, given in {**CASES, **MORE}.items():
        for kind in KINDS:
            begin = time.perf_counter()
            points = sum(1 for _ in deaths(rows, place, given, kind, itertools.count(1)))
            seconds = time.perf_counter() - begin
            print(f"{case}: died at each of {points} operations of kind {kind}, {seconds:.0f} s", flush=True)
            yield {"case": case, "kind": kind, "points": points, "bit_equal": points, "seconds": round(seconds, 1)}


def main() -> None:
    torch.set_num_threads(1)  # forked children cannot use a parent's threads
    console.configure("quiet")
    with tempfile.TemporaryDirectory() as place:
        found = list(sweep(Path(place)))
    table(("case", "kind", "points"), [(row["case"], row["kind"], row["points"]) for row in found])
    save("deaths-training", {"rows": found, "points": sum(row["points"] for row in found)})


if __name__ == "__main__":
    main()
