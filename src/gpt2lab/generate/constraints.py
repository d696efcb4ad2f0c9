"""What the text so far forbids or makes unlikely, before temperature and the rest; in transformers' order."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from gpt2lab.generate.settings import SamplingSettings


def constrain(
    logits_BV: Tensor,
    texts: Sequence[Sequence[int]],
    new: Sequence[int],
    settings: SamplingSettings,
    ends: Sequence[int],
    tokens: int,
) -> Tensor:
    """`texts` are the ids so far, prompts included, `new` how many of them were added; in place.

    Some models have more ids than their tokenizer has tokens: what has no text is never drawn.
    """
    if settings.repetition_penalty != 1:
        for row, text in zip(logits_BV, texts):
            seen = torch.tensor(sorted(set(text)), dtype=torch.long, device=row.device)
            found = row[seen]
            row[seen] = torch.where(found < 0, found * settings.repetition_penalty, found / settings.repetition_penalty)
    if settings.no_repeat_ngram:
        for row, text in zip(logits_BV, texts):
            row[sorted(would_repeat(text, settings.no_repeat_ngram))] = -math.inf
    if ends and settings.min_new_tokens:
        early = [index for index, count in enumerate(new) if count < settings.min_new_tokens]
        for index in early:
            logits_BV[index, list(ends)] = -math.inf
    logits_BV[:, tokens:] = -math.inf
    return logits_BV


def would_repeat(text: Sequence[int], size: int) -> set[int]:
    """Ids that would complete a run of `size` tokens that stands in the text already."""
    begin = list(text[len(text) + 1 - size :])
    starts = range(len(text) - size + 1)
    return {text[at + size - 1] for at in starts if list(text[at : at + size - 1]) == begin}
