"""python benchmarks/real_sets.py PLACE: a small model made here, on all of WikiText-2's test and HellaSwag.

It shows protocols side by side on real data, and no skill: a model of three million parameters that has read one
million tokens of Wikipedia. PLACE keeps corpus and run. Needs GPT2LAB_REAL_DATA; about ten minutes on two idle cores.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

sys.path[0] = str(Path(__file__).parent.parent)

from benchmarks.common import save, table  # noqa: E402

MODEL = ["model.layers=4", "model.heads=4", "model.width=128", "model.context=256"]
TRAIN = ["train.tokens=1000000", "train.batch_tokens=8192", "train.optimizer=muon", "train.learning_rate=3e-3",
         "train.validate_every=0", "train.seed=1"]  # fmt: skip
KEPT = ("protocol", "value", "interval", "counts", "accuracy", "accuracy_interval", "accuracy_normalised",
        "accuracy_normalised_interval", "settings", "seconds")  # fmt: skip


def gpt2lab(*words: object) -> Any:
    line = [sys.executable, "-m", "gpt2lab", *map(str, words), "--json"]
    print("+", *line[2:], flush=True)
    done = subprocess.run(line, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout.strip().splitlines()[-1])


def measured(model: Path, data: Path) -> list[dict[str, Any]]:
    wikitext = ["--data", "wikitext-2-tokenised", "--from", data / "wikitext-2", "data.split=test"]
    perplexity = "perplexity/token-window,perplexity/word,bits-per-byte"
    hellaswag = ["--data", data / "hellaswag" / "hellaswag_val.jsonl.xz"]
    found = gpt2lab("evaluate", model, "--protocol", perplexity, *wikitext)
    found += gpt2lab("evaluate", model, "--protocol", "hellaswag/harness,hellaswag/completion", *hellaswag)
    return [{key: record[key] for key in KEPT if key in record} for record in found]


def main() -> None:
    place, data = Path(sys.argv[1]).resolve(), Path(os.environ["GPT2LAB_REAL_DATA"])
    tokens = ["--tokenizer", "own", "prepare.vocabulary=16384", "prepare.validation=0.02"]
    gpt2lab("prepare", data / "wikipedia" / "*.jsonl.xz", "--out", place / "wiki", *tokens)
    resume = ["--resume"] if (place / "short" / "run.json").is_file() else ["--data", place / "wiki", *MODEL, *TRAIN]
    run = gpt2lab("pretrain", "--out", place / "short", *resume)
    found = measured(place / "short", data)
    table(("protocol", "value", "low", "high"), [(r["protocol"], f"{r['value']:.4g}", *ends(r)) for r in found])
    keys = ("parameters", "steps", "training_seconds", "tokens_per_second")
    save("real-sets", {"model": {**{key: run[key] for key in keys}, "settings": [*MODEL, *TRAIN]}, "rows": found})


def ends(record: dict[str, Any]) -> tuple[str, str]:
    interval = record["interval"] or {"low": float("nan"), "high": float("nan")}
    return f"{interval['low']:.4g}", f"{interval['high']:.4g}"


if __name__ == "__main__":
    main()
