"""python benchmarks/studies.py [NAME …]: how long the quickstart and the five rehearsals take, and what they say.

Each is a command in a fresh process with an empty home, as on a machine that has never seen gpt2lab. About fifteen
minutes on two idle cores.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path[0] = str(Path(__file__).parent.parent)

from benchmarks.common import RESULTS, save, table  # noqa: E402

from gpt2lab.core import files, lines  # noqa: E402
from gpt2lab.study import rehearsal  # noqa: E402
from gpt2lab.study.report.facts import of_study  # noqa: E402


def made(name: str, place: Path) -> dict[str, Any]:
    words = ["quickstart"] if name == "quickstart" else ["rehearse", name]
    line = [sys.executable, "-m", "gpt2lab", *words, "--out", str(place / name), "--quiet"]
    begin = time.perf_counter()
    subprocess.run(line, check=True, env={**os.environ, "GPT2LAB_HOME": str(place / f"{name}-home")})
    seconds = time.perf_counter() - begin
    facts = of_study(place / name)
    return {
        "study": name,
        "seconds": seconds,
        "trainings": sum("steps" in run.about for run in facts.runs),
        "verdict": _headline(place / name / "report.md"),
        "losses": {run.name: _losses(run.folder) for run in facts.runs if run.about},
        "peak_memory_gb": max(run.about["peak_memory"] for run in facts.runs if "peak_memory" in run.about) / 1e9,
        "report_bytes": (place / name / "report.html").stat().st_size,
    }


def _headline(page: Path) -> str:
    """The sentence under the question."""
    return next(line[2:-2] for line in page.read_text("utf-8").splitlines() if line.startswith("**"))


def _losses(run: Path) -> list[float]:
    """The first and the last of training."""
    losses = [line["loss"] for line in lines.read(run / "metrics.jsonl") if line.get("loss") is not None]
    return [losses[0], losses[-1]]


def main() -> None:
    names = sys.argv[1:] or ["quickstart", *rehearsal.shipped()]
    with tempfile.TemporaryDirectory() as place:
        rows = []
        for name in names:
            rows.append(made(name, Path(place)))
            print(f"{name}: {rows[-1]['seconds']:.0f} s", flush=True)
    table(
        ("study", "seconds", "trainings"), [(row["study"], f"{row['seconds']:.0f}", row["trainings"]) for row in rows]
    )
    save("studies", {"rows": _beside_the_others(rows)})


def _beside_the_others(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """In the places of what an earlier call measured of the same studies."""
    path = RESULTS / "studies.json"
    kept = {row["study"]: row for row in files.read_json(path)["rows"]} if path.is_file() else {}
    return list((kept | {row["study"]: row for row in rows}).values())


if __name__ == "__main__":
    main()
