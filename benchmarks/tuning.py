"""python benchmarks/tuning.py PLACE: what each way to tune is worth, on real data, from a base made here.

A GPT-2 of nine million parameters learns from Wikipedia; then every method makes a classifier of AG News of it,
measured on all 7,600 test texts, and full and LoRA tuning move it to WikiText-2, measured there and at home.
Each training is a command in a process of its own. PLACE keeps the runs: what is finished is not done again.
Needs GPT2LAB_REAL_DATA.
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

from gpt2lab.core import files  # noqa: E402
from gpt2lab.measure import comparison, records  # noqa: E402

BASE = Path(__file__).with_name("tuning-base.yaml")
VOCABULARY = ["prepare.vocabulary=16384"]
EVERY = ["train.batch_rows=32", "train.seed=1", "train.checkpoint_every=0"]
NEWS: dict[str, list[str]] = {
    "full": ["--method", "full", "train.learning_rate=5e-4"],
    "partial": ["--method", "partial", "train.learning_rate=5e-4"],
    "lora": ["--method", "lora", "lora.rank=8", "lora.targets=all", "train.learning_rate=3e-3"],
    "qlora": ["--method", "qlora", "lora.rank=8", "lora.targets=all", "train.learning_rate=3e-3"],
    "prompt": ["--method", "prompt", "prompt.tokens=20", "train.learning_rate=1e-2"],
}
WIKITEXT: dict[str, list[str]] = {
    "full": ["--method", "full", "train.learning_rate=3e-4"],
    "lora": ["--method", "lora", "lora.rank=8", "lora.targets=all", "train.learning_rate=2e-3"],
}
WIKITEXT_STEPS = ["train.epochs=none", "train.steps=150", "train.block=256", "train.validate_every=0"]


def gpt2lab(*words: object) -> Any:
    """A command in a fresh process; what its last line says."""
    line = [sys.executable, "-m", "gpt2lab", *map(str, words), "--json"]
    print("+", *line[2:], flush=True)
    done = subprocess.run(line, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout.strip().splitlines()[-1])


def base(place: Path, data: Path, *changes: str) -> Path:
    source = str(data / "wikipedia" / "*.jsonl.xz")
    gpt2lab("prepare", source, "--out", place / "wiki", "--tokenizer", "own", *VOCABULARY, "prepare.validation=0.02")
    settings = files_settings(BASE)
    resume = (
        ["--resume"] if (place / "base" / "run.json").is_file() else ["--data", place / "wiki", *settings, *changes]
    )
    gpt2lab("pretrain", "--out", place / "base", *resume)
    return place / "base"


def files_settings(path: Path) -> list[str]:
    """`group.key=value` for each line of the settings file."""
    import yaml

    groups = yaml.safe_load(path.read_text())
    return [f"{group}.{key}={value}" for group, values in groups.items() for key, value in values.items()]


def tune(run: Path, *words: object) -> dict[str, Any]:
    goes_on = ["--resume"] if (run / "run.json").is_file() else list(words)
    return gpt2lab("finetune", "--out", run, *goes_on)


def news(place: Path, data: Path, started_from: Path) -> list[dict[str, Any]]:
    found = []
    for name, words in NEWS.items():
        run = place / "news" / name
        given = ["--base", started_from, "--data", "ag-news", "--from", data / "ag-news", "--task", "labels"]
        about = tune(run, *given, *words, *EVERY, "train.epochs=none", "train.steps=600", "prepare.validation=0.05")
        tested = ["--data", "ag-news", "--from", data / "ag-news", "data.split=test"]
        record = gpt2lab("evaluate", run, "--protocol", "labels", *tested)
        found.append({"method": name, "command": words, **cost(about, "texts"), **quality(record)})
    return found


def quality(record: dict[str, Any]) -> dict[str, Any]:
    return {key: record[key] for key in ("protocol", "value", "interval", "macro_f1", "counts") if key in record}


def cost(run: dict[str, Any], unit: str) -> dict[str, Any]:
    sizes = (
        "parameters",
        "trainable_parameters",
        "parameters_in_four_bits",
        "peak_memory",
        "training_seconds",
        "steps",
    )
    keys = (*sizes, *dict.fromkeys((f"{unit}_per_second", "tokens_per_second")))
    return {key: run[key] for key in keys if key in run}


def wikitext(place: Path, data: Path, started_from: Path) -> list[dict[str, Any]]:
    """Gain on WikiText-2's test articles and loss on held-out Wikipedia, each against the base, paired by document."""
    source = ["--data", "wikitext-2-tokenised", "--from", data / "wikitext-2"]
    before = measured(started_from, "perplexity/word", *source, "data.split=test")
    found, lost = [{"method": "untouched", **quality(before)}], {}
    for name, words in WIKITEXT.items():
        run = place / "wikitext" / name
        about = tune(run, "--base", started_from, *source, "--task", "text", *words, *EVERY, *WIKITEXT_STEPS)
        after = measured(run, "perplexity/word", *source, "data.split=test")
        gain = comparison.compare(after, before)
        forgot = lost[name] = measured(run, "forgetting", "--data", place / "wiki", "--base", started_from)
        found.append(
            {
                "method": name,
                "command": words,
                **cost(about, "tokens"),
                **quality(after),
                "against_the_base": gain.as_dict(),
                "forgetting": {key: forgot[key] for key in ("protocol", "value", "interval", "counts")},
            }
        )
    found[1]["forgetting_beyond_lora"] = comparison.compare(lost["full"], lost["lora"]).as_dict()
    return found


def measured(model: Path, protocol: str, *words: object) -> dict[str, Any]:
    """With its items, which lie beside the record."""
    gpt2lab("evaluate", model, "--protocol", protocol, *words)
    (record,) = (
        record
        for path in sorted((model / "results").glob("*.json"))
        if str((record := records.read(path))["protocol"]).startswith(protocol)
    )
    return record


def main() -> None:
    place, data = Path(sys.argv[1]).resolve(), Path(os.environ["GPT2LAB_REAL_DATA"])
    started_from = base(place, data)
    classes, texts = news(place, data, started_from), wikitext(place, data, started_from)
    table(
        ("AG News", "accuracy", "low", "high", "moving", "peak GB", "training s", "texts/s"),
        [
            (
                row["method"],
                f"{row['value']:.4f}",
                f"{row['interval']['low']:.4f}",
                f"{row['interval']['high']:.4f}",
                f"{row['trainable_parameters']:,}",
                f"{row['peak_memory'] / 1e9:.2f}",
                f"{row['training_seconds']:.0f}",
                f"{row['texts_per_second']:.0f}",
            )
            for row in classes
        ],
    )
    table(
        ("WikiText-2", "word perplexity", "nats a word", "forgetting, nats a token"),
        [
            (
                row["method"],
                f"{row['value']:.2f}",
                str(row.get("against_the_base", {}).get("value", "")),
                str(row.get("forgetting", {}).get("value", "")),
            )
            for row in texts
        ],
    )
    pretrained = files.read_json(started_from / "run.json")
    save(
        "tuning",
        {
            "what": "one base, pretrained here on Wikipedia, and every way to tune it; one seed",
            "base": {**cost(pretrained, "tokens"), "settings": BASE.name, "finished": pretrained["finished"]},
            "ag_news": classes,
            "wikitext_2": texts,
        },
    )


if __name__ == "__main__":
    main()
