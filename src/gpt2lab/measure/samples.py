"""Generated texts with the prompts, seeds and decoding that made them, as `gpt2lab generate --json` prints them."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gpt2lab.core import files
from gpt2lab.core.errors import UserError
from gpt2lab.text.opening import open_text

# Settings of generation that never move a text.
IDLE = ("rows", "token_details", "alternatives", "compile")
NOTHING = type(None)
FIELDS: dict[str, tuple[tuple[type, ...], str]] = {  # what each must be, and how that is said
    "prompt": ((str,), "prompt"),
    "text": ((str,), "text"),
    "sample": ((int, NOTHING), "sample that is a whole number"),
    "seed": ((int, NOTHING), "seed that is a whole number"),
    "settings": ((dict, NOTHING), "settings object"),
}


@dataclass(frozen=True)
class Sample:
    prompt: str
    text: str
    number: int  # among the samples of its prompt
    seed: int | None
    decoding: dict[str, Any]  # every setting, the token budget among them


def read(path: Path) -> list[Sample]:
    found = []
    stream, _ = open_text(path)
    with stream:
        for number, line in enumerate(stream, 1):
            if not line.isspace():
                found.append(_sample(line, f"{path.name}, row {number}"))
    if not found:
        raise UserError("there are no samples here", place=path, way_out="gpt2lab generate MODEL --json makes them")
    twice = Counter((sample.prompt, sample.number, sample.seed) for sample in found).most_common(1)[0]
    if twice[1] > 1:
        raise UserError(
            f"sample {twice[0][1]} of seed {twice[0][2]} stands {twice[1]} times for the prompt {twice[0][0][:40]!r}",
            place=path,
            way_out="give the samples of one model alone, each once",
        )
    return found


def conditions(samples: Sequence[Sample]) -> dict[str, Any]:
    """What must agree before two sets of samples are compared."""
    keys = sorted({key for sample in samples for key in sample.decoding})
    ways = {key: sorted({json.dumps(sample.decoding.get(key)) for sample in samples}) for key in keys}
    made = sorted((sample.prompt, sample.number, sample.seed or 0) for sample in samples)
    return {
        "prompts": files.fingerprint(sorted({sample.prompt for sample in samples})),
        "samples": len(samples),
        "seeds": sorted({sample.seed for sample in samples if sample.seed is not None}),
        "draws": files.fingerprint(made),
        "decoding": {key: json.loads(values[0]) if len(values) == 1 else values for key, values in ways.items()},
    }


def _sample(line: bytes, place: str) -> Sample:
    try:
        row = json.loads(line.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise UserError("not a JSON object", place=place, way_out="gpt2lab generate MODEL --json makes them") from error
    wrong = [
        name for key, (kind, name) in FIELDS.items() if not isinstance(row, dict) or type(row.get(key)) not in kind
    ]
    if wrong:
        raise UserError(f"a sample needs a {wrong[0]}", place=place, way_out="gpt2lab generate MODEL --json makes them")
    settings = row.get("settings") or {}
    decoding = {key: value for key, value in settings.items() if key not in IDLE}
    return Sample(row["prompt"], row["text"], row.get("sample") or 0, row.get("seed"), decoding)
