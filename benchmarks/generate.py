"""python benchmarks/generate.py [--device cuda] [--tokens 64] [--rounds 5]: writing, side by side with transformers.

Each contestant is a process of its own that loads the same random weights of the 124M shape, warms up (compiling, where
it does), and then waits: one after the other writes its tokens while the others sleep, round after round. Peers are
GPT2LMHeadModel.generate with its cache on, with every setting that its documentation offers for speed. All are listed,
and goals are held against the best of them at equal precision and against its default in fp32. Everyone writes
greedily, from one prompt of 32 tokens or from eight of 4 to 32 tokens, and nobody stops early.

Without options it takes about 25 minutes on two idle cores, half of it transformers' compiling.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path[0] = str(Path(__file__).parent.parent)

from benchmarks.common import median, save, table  # noqa: E402

LENGTHS = {1: (32,), 8: (4, 8, 12, 16, 20, 24, 28, 32)}
CPU = (
    "gpt2lab fp32",
    "gpt2lab bf16",
    "transformers fp32 dynamic",
    "transformers fp32 static",
    "transformers fp32 static compiled",
    "transformers bf16 dynamic",
    "transformers bf16 static",
    "transformers bf16 static compiled",
)
GPU = ("gpt2lab fp32 compiled", "gpt2lab bf16 compiled", *CPU)
GOALS = {
    1: {"equal precision": 1.4, "bf16 against default": 2.3},
    8: {"equal precision": 2.2, "bf16 against default": 4.5},
}
Writer = Callable[[int], None]  # writes so many tokens after each prompt


def prompts(rows: int) -> list[list[int]]:
    import torch

    generator = torch.Generator().manual_seed(1)
    return [torch.randint(0, 50_000, (length,), generator=generator).tolist() for length in LENGTHS[rows]]


def our_model() -> object:
    from gpt2lab.model.config import named_size
    from gpt2lab.model.gpt2 import GPT2, build, initialise

    model = build(GPT2, named_size("small"))
    initialise(model, 1)
    return model.eval()


def ours(rows: int, device: str, precision: str, compiled: bool) -> Writer:
    """The engine under `generate`, whose tokenizer the random ids do not need; choosing the token is included."""
    import torch

    from gpt2lab.generate.engine import Engine
    from gpt2lab.generate.packed import weights_of
    from gpt2lab.generate.sampling import choose, draws_for
    from gpt2lab.generate.settings import SamplingSettings

    weights = weights_of(our_model().to(device), precision, packed=not compiled)
    settings = SamplingSettings(temperature=0)
    draws = [draws_for(1, "", row) for row in range(rows)]
    texts = prompts(rows)

    @torch.inference_mode()
    def write(tokens: int) -> None:
        if not compiled or not engines:  # graphs are kept from the first call on
            engines[:] = [Engine(weights, rows, 32 + tokens, compiled=compiled)]
        (engine,) = engines
        for slot in reversed(range(engine.rows)):
            engine.leave(slot)
        logits = engine.read(range(rows), texts)
        for step in range(tokens - 1):
            logits = engine.step(choose(logits, settings, draws, [step] * rows).tolist())
        choose(logits, settings, draws, [tokens] * rows).tolist()

    engines: list[Engine] = []
    return write


def theirs(rows: int, device: str, precision: str, cache: str, compiled: bool) -> Writer:
    import torch
    import transformers

    from gpt2lab.model import layout
    from gpt2lab.model.config import to_huggingface

    mine = our_model()
    config = transformers.GPT2Config(**to_huggingface(mine.config))
    model = transformers.GPT2LMHeadModel(config)
    state = {name: layout.take(name, p, mine.config.vocabulary) for name, p in layout.parameters(mine).items()}
    model.load_state_dict(state, strict=False)
    model.tie_weights()
    model = model.to(device, torch.bfloat16 if precision == "bf16" else torch.float32).eval()
    texts = prompts(rows)
    longest = max(map(len, texts))
    ids = torch.tensor([[0] * (longest - len(text)) + text for text in texts], device=device)
    mask = torch.tensor([[0] * (longest - len(text)) + [1] * len(text) for text in texts], device=device)
    if compiled:
        model.forward = torch.compile(model.forward, mode="reduce-overhead" if device == "cuda" else None)

    @torch.inference_mode()
    def write(tokens: int) -> None:
        made = model.generate(
            ids, attention_mask=mask, do_sample=False, use_cache=True, cache_implementation=cache,
            max_new_tokens=tokens, min_new_tokens=tokens, pad_token_id=0, disable_compile=not compiled,
        )  # fmt: skip
        assert made.shape[1] == longest + tokens

    return write


def contestant(name: str, rows: int, device: str, tokens: int) -> None:
    """Warms up, and then answers each line with the seconds that its tokens took."""
    import torch

    from gpt2lab.core import hardware, own_memory

    who, precision, *more = name.split()
    compiled = "compiled" in more
    if who == "gpt2lab":
        write = ours(rows, device, precision, compiled)
    else:
        write = theirs(rows, device, precision, more[0], compiled)
    write(tokens)
    write(tokens)
    print("ready", flush=True)
    for _ in sys.stdin:
        begin = time.perf_counter()
        write(tokens)
        hardware.synchronise(torch.device(device))
        memory = own_memory.peak(torch.device(device))
        print("answer", json.dumps({"seconds": time.perf_counter() - begin, "memory": memory}), flush=True)


def listen(process: subprocess.Popen[str], word: str) -> str:
    for line in process.stdout:
        if line.startswith(word):
            return line.removeprefix(word)
    raise RuntimeError("a contestant has died")


def compare(rows: int, names: list[str], device: str, tokens: int, rounds: int) -> list[dict[str, object]]:
    """They warm up one after another, so that nobody compiles while another one does."""
    command = [sys.executable, __file__, "--device", device, "--tokens", str(tokens), "--rows", str(rows)]
    processes = {}
    for name in names:
        processes[name] = subprocess.Popen(
            [*command, "--contestant", name], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        listen(processes[name], "ready")
        print(f"{name}: ready", file=sys.stderr)
    found: dict[str, list[dict[str, float]]] = {name: [] for name in names}
    for _ in range(rounds):
        for name, process in processes.items():
            process.stdin.write("go\n")
            process.stdin.flush()
            found[name].append(json.loads(listen(process, "answer ")))
    for process in processes.values():
        process.stdin.close()
        process.wait()
    return [
        {
            "rows": rows,
            "who": name,
            "tokens_per_second": rows * tokens / median([answer["seconds"] for answer in answers]),
            "fastest": rows * tokens / min(answer["seconds"] for answer in answers),
            "slowest": rows * tokens / max(answer["seconds"] for answer in answers),
            "peak_memory_gb": answers[-1]["memory"] / 1e9,
        }
        for name, answers in found.items()
    ]


def verdicts(found: list[dict[str, object]], rows: int) -> list[dict[str, object]]:
    """Ours at its best against theirs: at equal precision their best setting, in bf16 their default in fp32."""
    speed = {str(row["who"]): float(row["tokens_per_second"]) for row in found if row["rows"] == rows}

    def best(who: str) -> float | None:
        return max((value for name, value in speed.items() if name.startswith(who)), default=None)

    pairs = {f"equal precision, {p}": (best(f"gpt2lab {p}"), best(f"transformers {p}")) for p in ("fp32", "bf16")}
    pairs["bf16 against default"] = (best("gpt2lab bf16"), speed.get("transformers fp32 dynamic"))
    return [
        {"rows": rows, "what": what, "times": mine / his, "goal": GOALS[rows][what.partition(",")[0]]}
        for what, (mine, his) in pairs.items()
        if mine and his
    ]


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--device", default="cpu")
    arguments.add_argument("--tokens", type=int, default=64)
    arguments.add_argument("--rounds", type=int, default=5)
    arguments.add_argument("--only", nargs="*")
    arguments.add_argument("--rows", type=int, nargs="*", default=list(LENGTHS))
    arguments.add_argument("--contestant", help="used by the benchmark itself")
    arguments.add_argument("--dry", action="store_true", help="keep no result")
    given = arguments.parse_args()
    if given.contestant:
        contestant(given.contestant, given.rows[0], given.device, given.tokens)
        return
    names = given.only or list(GPU if given.device == "cuda" else CPU)
    found = [row for rows in given.rows for row in compare(rows, names, given.device, given.tokens, given.rounds)]
    judged = [verdict for rows in given.rows for verdict in verdicts(found, rows)]
    table(
        ("rows", "who", "new tokens/s", "slowest", "fastest", "peak GB"),
        [(r["rows"], r["who"], *(f"{r[key]:.1f}" for key in ("tokens_per_second", "slowest", "fastest")),
          f"{r['peak_memory_gb']:.1f}") for r in found],
    )  # fmt: skip
    table(("rows", "", "times", "goal"), [(v["rows"], v["what"], f"{v['times']:.2f}", v["goal"]) for v in judged])
    if not given.dry:
        import torch

        what = f"{given.tokens} new tokens after prompts of {LENGTHS} tokens, greedy, median of {given.rounds} rounds"
        result = {"what": what, "shape": "124M, random weights", "rows": found, "verdicts": judged}
        save(f"generate-{given.device}", result, torch.device(given.device))


if __name__ == "__main__":
    main()
