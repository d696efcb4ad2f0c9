"""One tuning with several seeds: each a run of its own, in a process of its own, so that memory is measured alike."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

from gpt2lab.core import console, files, lines
from gpt2lab.core.errors import INTERRUPTED, Interrupted
from gpt2lab.study import launch, run_folder
from gpt2lab.study.run_folder import Intent
from gpt2lab.study.settings import TuneSettings, resumed


def run_of(out: Path, seed: int) -> Path:
    return out / f"seed-{seed}"


def refuse_others(out: Path, seeds: list[int], asked: TuneSettings, intent: Intent) -> None:
    """A mean is of trainings that differ in nothing but their seeds: before any, those that are there are compared."""
    for seed in seeds:
        if (run_of(out, seed) / "run.json").is_file():
            train = asked.train.model_copy(update={"seed": seed})
            run_folder.refuse_change(run_of(out, seed), asked.model_copy(update={"train": train}), intent)


def repeat(out: Path, seeds: list[int]) -> dict[str, Any]:
    """This very command once a seed, in `out/seed-N`; what is finished is not done again."""
    run_folder.refuse_what_else_is_here(out, "seed-N")
    for seed in seeds:
        run = run_of(out, seed)
        console.say(f"seed {seed}: {run}")
        code = launch.to_its_end(_command(out, seed), stdout=subprocess.DEVNULL).returncode
        if code == INTERRUPTED:
            raise Interrupted(f"stopped in seed {seed}, saved", shlex.join(["gpt2lab", *sys.argv[1:]]))
        if code:
            raise SystemExit(code)  # it has said why itself
    runs = [_best(run_of(out, seed), seed) for seed in seeds]
    best = [run["best"] for run in runs if run["best"] is not None]
    return {
        "watched": resumed(run_of(out, seeds[0])).train.watch,
        "runs": runs,
        "mean": sum(best) / len(best) if best else None,
        "lowest": min(best, default=None),
        "highest": max(best, default=None),
    }


def _command(out: Path, seed: int) -> list[str]:
    words = without_option(without_option(sys.argv[1:], "--seeds"), "--out")
    run = run_of(out, seed)
    goes_on = ["--resume"] if (run / "run.json").is_file() else []
    begin = [word for word in words if word != "--resume"]  # of some seeds there may be nothing to resume
    return [*begin, "--out", str(run), f"train.seed={seed}", *goes_on]


def without_option(words: list[str], name: str) -> list[str]:
    """Of a command line, given as `--name value` or `--name=value`."""
    kept, skip = [], False
    for word in words:
        if not skip and word != name and not word.startswith(f"{name}="):
            kept.append(word)
        skip = word == name and not skip
    return kept


def _best(run: Path, seed: int) -> dict[str, Any]:
    stored, watched = files.read_json(run / "run.json"), resumed(run).train.watch
    looks = {line["step"]: line[watched] for line in lines.read(run / "metrics.jsonl") if watched in line}
    step = stored["best_step"] if stored["best_step"] is not None else stored["steps"]
    return {"seed": seed, "run": str(run), "best_step": step, "best": looks.get(step)}
