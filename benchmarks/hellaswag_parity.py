"""python benchmarks/hellaswag_parity.py [--items N]: is our `hellaswag/harness` the harness's, on every item?

A small GPT-2 with random weights and the real vocabulary scores the validation items twice: by our scorer, and by
lm-evaluation-harness around transformers' model with the same weights. Log-likelihoods and answers are compared item by
item. The harness is what takes the time: it makes logits at every position of every ending.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path[0] = str(Path(__file__).parent.parent)

import numpy as np  # noqa: E402
from benchmarks.common import save  # noqa: E402

SHAPE = {"layers": 2, "heads": 2, "width": 64}
SEED = 1
SPREAD = 0.1  # added to the weights, so that items differ by nats and not by rounding


def random_model() -> Any:
    import torch

    from gpt2lab.model.config import GPT2Config
    from gpt2lab.model.gpt2 import GPT2, build, initialise

    model = build(GPT2, GPT2Config(**SHAPE, start_of_text=50256, end_of_text=50256))
    initialise(model, SEED)
    generator = torch.Generator().manual_seed(SEED)
    with torch.no_grad():
        for weight in model.parameters():
            weight[:50257] += SPREAD * torch.randn(weight[:50257].shape, generator=generator)
    return model.eval()


def by_the_harness(folder: Path, requests: list[tuple[str, str]], batch: int) -> list[float]:
    import transformers
    from lm_eval.api.instance import Instance
    from lm_eval.models.huggingface import HFLM

    engine = HFLM(
        pretrained=transformers.GPT2LMHeadModel.from_pretrained(folder),
        tokenizer=transformers.AutoTokenizer.from_pretrained(folder),
        batch_size=batch,
        device="cpu",
    )
    asked = [Instance("loglikelihood", {}, request, number) for number, request in enumerate(requests)]
    return [total for total, _ in engine.loglikelihood(asked)]


def main() -> None:
    from gpt2lab.core import own_memory
    from gpt2lab.measure import choices
    from gpt2lab.model.writing import write_model
    from gpt2lab.text import items, tokenizer

    data = Path(os.environ.get("GPT2LAB_REAL_DATA", "."))
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--data", default=str(data / "hellaswag" / "hellaswag_val.jsonl.xz"))
    arguments.add_argument("--tokenizer", default=str(data / "gpt2-bpe"))
    arguments.add_argument("--items", type=int)
    arguments.add_argument("--batch", type=int, default=16, help="requests at once, of the harness")
    given = arguments.parse_args()

    own_memory.keep_pages()
    encoder, model, read = tokenizer.load(given.tokenizer), random_model(), items.read(given.data, limit=given.items)
    (ours,) = choices.measure(["hellaswag/harness"], model, encoder, read)
    rows = [row.values for row in read.rows]
    requests = [(f"{row['activity_label']}: {row['ctx']}", f" {ending}") for row in rows for ending in row["endings"]]
    with tempfile.TemporaryDirectory() as place:
        write_model(Path(place) / "model", model, encoder)
        begin = time.perf_counter()
        found = by_the_harness(Path(place) / "model", requests, given.batch)
        seconds = time.perf_counter() - begin

    theirs = np.array(found).reshape(len(rows), -1)
    mine = np.array([item["log_likelihoods"] for item in ours["items"]])
    sizes = np.array([[len(ending) for ending in row["endings"]] for row in rows])
    apart = np.abs(mine - theirs)
    same = {
        "accuracy": theirs.argmax(1) == mine.argmax(1),
        "accuracy_normalised": (theirs / sizes).argmax(1) == (mine / sizes).argmax(1),
    }
    result = {
        "lm_eval": importlib.metadata.version("lm-eval"),
        "model": {**SHAPE, "weights": f"random, seed {SEED}"},
        "data": {**ours["data"], "data": Path(given.data).name},
        "items": len(rows),
        "log_likelihoods": apart.size,
        "largest_difference": apart.max(),
        "largest_relative_difference": (apart / np.abs(theirs)).max(),
        "mean_log_likelihood": theirs.mean(),
        "same_answers": {kind: int(equal.sum()) for kind, equal in same.items()},
        "accuracy": {
            "gpt2lab": {kind: ours[kind] for kind in same},
            "lm-evaluation-harness": {
                "accuracy": (theirs.argmax(1) == [item["label"] for item in ours["items"]]).mean(),
                "accuracy_normalised": ((theirs / sizes).argmax(1) == [i["label"] for i in ours["items"]]).mean(),
            },
        },
        "seconds": {"gpt2lab": ours["seconds"], "lm-evaluation-harness": seconds},
    }
    print({key: result[key] for key in ("items", "largest_difference", "largest_relative_difference", "same_answers")})
    save("hellaswag-parity", result)


if __name__ == "__main__":
    main()
