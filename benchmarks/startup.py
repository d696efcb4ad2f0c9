"""python benchmarks/startup.py: how long commands take that only talk. The promise: under 0.4 s on two small cores."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

sys.path[0] = str(Path(__file__).parent.parent)

from benchmarks.common import median, save, table  # noqa: E402

COMMANDS = (
    ["--version"],
    ["--help"],
    ["prepare", "--help"],
    ["pretrain", "--help"],
    ["evaluate", "--help"],
    ["generate", "--help"],
    ["run", "--help"],
    ["recipe", "list"],
    ["recipe", "show", "quickstart"],
    ["pretrain"],
)
ROUNDS = 9


def main() -> None:
    rows = []
    for arguments in COMMANDS:
        seconds = []
        for _ in range(ROUNDS + 1):
            start = time.perf_counter()
            subprocess.run([sys.executable, "-m", "gpt2lab", *arguments], capture_output=True, check=False)
            seconds.append(time.perf_counter() - start)
        rows.append(
            {"command": " ".join(["gpt2lab", *arguments]), "seconds": median(seconds[1:]), "slowest": max(seconds[1:])}
        )
    table(
        ("command", "median s", "slowest s"),
        [(r["command"], f"{r['seconds']:.3f}", f"{r['slowest']:.3f}") for r in rows],
    )
    save("startup", {"what": f"wall time of a fresh process, {ROUNDS} rounds after one to warm up", "commands": rows})


if __name__ == "__main__":
    main()
