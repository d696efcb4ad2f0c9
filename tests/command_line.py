"""The command line as users meet it: in this process for speed, in a fresh one where that is the point."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from gpt2lab.cli.main import run_verb
from gpt2lab.core import console


def gpt2lab(*arguments: object) -> int:
    console.configure("normal")
    return run_verb([str(argument) for argument in arguments])


def fresh(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "gpt2lab", *map(str, arguments)],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
        check=False,
        cwd=Path(__file__).parent,
    )


def last_json(text: str) -> Any:
    return json.loads(text.strip().splitlines()[-1])
