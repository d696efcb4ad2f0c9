"""python benchmarks/train.py [SHAPE …] [--device cuda]: training side by side with peers, in turns, in one call.

`python benchmarks/train.py "124M, 2 x 1024"` measures that shape alone and keeps what is there of the others. On a GPU
every size is measured with three micro-batches.

Each contestant is a process of its own that builds its model, warms up, and then waits: one after the other does a few
steps while the others sleep, round after round. Peers are Hugging Face's Trainer and a hand-tuned loop, both around
GPT2LMHeadModel; their settings are swept and all are listed. Everyone gets the same shape, as many tokens, AdamW, a
clipped gradient and one micro-batch a step.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path[0] = str(Path(__file__).parent.parent)

from benchmarks.common import RESULTS, median, save, table  # noqa: E402

ROUNDS = 4


@dataclass(frozen=True)
class Shape:
    layers: int
    heads: int
    width: int
    context: int
    vocabulary: int
    rows: int
    block: int
    steps: int  # a turn

    @property
    def tokens(self) -> int:
        return self.rows * self.block


SMALL = (12, 12, 768, 1024, 50257)
SHAPES = {
    "10M, 8 x 256": Shape(6, 6, 384, 256, 65, 8, 256, 12),
    "124M, 4 x 256": Shape(*SMALL, 4, 256, 2),
    "124M, 2 x 1024": Shape(*SMALL, 2, 1024, 1),
    "124M, 4 x 1024": Shape(*SMALL, 4, 1024, 1),  # for memory
}
SIZES = {"124M": (12, 12, 768), "355M": (24, 16, 1024), "774M": (36, 20, 1280), "1558M": (48, 25, 1600)}
ON_A_GPU = {
    f"{size}, {rows} x 1024": Shape(*SIZES[size], 1024, 50257, rows, 1024, 10)
    for size, most in {"124M": 64, "355M": 32, "774M": 16, "1558M": 8}.items()
    for rows in (most // 4, most // 2, most)
}
ALL = {**ON_A_GPU, **SHAPES}
CONTESTANTS = (
    "gpt2lab bf16",
    "gpt2lab bf16 compile",
    "gpt2lab fp32",
    "Trainer fp32",
    "Trainer bf16",
    "hand-tuned bf16",
    "hand-tuned bf16 compile",
)
# The long shapes with the ones that decide: our two, the peer everybody starts from, and the best peer.
FAST = ["gpt2lab bf16", "gpt2lab bf16 compile", "Trainer fp32", "hand-tuned bf16 compile"]


def steps_of(name: str, shape: Shape, device: str) -> Iterator[None]:
    """An endless iterator: each item is one step done."""
    who, precision, *more = name.split()
    make: dict[str, Callable[..., Iterator[None]]] = {"gpt2lab": ours, "Trainer": trainer, "hand-tuned": hand_tuned}
    return make[who](shape, device, precision, "compile" in more)


def ours(shape: Shape, device_name: str, precision: str, compiled: bool) -> Iterator[None]:
    import numpy as np

    from gpt2lab.core import hardware, own_memory
    from gpt2lab.model.config import GPT2Config
    from gpt2lab.model.gpt2 import GPT2, build, initialise
    from gpt2lab.text.batches import Batch
    from gpt2lab.train.compiling import loss_function
    from gpt2lab.train.objectives import language_modelling
    from gpt2lab.train.plan import Plan
    from gpt2lab.train.processes import ALONE
    from gpt2lab.train.randomness import be_deterministic
    from gpt2lab.train.settings import TrainSettings
    from gpt2lab.train.state import State
    from gpt2lab.train.step import Stepper

    device = hardware.choose_device(device_name)
    own_memory.keep_pages()
    be_deterministic(device.type == "cpu")
    config = GPT2Config(shape.layers, shape.heads, shape.width, shape.context, shape.vocabulary).with_dropout(0.0)
    model = build(GPT2, config)
    initialise(model, 1)
    model.to(device)
    settings = TrainSettings(steps=10**6, batch_rows=shape.rows, compile=compiled, schedule="constant")
    plan = Plan(settings, device, precision, 10**6, shape.rows, shape.rows, 10**6)
    stepper = Stepper(model, loss_function(language_modelling, model, compiled), plan, State(model, plan), ALONE)
    for step in range(10**6):
        ids = np.random.default_rng(step).integers(0, shape.vocabulary, (shape.rows, shape.block + 1))
        stepper.update(stepper.cut(Batch(ids[:, :-1], ids[:, 1:])), step).values()
        yield


def their_model(shape: Shape) -> object:
    from transformers import GPT2Config, GPT2LMHeadModel

    config = GPT2Config(
        n_layer=shape.layers, n_head=shape.heads, n_embd=shape.width, n_positions=shape.context,
        vocab_size=shape.vocabulary, resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0, use_cache=False,
        bos_token_id=0, eos_token_id=0,
    )  # fmt: skip
    return GPT2LMHeadModel(config)


def hand_tuned(shape: Shape, device_name: str, precision: str, compiled: bool) -> Iterator[None]:
    """What a careful user of transformers writes: fused AdamW, autocast, fused attention, targets shifted by hand."""
    import torch
    import torch.nn.functional as F

    device = torch.device(device_name)
    model = their_model(shape).to(device).train()
    mover = torch.optim.AdamW(model.parameters(), lr=6e-4, betas=(0.9, 0.95), weight_decay=0.1, fused=True)

    def loss_of(ids: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        logits = model(ids).logits
        return F.cross_entropy(logits.flatten(0, 1), targets.flatten())

    function = torch.compile(loss_of) if compiled else loss_of
    for step in range(10**6):
        generator = torch.Generator().manual_seed(step)
        ids = torch.randint(0, shape.vocabulary, (shape.rows, shape.block + 1), generator=generator).to(device)
        with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
            loss = function(ids[:, :-1].contiguous(), ids[:, 1:].contiguous())
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        mover.step()
        mover.zero_grad(set_to_none=True)
        loss.item()
        yield


def trainer(shape: Shape, device_name: str, precision: str, compiled: bool) -> Iterator[None]:
    """Trainer with its defaults but for precision; it drives itself, so a thread hands its steps over one by one."""
    import tempfile
    import threading

    import torch
    from transformers import Trainer, TrainerCallback, TrainingArguments

    turn, done = threading.Semaphore(0), threading.Semaphore(0)

    class Turns(TrainerCallback):
        def on_step_begin(self, *_: object, **__: object) -> None:
            turn.acquire()

        def on_step_end(self, *_: object, **__: object) -> None:
            done.release()

    class Rows(torch.utils.data.Dataset):
        def __len__(self) -> int:
            return 10**6

        def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
            generator = torch.Generator().manual_seed(index)
            ids = torch.randint(0, shape.vocabulary, (shape.block,), generator=generator)
            return {"input_ids": ids, "labels": ids}

    arguments = TrainingArguments(
        tempfile.mkdtemp(), per_device_train_batch_size=shape.rows, max_steps=10**6, report_to=[], save_strategy="no",
        disable_tqdm=True, logging_strategy="no", bf16=precision == "bf16", torch_compile=compiled,
        use_cpu=device_name == "cpu",
    )  # fmt: skip
    made = Trainer(their_model(shape), arguments, train_dataset=Rows(), callbacks=[Turns()])
    threading.Thread(target=made.train, daemon=True).start()
    while True:
        turn.release()
        done.acquire()
        yield


def contestant(name: str, shape: Shape, device: str) -> None:
    """Reads how many steps to do, answers with the seconds they took and the peak memory so far."""
    import torch

    from gpt2lab.core import hardware, own_memory

    steps = steps_of(name, shape, device)
    for line in sys.stdin:
        begin = time.perf_counter()
        for _ in range(int(line)):
            next(steps)
        hardware.synchronise(torch.device(device))
        answer = {"seconds": time.perf_counter() - begin, "memory": own_memory.peak(torch.device(device))}
        print("answer", json.dumps(answer), flush=True)


def ask(process: subprocess.Popen[str], steps: int) -> dict[str, float]:
    process.stdin.write(f"{steps}\n")
    process.stdin.flush()
    for line in process.stdout:
        if line.startswith("answer "):
            return json.loads(line.removeprefix("answer "))
    raise RuntimeError("a contestant has died")


def compare(title: str, names: list[str], device: str, rounds: int) -> list[dict[str, object]]:
    shape = ALL[title]
    command = [sys.executable, __file__, title, "--device", device, "--contestant"]
    running = {
        name: subprocess.Popen([*command, name], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for name in names
    }
    try:
        for process in running.values():
            ask(process, 2)
        found: dict[str, list[dict[str, float]]] = {name: [] for name in names}
        for _ in range(rounds):
            for name, process in running.items():
                found[name].append(ask(process, shape.steps))
    finally:
        for process in running.values():
            process.kill()
            process.wait()
    tokens = shape.steps * shape.tokens
    return [
        {
            "shape": title,
            "who": name,
            "tokens_per_second": tokens / median([answer["seconds"] for answer in answers]),
            "seconds_a_step": [answer["seconds"] / shape.steps for answer in answers],
            "peak_memory_gb": answers[-1]["memory"] / 1e9,
        }
        for name, answers in found.items()
    ]


def alone(title: str, names: list[str], device: str, rounds: int) -> list[dict[str, object]]:
    """A B C A B C …, each time a new process: for shapes of which several do not fit into memory together."""
    found = [compare(title, [name], device, 1)[0] for _ in range(rounds) for name in names]
    return [_together([row for row in found if row["who"] == name]) for name in names]


def _together(rows: list[dict[str, Any]]) -> dict[str, object]:
    seconds = [second for row in rows for second in row["seconds_a_step"]]
    memory = max(row["peak_memory_gb"] for row in rows)
    tokens = ALL[rows[0]["shape"]].tokens
    return {
        **rows[0],
        "tokens_per_second": tokens / median(seconds),
        "seconds_a_step": seconds,
        "peak_memory_gb": memory,
    }


def loading_and_saving() -> dict[str, float]:
    """What a batch costs to make, from shards on disk, and how long a checkpoint of 124M holds up the training."""
    import tempfile

    import torch

    from gpt2lab.model.config import GPT2Config
    from gpt2lab.model.gpt2 import GPT2, build, initialise
    from gpt2lab.text.batches import Blocks
    from gpt2lab.text.prepare import prepare
    from gpt2lab.text.settings import PrepareSettings
    from gpt2lab.train.feed import micro_batches
    from gpt2lab.train.plan import Plan
    from gpt2lab.train.saver import Saver
    from gpt2lab.train.settings import TrainSettings
    from gpt2lab.train.state import State

    cpu = torch.device("cpu")
    with tempfile.TemporaryDirectory() as place:
        corpus = prepare("builtin:docs", Path(place) / "corpus", "builtin", PrepareSettings())
        rows = Blocks(corpus.split("train"), 256)
        settings = TrainSettings(steps=10**6, batch_rows=8)
        plan = Plan(settings, cpu, "bf16", rows.rows, 8, 8, 10**6)
        begin = time.perf_counter()
        for step in range(200):
            list(micro_batches(rows.batch(plan.rows_of(rows, step)), 8, cpu))
        loading = (time.perf_counter() - begin) / 200
        model = build(GPT2, GPT2Config(12, 12, 768))
        initialise(model, 1)
        state = State(model, plan)
        for parameter in state.masters.parameters.values():
            parameter.grad = torch.ones_like(parameter)
        state.mover.step(0.0, torch.tensor(1.0), torch.tensor(0.0))
        saver = Saver(Path(place) / "checkpoints", 2)
        begin = time.perf_counter()
        saver.save(1, state.weights(), state.others(), {"watch": {"best_step": None}})
        stall = time.perf_counter() - begin
        saver.finish()
        whole = time.perf_counter() - begin
    return {"seconds_a_batch_of_8_x_256": loading, "checkpoint_stall_seconds": stall, "checkpoint_seconds": whole}


def with_earlier(device: str, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What an earlier call measured of other shapes stays, and every row in its place: the README counts them."""
    path = RESULTS / f"train-{device}.json"
    earlier = json.loads(path.read_text())["rows"] if path.is_file() else []
    new = {(row["shape"], row["who"]): row for row in rows}
    shapes = {row["shape"] for row in rows}
    found = [new.pop((row["shape"], row["who"]), row) for row in earlier]
    return [row for row in found if row in rows or row["shape"] not in shapes] + list(new.values())


def _gb(value: float | None) -> str:
    return "" if value is None else f"{value:.1f}"


def report(rows: list[dict[str, Any]], device: str) -> None:
    import torch

    from gpt2lab.core import hardware
    from gpt2lab.model.config import GPT2Config, flops_per_token

    rates = {
        precision: hardware.matmul_rate(hardware.choose_device(device), precision) for precision in ("fp32", "bf16")
    }
    peak = hardware.peak_flops(hardware.choose_device(device))  # of the data sheet, where we know one
    for row in rows:
        shape = ALL[row["shape"]]
        config = GPT2Config(shape.layers, shape.heads, shape.width, shape.context, shape.vocabulary)
        row["gflops"] = row["tokens_per_second"] * flops_per_token(config, shape.block) / 1e9
        base = next((r for r in rows if r["shape"] == row["shape"] and r["who"] == "Trainer fp32"), row)
        row["times_trainer"] = row["tokens_per_second"] / base["tokens_per_second"]
        row["utilisation"] = row["gflops"] * 1e9 / (peak or rates["fp32" if "fp32" in row["who"] else "bf16"])
    columns = ("shape", "who", "tokens/s", "x Trainer", "GFLOP/s", "of peak", "peak GB")
    table(columns, [(r["shape"], r["who"], f"{r['tokens_per_second']:,.0f}", f"{r['times_trainer']:.2f}",
                     f"{r['gflops']:,.0f}", f"{r['utilisation']:.0%}", _gb(r["peak_memory_gb"]))
                    for r in rows])  # fmt: skip
    measured = {precision: rate / 1e9 for precision, rate in rates.items()}
    costs = loading_and_saving() if device == "cpu" else {}
    print("on the side:", {name: round(value, 4) for name, value in costs.items()})
    print("matrix products here, GFLOP/s:", {precision: round(rate) for precision, rate in measured.items()})
    save(f"train-{device}", {"rows": rows, "matmul_gflops": measured, "on_the_side": costs}, torch.device(device))


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("shapes", nargs="*", help=f"of: {', '.join(ALL)}")
    arguments.add_argument("--device", default="cpu")
    arguments.add_argument("--rounds", type=int)
    arguments.add_argument("--only", nargs="*", choices=CONTESTANTS)
    arguments.add_argument("--contestant")
    given = arguments.parse_args()
    if given.contestant:
        contestant(given.contestant, ALL[given.shapes[0]], given.device)
        return
    titles = given.shapes or list(SHAPES if given.device == "cpu" else ON_A_GPU)
    if unknown := [title for title in titles if title not in ALL]:
        arguments.error(f"no shape is named {unknown[0]!r}; there are: {', '.join(ALL)}")
    rows = []
    for title in titles:
        long = ALL[title].block == 1024
        names = FAST if long and not given.only else given.only or list(CONTESTANTS)
        turns = given.rounds or (2 if long else ROUNDS)
        rows += (alone if long else compare)(title, names, given.device, turns)
        report(with_earlier(given.device, rows), given.device)  # each shape is kept as soon as it is measured


if __name__ == "__main__":
    main()
