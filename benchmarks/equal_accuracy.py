"""python benchmarks/equal_accuracy.py PLACE [--seeds 1 2]: after the same steps, do ours and Trainer know as much?

`finetune.py` says who is faster. Here everyone begins from one base of nine million parameters, which has read two
million tokens of Wikipedia and carries GPT-2's dropout of 0.1, and one new head; everyone makes 300 updates of 16 AG
News texts by AdamW at 3e-4, falling in a line to nothing as Trainer has it, without weight decay or warm-up, gradients
clipped at 1:
- transformers' Trainer as people use it: fp32, every text padded to 256 tokens;
- ours as it comes, and ours without dropout: `gpt2lab finetune`, bf16 where the CPU multiplies in it, on the 98 % of
  the texts that validation leaves.
All are measured on the 7,600 test texts under one protocol and compared text by text. PLACE keeps the runs: what is
finished is not done again. Needs GPT2LAB_REAL_DATA; Trainer takes about a quarter of an hour on two cores.
"""

from __future__ import annotations

import argparse
import json
import lzma
import math
import os
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

sys.path[0] = str(Path(__file__).parent.parent)

from benchmarks import tuning  # noqa: E402
from benchmarks.common import save, table  # noqa: E402

from gpt2lab.measure import comparison, differences, records  # noqa: E402

BASE_TOKENS = 2_000_000
DROPOUT = 0.1
STEPS = 300
ROWS = 16
RATE = 3e-4
LONGEST = 256
CLASSES = ("World", "Sports", "Business", "Sci/Tech")
OURS = [
    "--task", "labels", "--method", "full", "train.epochs=none", f"train.steps={STEPS}", f"train.batch_rows={ROWS}",
    f"train.learning_rate={RATE}", "train.schedule=linear", "train.floor=0", "train.warmup=0", "train.weight_decay=0",
    "train.beta2=0.999", "train.validate_every=0", "prepare.validation=0.02",
]  # fmt: skip
CONTESTANTS: dict[str, list[str] | None] = {
    "Trainer": None,
    "gpt2lab": [],
    "gpt2lab without dropout": ["model.dropout=0"],
}


def start(place: Path, data: Path) -> Path:
    """The base with a new head, as a folder that transformers opens too."""
    from gpt2lab.model.reading import read_model, with_head
    from gpt2lab.model.writing import write_model
    from gpt2lab.text import tokenizer

    base = tuning.base(place, data, f"train.tokens={BASE_TOKENS}") / "model"
    if not (place / "start").is_dir():
        model = with_head(read_model(base, dropout=DROPOUT), CLASSES, 1)
        write_model(place / "start", model, tokenizer.load(base))
    return place / "start"


def by_trainer(started_from: Path, data: Path, out: Path, seed: int) -> None:
    """What the documentation of transformers shows, with these settings."""
    import torch
    from transformers import AutoTokenizer, GPT2ForSequenceClassification, Trainer, TrainingArguments

    tokenizer = AutoTokenizer.from_pretrained(started_from)
    model = GPT2ForSequenceClassification.from_pretrained(started_from)
    tokenizer.pad_token_id = model.config.pad_token_id = model.config.eos_token_id
    with lzma.open(data / "ag-news" / "train_subset.jsonl.xz", "rt", encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    settings = {"padding": "max_length", "truncation": True, "max_length": LONGEST, "return_tensors": "pt"}

    class Texts(torch.utils.data.Dataset):
        def __len__(self) -> int:
            return len(rows)

        def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
            ids = tokenizer(rows[index]["text"], **settings)
            return {name: ids[name][0] for name in ("input_ids", "attention_mask")} | {
                "labels": torch.tensor(rows[index]["label"])
            }

    arguments = TrainingArguments(
        str(out.with_suffix(".trainer")), per_device_train_batch_size=ROWS, max_steps=STEPS, learning_rate=RATE,
        seed=seed, report_to=[], save_strategy="no", use_cpu=True, logging_steps=20,
    )  # fmt: skip
    trainer = Trainer(model, arguments, train_dataset=Texts())
    begin = time.perf_counter()
    trainer.train()
    seconds = time.perf_counter() - begin
    trainer.save_model(str(out))
    tokenizer.save_pretrained(out)
    (out / "seconds.json").write_text(json.dumps(seconds))
    shutil.rmtree(out.with_suffix(".trainer"), ignore_errors=True)


def trained(name: str, seed: int, place: Path, data: Path, started_from: Path) -> tuple[Path, float]:
    """Where the model is, and the seconds that its updates took."""
    out, words = place / "equal" / f"{name.replace(' ', '-')}-{seed}", CONTESTANTS[name]
    if words is not None:
        source = ["--base", started_from, "--data", "ag-news", "--from", data / "ag-news"]
        return out, tuning.tune(out, *source, *OURS, *words, f"train.seed={seed}")["training_seconds"]
    if not (out / "seconds.json").is_file():
        subprocess.run([sys.executable, __file__, str(place), "--trainer", str(out), "--seeds", str(seed)], check=True)
    return out, json.loads((out / "seconds.json").read_text())


def measured(model: Path, place: Path, data: Path) -> dict[str, Any]:
    """On the test texts, with its items: beside a run, or under the cache for a model of others."""
    tested = ["--data", "ag-news", "--from", data / "ag-news", "data.split=test"]
    tuning.gpt2lab("evaluate", model, "--protocol", "labels", *tested)
    paths = [*(model / "results").glob("*.json"), *(place / "home" / "results").glob("*/*.json")]
    return next(
        record
        for path in sorted(paths)
        if model in [(at := Path((record := records.read(path))["model"]["path"])), at.parent]
    )


def over_seeds(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The mean of each, and how far it is from Trainer's, seed against seed."""
    values = {name: [row["value"] for row in rows if row["who"] == name] for name in CONTESTANTS}
    return [
        {
            "who": name,
            "seeds": len(found),
            "value": statistics.mean(found),
            "against_trainer": differences.paired_seeds(found, values["Trainer"]).as_dict(),
        }
        for name, found in values.items()
    ]


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("place", type=Path)
    arguments.add_argument("--seeds", type=int, nargs="*", default=[1])
    arguments.add_argument("--remark", help="of the circumstances, kept with the result")
    arguments.add_argument("--trainer", type=Path, help="be the child that trains into this folder")
    given = arguments.parse_args()
    place, data = given.place.resolve(), Path(os.environ["GPT2LAB_REAL_DATA"])
    if given.trainer:
        by_trainer(place / "start", data, given.trainer, given.seeds[0])
        return
    os.environ["GPT2LAB_HOME"] = str(place / "home")
    started_from = start(place, data)
    rows: list[dict[str, Any]] = []
    for seed in given.seeds:
        measurements = {}
        for name in CONTESTANTS:
            model, seconds = trained(name, seed, place, data, started_from)
            measurements[name] = measured(model, place, data)
            row = {"who": name, "seed": seed, "training_seconds": seconds, **tuning.quality(measurements[name])}
            if name != "Trainer":
                row["against_trainer"] = comparison.compare(measurements[name], measurements["Trainer"]).as_dict()
            rows.append(row)
    table(
        ("who", "seed", "accuracy", "low", "high", "training s", "against Trainer"),
        [
            (row["who"], row["seed"], f"{row['value']:.4f}", f"{row['interval']['low']:.4f}",
             f"{row['interval']['high']:.4f}", f"{row['training_seconds']:.0f}",
             f"{row['against_trainer']['value']:+.4f}" if "against_trainer" in row else "")
            for row in rows
        ],
    )  # fmt: skip
    means = over_seeds(rows)
    for row in means[1:]:
        between = row["against_trainer"]["interval"] or {"low": math.nan, "high": math.nan}
        print(
            f"{row['who']}, mean of {row['seeds']} seeds: {row['value']:.4f}, against Trainer "
            f"{row['against_trainer']['value']:+.4f} [{between['low']:+.4f}, {between['high']:+.4f}]"
        )
    settings = " ".join((__doc__ or "").partition("\n\n")[2].split())
    save("equal-accuracy", {"settings": settings, "remark": given.remark, "over_seeds": means, "rows": rows})


if __name__ == "__main__":
    main()
