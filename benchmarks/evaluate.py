"""python benchmarks/evaluate.py [hellaswag] [perplexity]: measuring side by side with peers, in turns, in one call.

Every contestant is a process of its own that loads the same 124M of random weights, warms up and waits; then one after
the other does its turn while the others sleep, round after round. HellaSwag: lm-evaluation-harness around transformers'
model. Perplexity: the strided loop of transformers' documentation. Batch sizes and precision of peers, and our own
budgets of tokens, are swept, and all are listed. What each answered is compared too.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path[0] = str(Path(__file__).parent.parent)

from benchmarks.common import RESULTS, median, save, table  # noqa: E402
from benchmarks.train import ask  # noqa: E402

ROUNDS = 3
DATA = Path(os.environ.get("GPT2LAB_REAL_DATA", "."))
Work = Callable[[int], Any]  # does a turn of so many items or windows, and says what it found
CONTESTANTS = {
    "hellaswag": (
        *(f"gpt2lab {precision} {budget}" for precision in ("fp32", "bf16") for budget in (1024, 2048, 4096)),
        *(f"harness {precision} {batch}" for precision in ("fp32", "bf16") for batch in (1, 4, 8, 16, 32)),
        *(f"one-at-a-time {precision}" for precision in ("fp32", "bf16")),
    ),
    "perplexity": tuple(
        f"{who} {precision} {stride}"
        for stride in (512, 1024)
        for precision in ("fp32", "bf16")
        for who in ("gpt2lab", "snippet")
    ),
}
TURN = {"hellaswag": 24, "perplexity": 4}  # items; windows


def our_model(folder: str, precision_name: str, device: str) -> Any:
    from gpt2lab.measure import precision
    from gpt2lab.model.reading import read_language_model

    return precision.cast(read_language_model(folder, device=device), precision_name)


def their_model(folder: str, precision: str, device: str) -> Any:
    import torch
    from transformers import GPT2LMHeadModel

    dtype = {"fp32": torch.float32, "bf16": torch.bfloat16}[precision]
    return GPT2LMHeadModel.from_pretrained(folder, dtype=dtype).to(device).eval()


def our_hellaswag(folder: str, device: str, precision: str, budget: str) -> Work:
    from gpt2lab.core import console
    from gpt2lab.measure import choices
    from gpt2lab.text.items import Items
    from gpt2lab.text.tokenizer import load

    console.configure("quiet")
    model, tokenizer = our_model(folder, precision, device), load(folder)

    def work(count: int) -> list[int]:
        asked = Items(_items(count), {"data": "hellaswag"})
        (record,) = choices.measure(["hellaswag/harness"], model, tokenizer, asked, token_budget=int(budget))
        return [item["chosen"]["accuracy"] for item in record["items"]]

    return work


def harness_hellaswag(folder: str, device: str, precision: str, batch: str) -> Work:
    from lm_eval.models.huggingface import HFLM
    from transformers import AutoTokenizer

    engine = HFLM(
        pretrained=their_model(folder, precision, device), tokenizer=AutoTokenizer.from_pretrained(folder),
        batch_size=int(batch), device=device,
    )  # fmt: skip
    return lambda count: _asked_of(engine, [_requests(row.values) for row in _items(count)])


def one_at_a_time(folder: str, device: str, precision: str) -> Work:
    """The four endings of an item in one batch, items one after another."""
    from lm_eval.models.huggingface import HFLM
    from transformers import AutoTokenizer

    engine = HFLM(
        pretrained=their_model(folder, precision, device), tokenizer=AutoTokenizer.from_pretrained(folder),
        batch_size=4, device=device,
    )  # fmt: skip
    return lambda count: [answer for row in _items(count) for answer in _asked_of(engine, [_requests(row.values)])]


def _asked_of(engine: Any, items: list[list[tuple[str, str]]]) -> list[int]:
    import numpy as np
    from lm_eval.api.instance import Instance

    flat = [request for requests in items for request in requests]
    asked = [Instance("loglikelihood", {}, request, number) for number, request in enumerate(flat)]
    totals = [total for total, _ in engine.loglikelihood(asked, disable_tqdm=True)]
    return np.array(totals).reshape(len(items), -1).argmax(1).tolist()


def _requests(row: dict[str, Any]) -> list[tuple[str, str]]:
    return [(f"{row['activity_label']}: {row['ctx']}", f" {ending}") for ending in row["endings"]]


def _items(count: int) -> list[Any]:
    """The same for everyone, from all over the set: its two halves differ in length."""
    from gpt2lab.text.items import read

    rows = read(str(DATA / "hellaswag" / "hellaswag_val.jsonl.xz")).rows
    return rows[:: len(rows) // count][:count]


def our_perplexity(folder: str, device: str, precision: str, stride: str) -> Work:
    from gpt2lab.core import console
    from gpt2lab.measure.perplexity import token_window
    from gpt2lab.measure.settings import EvaluateSettings

    console.configure("quiet")
    model = our_model(folder, precision, device)

    def work(windows: int) -> float:
        ids = _stream(1024 + int(stride) * (windows - 1))
        record = token_window(model, ids, EvaluateSettings(context=1024, stride=int(stride)))
        return record["sum_nll"] / record["counts"]["tokens_scored"]

    return work


def snippet_perplexity(folder: str, device: str, precision: str, stride: str) -> Work:
    """Window after window through the whole model, targets seen before masked, the mean loss times their number."""
    import torch

    model, step = their_model(folder, precision, device), int(stride)

    @torch.no_grad()
    def work(windows: int) -> float:
        ids = torch.from_numpy(_stream(1024 + step * (windows - 1)))[None].to(device)
        total, scored, before = 0.0, 0, 0
        for begin in range(0, ids.shape[1], step):
            end = min(begin + 1024, ids.shape[1])
            inside = ids[:, begin:end]
            targets = inside.clone()
            targets[:, : -(end - before)] = -100
            count = int((targets[:, 1:] != -100).sum())
            total += model(inside, labels=targets).loss.item() * count
            scored, before = scored + count, end
            if end == ids.shape[1]:
                break
        return total / scored

    return work


def _stream(tokens: int) -> Any:
    import numpy as np

    return np.random.default_rng(1).integers(0, 50257, tokens)


MAKERS: dict[tuple[str, str], Callable[..., Work]] = {
    ("hellaswag", "gpt2lab"): our_hellaswag,
    ("hellaswag", "harness"): harness_hellaswag,
    ("hellaswag", "one-at-a-time"): one_at_a_time,
    ("perplexity", "gpt2lab"): our_perplexity,
    ("perplexity", "snippet"): snippet_perplexity,
}


def contestant(title: str, name: str, folder: str, device_name: str) -> None:
    """Reads how much to do, answers with the seconds, the peak memory and what was found."""
    import torch

    from gpt2lab.core import hardware, own_memory

    who, *settings = name.split()
    device = torch.device(device_name)
    work = MAKERS[title, who](folder, device_name, *settings)
    for line in sys.stdin:
        begin = time.perf_counter()
        found = work(int(line))
        hardware.synchronise(device)
        seconds = time.perf_counter() - begin
        answer = {"seconds": seconds, "memory": own_memory.peak(device), "found": found}
        print("answer", json.dumps(answer), flush=True)


def compare(title: str, names: list[str], folder: str, device: str, rounds: int, amount: int) -> list[dict[str, Any]]:
    command = [sys.executable, __file__, title, "--device", device, "--folder", folder, "--contestant"]
    answers: dict[str, list[dict[str, Any]]] = {name: [] for name in names}
    running = {
        name: subprocess.Popen([*command, name], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for name in names
    }
    try:
        for process in running.values():
            ask(process, min(amount, 2))
        for _ in range(rounds):
            for name, process in running.items():
                answers[name].append(ask(process, amount))
    finally:
        for process in running.values():
            process.kill()
            process.wait()
    return [_row(title, name, amount, found) for name, found in answers.items()]


def _row(title: str, name: str, amount: int, answers: list[dict[str, Any]]) -> dict[str, Any]:
    seconds = [answer["seconds"] for answer in answers]
    found = answers[-1]["found"]
    if title == "hellaswag":
        return {"what": title, "who": name, "items": amount, "per_second": amount / median(seconds),
                "seconds": seconds, "peak_memory_gb": answers[-1]["memory"] / 1e9, "answers": found}  # fmt: skip
    tokens = 1023 + int(name.rsplit(maxsplit=1)[-1]) * (amount - 1)
    return {"what": title, "who": name, "tokens": tokens, "per_second": tokens / median(seconds),
            "seconds": seconds, "peak_memory_gb": answers[-1]["memory"] / 1e9, "mean_nll": found}  # fmt: skip


def report(rows: list[dict[str, Any]], device: str) -> None:
    """Predictions against the peer's in fp32, which is the measure of all."""
    harness = (row for row in rows if row["what"] == "hellaswag" and row["who"].startswith("harness fp32"))
    reference = next(harness, None)
    for row in rows:
        if row["what"] == "hellaswag" and reference:
            row["predictions_that_differ"] = sum(
                one != other for one, other in zip(row["answers"], reference["answers"], strict=True)
            )
    columns = ("what", "who", "a second", "peak GB", "predictions that differ, or mean NLL")
    table(columns, [(r["what"], r["who"], f"{r['per_second']:,.2f}", f"{r['peak_memory_gb']:.1f}",
                     r.get("predictions_that_differ", r.get("mean_nll"))) for r in rows])  # fmt: skip
    times = best_against_best(rows)
    for line in times:
        print(line)
    save(f"evaluate-{device}", {"rows": rows, "ratios": times})


def best_against_best(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Our best setting over the peer's best, at equal precision and our bf16 over their fp32."""
    found = []
    groups = [("hellaswag", "")] + [("perplexity", f" {stride}") for stride in (512, 1024)]
    for what, ending in groups:
        for ours, theirs in (("fp32", "fp32"), ("bf16", "bf16"), ("bf16", "fp32")):
            mine = _best(rows, what, "gpt2lab", ours, ending)
            his = _best(rows, what, "", theirs, ending)
            if mine and his:
                times = round(mine["per_second"] / his["per_second"], 2)
                found.append({"what": what + ending, "ours": mine["who"], "theirs": his["who"], "times": times})
    return found


def _best(rows: list[dict[str, Any]], what: str, who: str, precision: str, ending: str) -> dict[str, Any] | None:
    """Of our settings, or with an empty `who` of everybody else's."""
    fitting = [
        row
        for row in rows
        if row["what"] == what
        and (row["who"].startswith("gpt2lab") == bool(who))
        and f" {precision}" in row["who"]
        and row["who"].endswith(ending)
    ]
    return max(fitting, key=lambda row: row["per_second"], default=None)


def kept(device: str, titles: list[str]) -> list[dict[str, Any]]:
    """What an earlier call measured of the other kind."""
    path = RESULTS / f"evaluate-{device}.json"
    return [row for row in json.loads(path.read_text())["rows"] if row["what"] not in titles] if path.is_file() else []


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("titles", nargs="*", default=list(CONTESTANTS))
    arguments.add_argument("--device", default="cpu")
    arguments.add_argument("--rounds", type=int, default=ROUNDS)
    arguments.add_argument("--amount", type=int, help="items or windows a turn")
    arguments.add_argument("--only", nargs="*", help="contestants, by the beginnings of their names")
    arguments.add_argument("--folder")
    arguments.add_argument("--contestant")
    given = arguments.parse_args()
    if given.contestant:
        contestant(given.titles[0], given.contestant, given.folder, given.device)
        return
    from gpt2lab.model.config import named_size
    from gpt2lab.model.gpt2 import GPT2, build, initialise
    from gpt2lab.model.writing import write_model
    from gpt2lab.text import tokenizer

    with tempfile.TemporaryDirectory() as place:
        folder, model = Path(place) / "model", build(GPT2, named_size("small"))
        initialise(model, 1)
        write_model(folder, model, tokenizer.load(DATA / "gpt2-bpe"))
        del model
        rows = kept(given.device, given.titles)
        for title in given.titles:
            names = [name for name in CONTESTANTS[title] if not given.only or name.startswith(tuple(given.only))]
            for part in _few_at_a_time(names):
                amount = given.amount or TURN[title]
                rows += compare(title, part, str(folder), given.device, given.rounds, amount)
                report(rows, given.device)


def _few_at_a_time(names: list[str]) -> list[list[str]]:
    """Each holds a model of its own in memory, so they meet in groups of one precision."""
    groups: dict[str, list[str]] = {}
    for name in names:
        groups.setdefault(name.split()[1], []).append(name)
    return list(groups.values())


if __name__ == "__main__":
    main()
