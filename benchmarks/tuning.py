"""python benchmarks/tuning.py PLACE: what each way to tune is worth, on real data, from a base made here.

A GPT-2 of nine million parameters learns from Wikipedia; then every method makes a classifier of AG News of it,
measured on all 7,600 test texts, and full and LoRA tuning move it to WikiText-2, measured there and at home.
Each method's rate is the best of four, or three, by the validation loss of shorter trainings with another seed.
Each command runs in a process of its own. PLACE keeps the runs: what is finished is not done again.
Needs GPT2LAB_REAL_DATA; an hour and a half on two cores, which should have nothing else to do.
"""

from __future__ import annotations

import argparse
import itertools
import json
import lzma
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path[0] = str(Path(__file__).parent.parent)

from benchmarks.common import save, table  # noqa: E402

from gpt2lab.core import files  # noqa: E402
from gpt2lab.measure import comparison, records  # noqa: E402
from gpt2lab.model import quantised  # noqa: E402
from gpt2lab.model.reading import is_quantised, read_model  # noqa: E402
from gpt2lab.model.settings import QloraSettings  # noqa: E402
from gpt2lab.model.writing import write_model  # noqa: E402
from gpt2lab.text import tokenizer  # noqa: E402

BASE = Path(__file__).with_name("tuning-base.yaml")
VOCABULARY = ["prepare.vocabulary=16384"]
EVERY = ["train.batch_rows=32", "train.checkpoint_every=0", "train.epochs=none"]
LORA = ["lora.rank=8", "lora.targets=all"]
SEED, SEED_OF_SEARCHES = 1, 2
ADAPTERS = ("lora", "qlora", "prompt")
OPENED = 20  # texts by which an adapter in PEFT is held against ours


@dataclass(frozen=True)
class Way:
    """A method with its settings, and the rates that are tried."""

    method: str
    rates: str
    settings: Sequence[str] = ()

    @property
    def words(self) -> list[str]:
        return ["--method", self.method, *self.settings]


NEWS = (
    Way("full", "1e-4,2e-4,5e-4,1e-3"),
    Way("partial", "2e-4,5e-4,1e-3,2e-3"),
    Way("lora", "1e-3,2e-3,5e-3,1e-2", LORA),
    Way("qlora", "1e-3,2e-3,5e-3,1e-2", LORA),
    Way("prompt", "5e-3,1e-2,2e-2,5e-2", ["prompt.tokens=20"]),
)
NEWS_STEPS, NEWS_STEPS_OF_SEARCHES = 600, 200
WIKITEXT = (Way("full", "2e-4,5e-4,1e-3"), Way("lora", "2e-3,5e-3,1e-2", LORA))
WIKITEXT_STEPS, WIKITEXT_STEPS_OF_SEARCHES = 150, 50


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


def searched(place: Path, way: Way, steps: int, *words: object) -> dict[str, Any]:
    """The best rate of a way, and what validation said of each."""
    found = gpt2lab(
        "search", "--out", place, *words, *way.words, *EVERY, f"train.steps={steps}", f"train.seed={SEED_OF_SEARCHES}",
        "--over", f"train.learning_rate={way.rates}", "search.retrain=false",
    )  # fmt: skip
    trials = {trial["point"]["train.learning_rate"]: trial["best"] for trial in found["trials"]}
    best = found["best"]["point"]["train.learning_rate"]
    return {"rate": float(best), "steps": steps, "seed": SEED_OF_SEARCHES, "validation_loss": trials}


def news(place: Path, data: Path, started_from: Path) -> list[dict[str, Any]]:
    source = ["--data", "ag-news", "--from", data / "ag-news"]
    given = ["--base", started_from, *source, "--task", "labels", "prepare.validation=0.05"]
    found = []
    for way in NEWS:
        search = searched(place / "rates" / "news" / way.method, way, NEWS_STEPS_OF_SEARCHES, *given)
        run = place / "news" / way.method
        words = [*way.words, f"train.learning_rate={search['rate']}", f"train.steps={NEWS_STEPS}", f"train.seed={SEED}"]
        about = tune(run, *given, *EVERY, *words)
        record = gpt2lab("evaluate", run, "--protocol", "labels", *source, "data.split=test")
        opened = {"differs_in_peft": differs_in_peft(run, started_from, data)} if way.method in ADAPTERS else {}
        known = {**cost(about, "texts"), **quality(record), **opened}
        found.append({"method": way.method, "command": words, "search": search, **known})
    return found


def differs_in_peft(run: Path, started_from: Path, data: Path) -> float:
    """How far PEFT's logits on transformers' model are from ours at most, as a share of the largest, text by text; of
    qlora on what its base's four bits stand for."""
    import peft
    import torch
    from transformers import AutoModelForSequenceClassification

    ours, base = read_model(run), started_from / "model"
    tokens = tokenizer.load(base)
    with lzma.open(data / "ag-news" / "train_subset.jsonl.xz", "rt", encoding="utf-8") as file:
        texts = [tokens.encode(json.loads(line)["text"])[: ours.window] for line in itertools.islice(file, OPENED)]
    with tempfile.TemporaryDirectory() as place:
        if is_quantised(run / "model"):
            unpacked = read_model(base)
            quantised.quantise(unpacked, QloraSettings())
            quantised.dequantise(unpacked)
            base = Path(place) / "base"
            write_model(base, unpacked, tokens)
        whole = AutoModelForSequenceClassification.from_pretrained(base, num_labels=len(ours.config.labels))
        theirs = peft.PeftModel.from_pretrained(whole, run / "model").eval()
    worst = 0.0
    with torch.no_grad():
        for text in texts:
            ids = torch.from_numpy(text.astype("int64"))[None]
            found, expected = ours(ids), theirs(ids).logits
            worst = max(worst, float((found - expected).abs().max() / expected.abs().max()))
    return worst


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
    given = ["--base", started_from, *source, "--task", "text", "train.block=256"]
    for way in WIKITEXT:
        search = searched(place / "rates" / "wikitext" / way.method, way, WIKITEXT_STEPS_OF_SEARCHES, *given)
        run = place / "wikitext" / way.method
        words = [
            *way.words, f"train.learning_rate={search['rate']}", f"train.steps={WIKITEXT_STEPS}", f"train.seed={SEED}",
            "train.validate_every=0",
        ]  # fmt: skip
        about = tune(run, *given, *EVERY, *words)
        after = measured(run, "perplexity/word", *source, "data.split=test")
        gain = comparison.compare(after, before)
        forgot = lost[way.method] = measured(run, "forgetting", "--data", place / "wiki", "--base", started_from)
        found.append(
            {
                "method": way.method,
                "command": words,
                "search": search,
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
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("place", type=Path)
    arguments.add_argument("--remark", help="of the circumstances, kept with the result")
    given = arguments.parse_args()
    place, data = given.place.resolve(), Path(os.environ["GPT2LAB_REAL_DATA"])
    started_from = base(place, data)
    classes, texts = news(place, data, started_from), wikitext(place, data, started_from)
    table(
        ("AG News", "rate", "accuracy", "low", "high", "moving", "peak GB", "training s", "texts/s"),
        [
            (
                row["method"],
                row["search"]["rate"],
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
            "what": "a base pretrained here on Wikipedia, and every way to tune it at the best of its rates; one seed",
            "remark": given.remark,
            "base": {**cost(pretrained, "tokens"), "settings": BASE.name, "finished": pretrained["finished"]},
            "ag_news": classes,
            "wikitext_2": texts,
        },
    )


if __name__ == "__main__":
    main()
