"""How likely is a continuation after its context? One scorer for everything that is measured.

A context is run once, and its continuations stand side by side behind it in one row: each sees the context and itself.
Rows of like length make a batch. Neither the scored tokens nor, but for rounding, their values depend on the batch.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gpt2lab.core import own_memory
from gpt2lab.core.console import Progress, counted
from gpt2lab.core.errors import Failed, UserError
from gpt2lab.generate.packed import can_pack, packed_blocks
from gpt2lab.measure.head import Head
from gpt2lab.model.gpt2 import GPT2, Transformer, check_ids
from gpt2lab.text.batches import Integers
from gpt2lab.train.processes import ALONE, Team

TOKENS_AT_ONCE = {"cpu": 2048, "cuda": 65536}
LEAST_FILLED = 0.9  # of the longest row in a batch
TILE = 8  # widths of batches are multiples of it: few shapes, for which oneDNN keeps kernels, and even ones
DAMAGED = "the weights are damaged or not of this architecture; measure another checkpoint"
PADDING = -1  # the branch of what is no token


@dataclass(frozen=True)
class Question:
    """Ids; whoever asks puts end-of-text where there is no context."""

    context: Integers
    continuations: Sequence[Integers]


@dataclass(frozen=True)
class Answer:
    log_likelihoods: NDArray[np.float64]  # one a token
    greedy: bool  # every token is the likeliest, and the first of those that are equally likely
    truncated: int  # tokens of the context that did not fit, cut on its left

    @property
    def total(self) -> float:
        return float(self.log_likelihoods.sum())


@dataclass(frozen=True)
class _Branch:
    ids: Integers
    place: int  # of its first token among all that are scored


@dataclass(frozen=True)
class _Row:
    context: Integers
    branches: list[_Branch]
    completes: int  # 1 in the last row of a question

    @property
    def length(self) -> int:
        return len(self.context) + sum(len(branch.ids) - 1 for branch in self.branches)


def score(
    model: GPT2,
    questions: Sequence[Question],
    *,
    window: int | None = None,
    token_budget: int | None = None,
    team: Team = ALONE,
    progress: Progress | None = None,
) -> list[list[Answer]]:
    """For each question an answer a continuation. `window` may be less than the model's. Progress counts questions."""
    window = min(window or model.window, model.window)
    device = model.transformer.wte.weight.device
    own_memory.keep_pages()
    rows, tokens = _rows(questions, model, window)
    budget = token_budget or TOKENS_AT_ONCE.get(device.type, 16384)
    values, greedy = np.zeros(tokens), np.zeros(tokens)
    was_training = model.training
    model.eval()
    with torch.inference_mode():
        head, transformer = Head.of(model), _fast(model)
        for batch in list(_batches(rows, budget, device.type))[team.rank :: team.size]:
            places, log_p, likeliest = _run(transformer, model.window, head, batch)
            values[places], greedy[places] = log_p, likeliest
            if progress:
                progress.advance(sum(row.completes for row in batch))
    model.train(was_training)
    _gather([values, greedy], device, team)
    _refuse_what_is_no_number(values)
    return _answers(questions, values, greedy, window)


def _rows(questions: Sequence[Question], model: GPT2, window: int) -> tuple[list[_Row], int]:
    """Every continuation in one row, and how many tokens are scored."""
    rows, place = [], 0
    for number, question in enumerate(questions, 1):
        check_ids(
            torch.from_numpy(np.concatenate([question.context, *question.continuations])),
            model.config,
            f"question {number}",
        )
        branches: dict[int, list[_Branch]] = {}
        for ids in question.continuations:
            if len(ids):
                kept = _kept(question, ids, window, number)
                branches.setdefault(kept, []).append(_Branch(ids, place))
                place += len(ids)
        of_question = [
            (question.context[len(question.context) - kept :], group)
            for kept, together in branches.items()
            for group in _that_fit(together, window - kept)
        ]
        last = len(of_question) - 1
        rows += [_Row(context, group, int(index == last)) for index, (context, group) in enumerate(of_question)]
    return rows, place


def _kept(question: Question, ids: Integers, window: int, number: int) -> int:
    """How much of the context fits before a continuation, whose last token is only predicted."""
    assert len(question.context), "an empty context: the caller puts end-of-text there"
    if len(ids) > window:
        raise UserError(
            f"a continuation of {counted(len(ids), 'token')} does not fit: the model sees {window}",
            place=f"question {number}",
            way_out="shorten it, or measure it in windows",
        )
    return min(len(question.context), window + 1 - len(ids))


def _that_fit(branches: list[_Branch], room: int) -> Iterator[list[_Branch]]:
    """As many side by side as there is room beside the context."""
    group: list[_Branch] = []
    left = room
    for branch in branches:
        if group and len(branch.ids) - 1 > left:
            yield group
            group, left = [], room
        group.append(branch)
        left -= len(branch.ids) - 1
    yield group


def _batches(rows: list[_Row], budget: int, kind: str) -> Iterator[list[_Row]]:
    """Rows of like length, the longest first: what does not fit into memory shows at once."""
    batch: list[_Row] = []
    tokens = 0
    for row in sorted(rows, key=lambda row: -row.length):
        longest = batch[0].length if batch else row.length
        takes = row.length if kind == "cpu" else longest  # on a CPU padding goes through no layer
        if batch and (tokens + takes > budget or (kind != "cpu" and row.length < LEAST_FILLED * longest)):
            yield batch
            batch, tokens = [], 0
        batch.append(row)
        tokens += takes
    if batch:
        yield batch


def _fast(model: GPT2) -> Transformer:
    """On a CPU with its matrices laid out for many products; norms, sums and attention are then in fp32 at least."""
    weight = model.transformer.ln_f.weight
    return (
        packed_blocks(model.transformer, weight.dtype) if can_pack(weight.device, weight.dtype) else model.transformer
    )


def _run(
    transformer: Transformer, window: int, head: Head, batch: list[_Row]
) -> tuple[Integers, NDArray, NDArray[np.bool_]]:
    """The places of a batch's tokens among all that are scored, their log-probabilities, and which are likeliest."""
    device = transformer.wte.weight.device
    shape = (len(batch), min(-(-batch[0].length // TILE) * TILE, window))
    ids, positions, branch_of = np.zeros(shape, np.int64), np.zeros(shape, np.int64), np.full(shape, PADDING, np.int64)
    sources, targets, places = [], [], []
    for number, row in enumerate(batch):
        end = len(row.context)
        ids[number, :end], positions[number, :end], branch_of[number, :end] = row.context, np.arange(end), 0
        last_of_context, start = number * shape[1] + end - 1, end
        for index, branch in enumerate(row.branches, 1):
            length = len(branch.ids) - 1
            inside = slice(start, start + length)
            ids[number, inside], branch_of[number, inside] = branch.ids[:-1], index
            positions[number, inside] = np.arange(end, end + length)
            sources.append(np.append(last_of_context, number * shape[1] + np.arange(start, start + length)))
            targets.append(branch.ids)
            places.append(np.arange(branch.place, branch.place + length + 1))
            start += length
    wanted, source = np.unique(np.concatenate(sources), return_inverse=True)
    order = np.argsort(source, kind="stable")
    plain = all(len(row.branches) == 1 for row in batch)
    branch_BT = torch.from_numpy(branch_of).to(device)
    x_NC = transformer(
        torch.from_numpy(ids).to(device),
        _real(branch_BT) if plain else _who_sees_whom(branch_BT),
        None if plain else torch.from_numpy(positions).to(device),
        wanted_N=torch.from_numpy(wanted).to(device),
    )
    return np.concatenate(places)[order], *head(x_NC, source[order], np.concatenate(targets)[order])


def _real(branch_BT: Tensor) -> Tensor | None:
    """Needed where the model then leaves padding out: nobody sees what stands on the right."""
    real_BT = branch_BT != PADDING
    return None if branch_BT.device.type != "cpu" or real_BT.all() else real_BT


def _who_sees_whom(branch_BT: Tensor) -> Tensor:
    """Everyone sees the context and its own branch, padding nothing; the model adds that nobody sees the future."""
    alike = (branch_BT[:, None, :] == 0) | (branch_BT[:, None, :] == branch_BT[:, :, None])
    return alike & (branch_BT != PADDING)[:, :, None]


def _gather(arrays: list[NDArray[np.float64]], device: torch.device, team: Team) -> None:
    """A token is scored by one process and zero in the others, so that the sum is exact."""
    if team.size > 1:
        sums = torch.from_numpy(np.stack(arrays)).to(device)
        team.add_up([sums])
        for array, summed in zip(arrays, sums.cpu().numpy()):
            array[:] = summed


def _refuse_what_is_no_number(values: NDArray[np.float64]) -> None:
    if not (finite := np.isfinite(values)).all():
        raise Failed(f"the log-likelihood of a token is {values[~finite][0]:g}", way_out=DAMAGED)


def _answers(
    questions: Sequence[Question], values: NDArray[np.float64], greedy: NDArray[np.float64], window: int
) -> list[list[Answer]]:
    found, place = [], 0
    for question in questions:
        answers = []
        for ids in question.continuations:
            inside = slice(place, place + len(ids))
            cut = max(0, len(question.context) + len(ids) - 1 - window)
            answers.append(Answer(values[inside].copy(), bool(greedy[inside].all()), cut))
            place += len(ids)
        found.append(answers)
    return found
