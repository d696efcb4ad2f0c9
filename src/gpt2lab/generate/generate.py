"""Prompts become samples. Rows that are finished leave, and the next ones take their places.

Past the context window: when the window is full, its last half is read again and the text goes on from there. A prompt
longer than the window keeps its end, and that is said.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from gpt2lab.core import console
from gpt2lab.core.console import counted
from gpt2lab.core.errors import UserError
from gpt2lab.generate.constraints import constrain
from gpt2lab.generate.details import details
from gpt2lab.generate.engine import Engine
from gpt2lab.generate.packed import Weights, weights_of
from gpt2lab.generate.row import Finish, Listener, Row, ends_of
from gpt2lab.generate.sampling import choose, distribution, draws_for
from gpt2lab.generate.settings import SamplingSettings
from gpt2lab.model.gpt2 import GPT2, check_ids
from gpt2lab.text.tokenizer import Tokenizer

COMPILING_PAYS = 10_000  # steps: a graph takes tens of seconds to compile and saves milliseconds a step


@dataclass(frozen=True)
class Sample:
    prompt: str
    text: str  # the continuation alone
    sample: int
    seed: int
    tokens: int
    finish: Finish
    prompt_tokens: int
    prompt_tokens_unseen: int  # of a prompt longer than the window
    window_slides: int
    token_details: tuple[dict[str, Any], ...] = ()

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    def describe(self) -> str:
        facts = [counted(self.tokens, "token"), f"ended by {self.finish}"]
        if self.prompt_tokens_unseen:
            facts.append(f"{counted(self.prompt_tokens_unseen, 'token')} of the prompt unseen")
        if self.window_slides:
            facts.append(f"the window slid {counted(self.window_slides, 'time')}")
        return ", ".join(facts)


def generate(
    model: GPT2 | Weights, tokenizer: Tokenizer, prompts: str | Sequence[str], samples: int, settings: SamplingSettings
) -> list[Sample]:
    """So many samples of each prompt, prompt after prompt. An empty prompt begins a text."""
    return list(write(model, tokenizer, [prompts] if isinstance(prompts, str) else prompts, samples, settings))


@torch.inference_mode()
def write(
    model: GPT2 | Weights,
    tokenizer: Tokenizer,
    prompts: Sequence[str],
    samples: int,
    settings: SamplingSettings,
    *,
    listener: Listener | None = None,
    on_step: Callable[[int], object] | None = None,
    first_sample: int = 0,
) -> Iterator[Sample]:
    """Samples in order, each as soon as it and all before it are finished.

    The listener hears (place in the order, new text) of all rows at once; `on_step` how many tokens a step has made.
    """
    device = model.device if isinstance(model, Weights) else model.lm_head.weight.device
    compiled = compiles(device, len(prompts) * samples, settings)
    weights = weights_of(model, settings.precision, packed=not compiled) if isinstance(model, GPT2) else model
    numbers = range(first_sample, first_sample + samples)
    rows = _rows(weights, tokenizer, prompts, numbers, settings, listener)
    most = max((len(row.in_sight) for row in rows), default=0) + settings.max_new_tokens
    engine = Engine(weights, min(settings.rows, len(rows)), most, compiled=compiled)
    finished: dict[int, Sample] = {}
    told = 0
    for row in _written(engine, rows, tokenizer, settings, on_step):
        finished[row.order] = _sample(row, settings)
        while told in finished:
            yield finished.pop(told)
            told += 1


def _written(
    engine: Engine,
    waiting: list[Row],
    tokenizer: Tokenizer,
    settings: SamplingSettings,
    on_step: Callable[[int], object] | None,
) -> Iterator[Row]:
    writing: list[Row] = []  # in the engine's slots
    places = min(settings.rows, len(waiting))
    waiting = waiting[::-1]
    while waiting or writing:
        logits = []
        if writing:
            _slide(engine, writing)
            logits.append(engine.step([row.ids[-1] for row in writing]))
        if arriving := [waiting.pop() for _ in range(min(places - len(writing), len(waiting)))]:
            slots = range(len(writing), len(writing) + len(arriving))
            logits.append(engine.read(slots, [row.in_sight for row in arriving]))
            writing += arriving
        _take(torch.cat(logits), writing, tokenizer, settings)
        if on_step is not None:
            on_step(len(writing))
        for slot in reversed(range(len(writing))):
            if writing[slot].finish is not None:
                yield writing[slot]
                engine.leave(slot)
                writing[slot] = writing[-1]
                writing.pop()


def _take(logits_BV: Tensor, rows: Sequence[Row], tokenizer: Tokenizer, settings: SamplingSettings) -> None:
    """Every row gets its next token."""
    thought_BV = logits_BV.clone() if settings.token_details else logits_BV
    new = [row.new for row in rows]
    constrain(logits_BV, [row.ids for row in rows], new, settings, rows[0].ends.ids, tokenizer.size)
    chosen = choose(logits_BV, settings, [row.draws for row in rows], new)
    found = logits_BV.gather(-1, chosen[:, None])[:, 0].tolist()
    chances_BV = distribution(logits_BV, settings) if settings.token_details else logits_BV
    for index, (row, number) in enumerate(zip(rows, chosen.tolist())):
        if found[index] == -math.inf:
            row.give_up()
        elif not math.isfinite(found[index]):  # where one logit is no number, it is what was chosen
            raise UserError(
                "the model's answer is no number", way_out="its weights are damaged, or need precision fp32"
            )
        elif row.take(number) and settings.token_details:
            thought = details(thought_BV[index], number, settings.alternatives, tokenizer)
            row.details.append({**thought, "chance": float(chances_BV[index, number])})


def _slide(engine: Engine, rows: Sequence[Row]) -> None:
    """Rows whose window is full begin again at its last half, all but the token that the step adds."""
    full = [slot for slot in range(len(rows)) if engine.is_full(slot)]
    for slot in full:
        rows[slot].begin = len(rows[slot].ids) - max(2, engine.window // 2)
        rows[slot].slides += 1
    if full:
        engine.read(full, [rows[slot].in_sight[:-1] for slot in full])


def _rows(
    weights: Weights,
    tokenizer: Tokenizer,
    prompts: Sequence[str],
    numbers: Sequence[int],
    settings: SamplingSettings,
    listener: Listener | None,
) -> list[Row]:
    ends = ends_of(settings, tokenizer, weights.config)
    encoded = [tokenizer.encode(prompt).tolist() for prompt in prompts]
    rows: list[Row] = []
    for prompt, found in zip(prompts, encoded):
        ids = found or [tokenizer.end_of_text]
        check_ids(torch.tensor(ids), weights.config)
        unseen = max(0, len(ids) - weights.transformer.window)
        if unseen:
            console.warn(f"a prompt has {counted(len(ids), 'token')}; the model sees its last {len(ids) - unseen:,}")
        for sample in numbers:
            draws = draws_for(settings.seed, prompt, sample)
            rows.append(Row(len(rows), prompt, sample, draws, list(ids), len(ids), unseen, ends, tokenizer, listener))
    return rows


def compiles(device: torch.device, rows: int, settings: SamplingSettings) -> bool:
    """Whether steps become compiled graphs."""
    if settings.compile != "auto":
        return settings.compile == "always"
    return device.type == "cuda" and settings.max_new_tokens * -(-rows // settings.rows) >= COMPILING_PAYS


def _sample(row: Row, settings: SamplingSettings) -> Sample:
    return Sample(
        row.prompt,
        row.text,
        row.sample,
        settings.seed,
        row.new,
        row.finish or "length",
        row.prompt_tokens,
        row.unseen,
        row.slides,
        tuple(row.details),
    )
