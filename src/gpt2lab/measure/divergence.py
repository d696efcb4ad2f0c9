"""KL(base‖tuned): how far tuning moved the next-token distribution, in nats a token, exact over the vocabulary."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from gpt2lab.core.console import Progress
from gpt2lab.core.errors import UserError
from gpt2lab.model.gpt2 import GPT2, check_ids
from gpt2lab.text.batches import Integers, by_length
from gpt2lab.train.cross_entropy import chunk_rows

TOKENS_AT_ONCE = 4096


@dataclass(frozen=True)
class Divergence:
    """Of one prompt: the sum over its positions, each of which predicts a next token."""

    total: float
    tokens: int


@torch.inference_mode()
def divergence(
    base: GPT2, tuned: GPT2, prompts: Sequence[Integers], *, progress: Progress | None = None
) -> list[Divergence]:
    """At every position of each prompt; what goes beyond either model's window is cut off on the right."""
    if base.config.vocabulary != tuned.config.vocabulary:
        raise UserError(
            f"the vocabularies have {base.config.vocabulary:,} and {tuned.config.vocabulary:,} tokens: "
            "their distributions cannot be compared",
            way_out="compare a model with the base it was tuned from",
        )
    window = min(base.window, tuned.window)
    lengths = np.array([min(len(prompt), window) for prompt in prompts], np.int64)
    assert lengths.min(initial=1) > 0, "an empty prompt: the caller puts end-of-text there"
    totals = np.zeros(len(prompts))
    for places in by_length(lengths, TOKENS_AT_ONCE):
        ids = np.zeros((len(places), int(lengths[places].max())), np.int64)
        for row, place in enumerate(places):
            ids[row, : lengths[place]] = prompts[place][:window]
        real = np.arange(ids.shape[1]) < lengths[places, None]
        totals[places] = _sums(base, tuned, torch.from_numpy(ids), torch.from_numpy(real))
        if progress:
            progress.advance(len(places))
    return [Divergence(float(total), int(length)) for total, length in zip(totals, lengths)]


def _sums(base: GPT2, tuned: GPT2, ids_BT: Tensor, real_BT: Tensor) -> np.ndarray:
    """Of each row over its real positions. Padding stands on the right, where no earlier token sees it."""
    check_ids(ids_BT, base.config)
    first_NC, second_NC = (model.transformer(ids_BT.to(_device(model)))[real_BT] for model in (base, tuned))
    size = chunk_rows(len(base.lm_head.weight), first_NC.device)
    values = [_kl(base, tuned, *rows) for rows in zip(first_NC.split(size), second_NC.split(size))]
    owners = torch.arange(len(ids_BT))[:, None].expand(ids_BT.shape)[real_BT]
    return torch.zeros(len(ids_BT), dtype=torch.float64).index_add_(0, owners, torch.cat(values)).numpy()


def _kl(base: GPT2, tuned: GPT2, first_NC: Tensor, second_NC: Tensor) -> Tensor:
    vocabulary = base.config.vocabulary
    log_p = base.logits(first_NC)[:, :vocabulary].float().log_softmax(-1)
    log_q = tuned.logits(second_NC)[:, :vocabulary].float().log_softmax(-1).to(log_p.device)
    return (log_p.exp() * (log_p - log_q)).sum(-1).clamp(min=0).cpu().double()


def _device(model: GPT2) -> torch.device:
    return model.transformer.wte.weight.device
