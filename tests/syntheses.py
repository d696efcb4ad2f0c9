"""Small recipes for data sets, and what tests read of the results."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import yaml

from gpt2lab.core.settings import merged
from gpt2lab.text.synthesis.settings import SynthesisRecipe

SMALL: dict[str, Any] = {
    "name": "small",
    "purpose": "tests",
    "prompt": {
        "user": "Describe {tag}, {b} and {c}.",
        "variables": {name: [f"{name}-{number}" for number in range(60)] for name in ("tag", "b", "c")},  # all differ
    },
    "delimiters": {"open": "<LOC>", "close": "</LOC>"},
    "model": {"name": "some-model", "max_tokens": 200},
    "prices": {"prompt": 1000.0, "completion": 2000.0},
    "checks": {"fewest_words": 20, "most_words": 60},
    "requests": {"concurrency": 4, "timeout": 5.0, "retries": 3, "backoff": 0.02},
}


def recipe(**changes: dict[str, Any]) -> SynthesisRecipe:
    return SynthesisRecipe.model_validate(merged(copy.deepcopy(SMALL), changes))


def recipe_file(path: Path, **changes: dict[str, Any]) -> Path:
    path.write_text(yaml.safe_dump(merged(copy.deepcopy(SMALL), changes)))
    return path


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def prompts_answered(journal: Path, used: SynthesisRecipe) -> list[str]:
    from gpt2lab.text.synthesis.template import prompt

    return [prompt(used.prompt, record["number"]).user for record in rows(journal) if record["kind"] == "answer"]
