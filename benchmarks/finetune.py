"""python benchmarks/finetune.py [SHAPE …] [--device cuda]: tuning a classifier side by side with peers, in one call.

Needs GPT2LAB_REAL_DATA (ag-news and gpt2-bpe). Each contestant is a process of its own that builds its model, warms
up, and then waits; it takes turns with ours, full in bf16 (a peer with dropout also with ours with dropout; a row
names its `reference`), a few steps each, A B A B, so that its rate is known against the same minutes; at most three
models are in memory. Everyone gets the same random weights, batches of 16 of the same 800 AG News texts, AdamW at 5e-5
without decay or warm-up, a gradient clipped at 1. `dropout` is GPT-2's own, 0.1 in all three places, which whoever
changes nothing gets; the others have none. Peers:
- Trainer as people use it: every text padded to 256 tokens;
- a hand-tuned loop around GPT2ForSequenceClassification: fused AdamW, autocast, padded to the longest of a batch, up to
  a multiple of 8, where texts of like length of all 800 were brought together (`by length`), compiled or not;
- PEFT's LoRA in that loop.
Rates are texts a second of the mean length: what is not padded to 256 counts its real tokens. Losses are compared where
rows, weights and what moves are the same.
"""

from __future__ import annotations

import argparse
import itertools
import json
import lzma
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

sys.path[0] = str(Path(__file__).parent.parent)

from benchmarks.common import RESULTS, median, save, table  # noqa: E402

SETTINGS = " ".join((__doc__ or "").partition("\n\n")[2].split())  # of everyone, as the result keeps them
ROWS = 16
LONGEST = 256
CLASSES = 4
POOL = 50  # batches of texts
ROUNDS = 3
DROPOUT = 0.1


@dataclass(frozen=True)
class Shape:
    layers: int
    heads: int
    width: int
    vocabulary: int  # GPT-2's ids are folded into a smaller one
    steps: int  # a turn
    warm_up: int  # steps before the first turn; in a small model's time the kernels for each new length are felt


@dataclass(frozen=True)
class Pace:
    """Steps to warm up, with as many lengths as will be met, and steps a turn."""

    warm_up: int
    turn: int


SHAPES = {"10M": Shape(6, 6, 384, 8192, 12, 50), "124M": Shape(12, 12, 768, 50257, 8, 12)}
REFERENCE = "gpt2lab full bf16"
WITH_DROPOUT = REFERENCE + " dropout"  # the reference of peers that have it
TRAINER = "Trainer full fp32 padded dropout"
CONTESTANTS = (
    TRAINER,
    "Trainer full fp32 padded",
    "Trainer full bf16 padded",
    "hand-tuned full fp32 by length",
    "hand-tuned full bf16 by length",
    "hand-tuned full bf16 by length dropout",
    "hand-tuned full bf16 by length compile",
    "gpt2lab full fp32",
    "gpt2lab full bf16 dropout",
    "gpt2lab lora bf16",
    "gpt2lab partial bf16",
    "gpt2lab prompt bf16",
    "gpt2lab qlora bf16",
    "gpt2lab lora fp32",
    "gpt2lab qlora fp32",
    "PEFT lora fp32 by length",
    "PEFT lora bf16 by length",
)


def reference_of(name: str) -> str:
    """Like is compared with like in the same minutes."""
    return WITH_DROPOUT if name.endswith("dropout") and not name.startswith("gpt2lab") else REFERENCE


def pace(name: str, shape: Shape) -> Pace:
    return Pace(2, 2) if "padded" in name else Pace(shape.warm_up, shape.steps)


def skipped(method: str, shape: Shape) -> float:
    """Of a step's three equal parts, forward, gradients of activations, gradients of weights: what need not be done.

    LoRA skips the last of these, partial the last two in the lower half of the blocks. The last block multiplies for
    few tokens and counts for nothing. Where its keys are adapted it multiplies for all: that is LoRA's loss.
    """
    return {"lora": 1 / 3, "partial": 2 / 3 * shape.layers / 2 / (shape.layers - 1)}[method]


def shape_of(title: str, steps: int | None) -> Shape:
    return replace(SHAPES[title], steps=steps) if steps else SHAPES[title]


class Texts:
    """The first of AG News, as GPT-2's ids."""

    def __init__(self, shape: Shape) -> None:
        from gpt2lab.text import tokenizer

        place = Path(os.environ["GPT2LAB_REAL_DATA"])
        gpt2 = tokenizer.load(place / "gpt2-bpe")
        with lzma.open(place / "ag-news" / "train_subset.jsonl.xz", "rt", encoding="utf-8") as file:
            rows = [json.loads(line) for line in itertools.islice(file, ROWS * POOL)]
        last = shape.vocabulary - 1  # stays free: it pads
        self.ids = [[int(number) % last for number in gpt2.encode(row["text"])][:LONGEST] for row in rows]
        names = sorted({row["label"] for row in rows})
        self.labels = [names.index(row["label"]) for row in rows]
        self.padding = last

    def batches(self, by_length: bool = False) -> list[list[int]]:
        """Texts of each step, as they come, or with others of like length; the batches are then in any order."""
        texts = list(range(len(self.ids)))
        if by_length:
            texts.sort(key=lambda text: len(self.ids[text]))
        found = [texts[start : start + ROWS] for start in range(0, len(texts), ROWS)]
        if by_length:
            random.Random(1).shuffle(found)
        return found

    def done(self, name: str, first: int, after: int) -> float:
        """Texts of the mean length that these steps are worth."""
        if "padded" in name:
            return ROWS * (after - first)
        batches = self.batches("by length" in name)
        texts = itertools.chain(*(batches[step % POOL] for step in range(first, after)))
        return sum(len(self.ids[text]) for text in texts) / (sum(map(len, self.ids)) / len(self.ids))

    def padded(self, texts: list[int], length: int | None = None) -> tuple[Any, Any, Any]:
        """Ids, mask and labels, padded on the right."""
        import torch

        length = length or max(len(self.ids[text]) for text in texts)
        ids = torch.full((len(texts), length), self.padding)
        mask = torch.zeros_like(ids)
        for place, text in enumerate(texts):
            ids[place, : len(self.ids[text])] = torch.tensor(self.ids[text])
            mask[place, : len(self.ids[text])] = 1
        return ids, mask, torch.tensor([self.labels[text] for text in texts])


def make_base(folder: Path, shape: Shape) -> None:
    """The classifier that all begin from."""
    from gpt2lab.model.config import GPT2Config
    from gpt2lab.model.gpt2 import GPT2Classifier, build, initialise
    from gpt2lab.model.writing import write_model

    last = shape.vocabulary - 1
    names = tuple("abcd"[:CLASSES])
    config = GPT2Config(shape.layers, shape.heads, shape.width, vocabulary=shape.vocabulary, labels=names, padding=last)
    model = build(GPT2Classifier, config)
    initialise(model, 1)
    write_model(folder, model)


def losses_of(name: str, shape: Shape, device: str, base: Path) -> Iterator[float]:
    """Each item is one step done, and its loss."""
    who, method, precision, *more = name.split()
    make: dict[str, Callable[..., Iterator[float]]] = {"gpt2lab": ours, "Trainer": trainer}
    return make.get(who, hand_tuned)(shape, device, base, method, precision, more)


def ours(shape: Shape, device_name: str, base: Path, method: str, precision: str, more: list[str]) -> Iterator[float]:
    import numpy as np

    from gpt2lab.core import hardware, own_memory
    from gpt2lab.model.reading import read_model
    from gpt2lab.study import methods
    from gpt2lab.study.settings import TuneDataSettings, TuneSettings, TuneTrainSettings
    from gpt2lab.text import tokenizer
    from gpt2lab.text.batches import UNSCORED, Batch
    from gpt2lab.train import groups
    from gpt2lab.train.compiling import loss_function
    from gpt2lab.train.feed import Cut, ahead
    from gpt2lab.train.objectives import classification
    from gpt2lab.train.plan import Plan
    from gpt2lab.train.processes import ALONE
    from gpt2lab.train.randomness import be_deterministic
    from gpt2lab.train.state import State
    from gpt2lab.train.step import Stepper

    device = hardware.choose_device(device_name)
    own_memory.keep_pages()
    be_deterministic(device.type == "cpu")
    train = TuneTrainSettings(
        steps=10**6, batch_rows=ROWS, schedule="constant", warmup=0, weight_decay=0, beta2=0.999, learning_rate=5e-5,
        compile="compile" in more,
    )  # fmt: skip
    settings = TuneSettings(
        base=str(base), data=TuneDataSettings(source=""), method=method, task="labels", train=train, device=device_name
    )  # pyrefly: ignore[bad-argument-type]
    model = read_model(base, dropout=DROPOUT if "dropout" in more else 0.0)
    methods.apply(settings, model, tokenizer.load(Path(os.environ["GPT2LAB_REAL_DATA"]) / "gpt2-bpe"))
    train = train.model_copy(update={"groups": methods.groups(settings, model.config)})
    groups.freeze(model, train)
    model.to(device)
    plan = Plan(train, device, precision, 10**6, ROWS, ROWS, 10**6, block=LONGEST, unit="texts")
    loss = loss_function(classification, model, train.compile)
    stepper = Stepper(model, loss, plan, State(model, plan), ALONE)
    texts = Texts(shape)
    batches = texts.batches()

    def batch(step: int) -> Cut:
        ids, mask, labels = (tensor.numpy() for tensor in texts.padded(batches[step % POOL]))
        return stepper.cut(Batch(ids, np.full_like(ids, UNSCORED), np.where(mask == 1, 0, -1), labels))

    for step, made in enumerate(ahead(batch, 0, plan.steps)):  # beside the training, as in `train/loop.py`
        yield stepper.update(made, step).values()["loss"]


def their_model(base: Path, method: str, more: list[str]) -> Any:
    from transformers import GPT2ForSequenceClassification

    rate = DROPOUT if "dropout" in more else 0.0
    rates = {"resid_pdrop": rate, "embd_pdrop": rate, "attn_pdrop": rate}
    model = GPT2ForSequenceClassification.from_pretrained(base, use_cache=False, **rates)
    if method == "full":
        return model
    from peft import LoraConfig, get_peft_model

    settings = LoraConfig(r=8, lora_alpha=16, target_modules=["c_attn"], fan_in_fan_out=True, task_type="SEQ_CLS")
    return get_peft_model(model, settings)


def hand_tuned(
    shape: Shape, device_name: str, base: Path, method: str, precision: str, more: list[str]
) -> Iterator[float]:
    """What a careful user of transformers writes."""
    import torch

    device = torch.device(device_name)
    model = their_model(base, method, more).to(device).train()
    moving = [parameter for parameter in model.parameters() if parameter.requires_grad]
    mover = torch.optim.AdamW(moving, lr=5e-5, weight_decay=0.0, fused=True)
    function = torch.compile(model, dynamic=True) if "compile" in more else model
    texts = Texts(shape)
    for chosen in itertools.cycle(texts.batches("length" in more)):
        length = max(len(texts.ids[text]) for text in chosen)
        ids, mask, labels = (tensor.to(device) for tensor in texts.padded(chosen, -(-length // 8) * 8))
        with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
            logits = function(input_ids=ids, attention_mask=mask).logits
        loss = torch.nn.functional.cross_entropy(logits.float(), labels)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(moving, 1.0)
        mover.step()
        mover.zero_grad(set_to_none=True)
        yield loss.item()


def trainer(
    shape: Shape, device_name: str, base: Path, method: str, precision: str, more: list[str]
) -> Iterator[float]:
    """Trainer drives itself, so a thread hands its steps over one by one."""
    import queue
    import threading

    import torch
    from transformers import Trainer, TrainerCallback, TrainingArguments

    turn, done, seen = threading.Semaphore(0), queue.SimpleQueue(), []
    texts = Texts(shape)

    class Turns(TrainerCallback):
        def on_step_begin(self, *_: object, **__: object) -> None:
            turn.acquire()

        def on_step_end(self, *_: object, **__: object) -> None:
            done.put(seen.pop())

    class Rows(torch.utils.data.Dataset):
        def __len__(self) -> int:
            return len(texts.ids)

        def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
            ids, mask, labels = texts.padded([index], LONGEST)
            return {"input_ids": ids[0], "attention_mask": mask[0], "labels": labels[0]}

    class InOrder(Trainer):
        def _get_train_sampler(self, *_: object) -> torch.utils.data.Sampler:
            return torch.utils.data.SequentialSampler(Rows())

        def training_step(self, *given: Any, **more: Any) -> torch.Tensor:
            loss = super().training_step(*given, **more)
            seen.append(loss.item())
            return loss

    arguments = TrainingArguments(
        tempfile.mkdtemp(), per_device_train_batch_size=ROWS, max_steps=10**6, report_to=[], save_strategy="no",
        disable_tqdm=True, logging_strategy="no", bf16=precision == "bf16", learning_rate=5e-5,
        lr_scheduler_type="constant", use_cpu=device_name == "cpu",
    )  # fmt: skip
    made = InOrder(their_model(base, method, more), arguments, train_dataset=Rows(), callbacks=[Turns()])
    threading.Thread(target=made.train, daemon=True).start()
    for _ in itertools.cycle(texts.batches()):
        turn.release()
        yield done.get()


def contestant(name: str, shape: Shape, device: str, base: Path) -> None:
    """Reads how many steps to do, answers with the seconds they took, their losses and the peak memory so far."""
    import torch

    from gpt2lab.core import hardware, own_memory

    steps = losses_of(name, shape, device, base)
    for line in sys.stdin:
        begin = time.perf_counter()
        losses = [next(steps) for _ in range(int(line))]
        hardware.synchronise(torch.device(device))
        seconds = time.perf_counter() - begin
        answer = {"seconds": seconds, "losses": losses, "memory": own_memory.peak(torch.device(device))}
        print("answer", json.dumps(answer), flush=True)


def ask(process: subprocess.Popen[str], steps: int) -> dict[str, Any]:
    process.stdin.write(f"{steps}\n")
    process.stdin.flush()
    for line in process.stdout:
        if line.startswith("answer "):
            return json.loads(line.removeprefix("answer "))
    raise RuntimeError("a contestant has died")


def pair(title: str, shape: Shape, names: list[str], device: str, rounds: int, base: Path) -> dict[str, dict[str, Any]]:
    """One contestant and the reference in turns; what each took."""
    command = [sys.executable, __file__, title, "--device", device, "--base", str(base), "--steps", str(shape.steps)]
    running = {
        name: subprocess.Popen(
            [*command, "--contestant", name], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for name in names
    }
    try:
        found = {name: [ask(process, pace(name, shape).warm_up)] for name, process in running.items()}
        for _ in range(rounds):
            for name, process in running.items():
                found[name].append(ask(process, pace(name, shape).turn))
    finally:
        for process in running.values():
            process.kill()
            process.wait()
    texts = Texts(shape)
    return {
        name: {
            "rates": [
                texts.done(name, first, first + pace(name, shape).turn) / answer["seconds"]
                for first, answer in zip(
                    itertools.count(pace(name, shape).warm_up, pace(name, shape).turn), answers[1:]
                )
            ],
            "losses": [loss for answer in answers for loss in answer["losses"]],
            "peak_memory_gb": answers[-1]["memory"] / 1e9,
        }
        for name, answers in found.items()
    }


def compare(title: str, shape: Shape, names: list[str], device: str, rounds: int) -> list[dict[str, Any]]:
    rows: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as place:
        base = Path(place) / "base"
        make_base(base, shape)
        for name in names:
            reference = reference_of(name)
            found = pair(title, shape, list(dict.fromkeys((REFERENCE, reference, name))), device, rounds, base)
            rows |= {who: beside(found, who) for who in found}
            print(f"{title}, {name}: {rows[name]['times_reference']:.4f} times {reference}", flush=True)
    today = date.today().isoformat()
    return [
        {"shape": title, "who": who, **row, "examples_per_second": median(row["rates"]), "date": today}
        for who, row in rows.items()
    ]


def beside(found: dict[str, dict[str, Any]], who: str) -> dict[str, Any]:
    """How it did beside its reference and, where that has dropout, beside the one without: medians of rounds."""

    def times(reference: str) -> float:
        return median([own / other for other, own in zip(found[reference]["rates"], found[who]["rates"])])

    reference = reference_of(who)
    also = {} if reference == REFERENCE else {"times_undropped": times(REFERENCE)}
    turns = {} if reference == who else {"reference_rates": found[reference]["rates"]}
    return {"reference": reference, "times_reference": times(reference), **also, **found[who], **turns}


def derive(rows: list[dict[str, Any]]) -> None:
    """What follows for one shape: how many rounds there were, rate against Trainer's, losses against its losses, how
    much of the skipped work became time."""
    by_name = {row["who"]: row for row in rows}
    base, still = by_name.get(TRAINER), by_name.get(TRAINER.removesuffix(" dropout"))
    for row in rows:
        who, method, precision, *more = row["who"].split()
        row["rounds"] = len(row["rates"])
        if base and (times := _times_trainer(row, base, by_name)):
            row["times_trainer"] = times
        full = by_name.get(f"gpt2lab full {precision}")
        if who == "gpt2lab" and method in ("lora", "partial") and full:
            saved = 1 - full["times_reference"] / row["times_reference"]
            row["share_of_skipped_work_saved"] = saved / skipped(method, SHAPES[row["shape"]])
        if still and method == "full" and not {"length", "dropout"} & set(more):
            row["loss_differs_by"] = max(abs(a - b) for a, b in zip(row["losses"], still["losses"]))


def _times_trainer(row: dict[str, Any], base: dict[str, Any], by_name: dict[str, dict[str, Any]]) -> float | None:
    """Of what took turns with it as measured, of others by way of the reference that all have."""
    if row["who"] == base["reference"]:
        return 1 / base["times_reference"]
    own, worth = _worth(row, by_name), _worth(base, by_name)
    return own / worth if own and worth else None


def _worth(row: dict[str, Any], by_name: dict[str, dict[str, Any]]) -> float | None:
    """Times the reference without dropout."""
    if row["reference"] == REFERENCE:
        return row["times_reference"]
    own = by_name.get(row["reference"])
    return row.get("times_undropped") or (own and row["times_reference"] * own["times_reference"])


def report(rows: list[dict[str, Any]], device: str, rounds: int) -> None:
    def shown(row: dict[str, Any], key: str, form: str) -> str:
        return format(row[key], form) if key in row else ""

    columns = ("shape", "who", "examples/s", "x Trainer", "x its reference", "peak GB", "last loss", "differs", "saved")
    cells = [
        (row["shape"], row["who"], shown(row, "examples_per_second", ".2f"), shown(row, "times_trainer", ".2f"),
         shown(row, "times_reference", ".2f"), shown(row, "peak_memory_gb", ".2f"), f"{row['losses'][-1]:.4f}",
         shown(row, "loss_differs_by", ".1e"), shown(row, "share_of_skipped_work_saved", ".0%"))
        for row in rows
    ]  # fmt: skip
    table(columns, cells)
    print(f"batches of {ROWS} texts; {rounds} rounds; each rate is a median, each ratio the median of the rounds' own")
    save(f"finetune-{device}", {"settings": SETTINGS, "rows": rows, "batch": ROWS})


def with_kept(device: str, title: str, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """New rows among those that earlier calls measured, in the order of the shapes and the contestants."""
    path = RESULTS / f"finetune-{device}.json"
    earlier = json.loads(path.read_text())["rows"] if path.is_file() else []
    every = {(row["shape"], row["who"]): row for row in [*earlier, *rows]}
    order = list(itertools.product(SHAPES, (*CONTESTANTS, REFERENCE)))
    found = [every[key] for key in order if key in every]
    derive([row for row in found if row["shape"] == title])
    return found


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("shapes", nargs="*", default=list(SHAPES))
    arguments.add_argument("--device", default="cpu")
    arguments.add_argument("--rounds", type=int, default=ROUNDS)
    arguments.add_argument("--only", nargs="*", default=list(CONTESTANTS))
    arguments.add_argument("--steps", type=int, help="of a turn; to try it out")
    arguments.add_argument("--contestant")
    arguments.add_argument("--base", type=Path)
    given = arguments.parse_args()
    if given.contestant:
        contestant(given.contestant, shape_of(given.shapes[0], given.steps), given.device, given.base)
        return
    for title in given.shapes:
        rows = compare(title, shape_of(title, given.steps), given.only, given.device, given.rounds)
        report(with_kept(given.device, title, rows), given.device, given.rounds)


if __name__ == "__main__":
    main()
