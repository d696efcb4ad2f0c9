"""A small study, or any command, that is killed with everything it has started, and run again to its end."""

from __future__ import annotations

import os
import re
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import yaml

from command_line import gpt2lab
from small_recipe import RECIPE, TRAIN

STEPS = {"steps": 6, "checkpoint_every": 2}
KILLED = {
    **RECIPE,
    "question": "Does it come to the same end?",
    "train": {**RECIPE["train"], **STEPS},
    "tune": {**RECIPE["tune"], "train": {**TRAIN, **STEPS}},
    "variants": {"full": {"method": "full"}, "soft": {"method": "prompt", "prompt": {"tokens": 2}}},
    "over": {"train.learning_rate": "1e-3,1e-2"},
    "measures": [
        {"protocol": "perplexity/word", "data": "synthesized",
         "settings": {"data.split": "test", "evaluate.context": 30}},
        {"protocol": "text-quality", "data": "samples"},
    ],
    "prompts": ["<LOC>", "The market"],
    "samples": {"max_new_tokens": 8},
}  # fmt: skip
MEASURED = re.compile(r"\(measured\)")


def write_recipe(folder: Path, steps: int | None = None) -> Path:
    """`steps` for the tunings alone, in place of a few, and with no search."""
    path, long = folder / "small.yaml", {"tune": {**KILLED["tune"], "train": {**TRAIN, "steps": steps}}, "over": {}}
    path.write_text(yaml.safe_dump({**KILLED, **(long if steps else {})}))
    return path


def run(recipe: Path, study: Path, die_after: float | None = None) -> bool:
    return in_a_child(["run", recipe, "--out", study], die_after)


def in_a_child(words: Sequence[object], die_after: float | None = None) -> bool:
    """A command in a child of this process, which has imported everything; whether it came to its end."""
    child = os.fork()
    if child == 0:
        with Path(os.devnull).open("w") as nowhere:
            os.dup2(nowhere.fileno(), sys.stdout.fileno())
            os.dup2(nowhere.fileno(), sys.stderr.fileno())
        code = 1
        try:
            code = gpt2lab(*words)
        finally:
            os._exit(code)
    if die_after is not None:
        time.sleep(die_after)
        for process in [child, *started_by(child)]:
            os.kill(process, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    return os.WIFEXITED(status) and os.WEXITSTATUS(status) == 0


def started_by(process: int) -> list[int]:
    """Its children, and theirs."""
    own = [
        int(child)
        for task in Path(f"/proc/{process}/task").iterdir()
        for child in (task / "children").read_text().split()
    ]
    return [*own, *(later for child in own for later in started_by(child))]


def report(study: Path) -> str:
    """As Markdown, without what is measured on a machine and differs from run to run."""
    return "\n".join(_unmeasured((study / "report.md").read_text().splitlines()))


def _unmeasured(lines: Sequence[str]) -> Iterator[str]:
    columns: set[int] = set()
    for line in lines:
        if not line.startswith("|"):
            columns = set()
            yield line
            continue
        cells = line.split("|")
        if MEASURED.search(cells[1]):  # a row that follows from what was measured
            continue
        columns |= {place for place, cell in enumerate(cells) if MEASURED.search(cell)}
        yield "|".join("" if place in columns else cell for place, cell in enumerate(cells))
