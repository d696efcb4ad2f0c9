"""Texts become class probabilities: in batches of like length, and a text's own are the same in any of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

import numpy as np
import torch
from numpy.typing import NDArray

from gpt2lab.core import own_memory
from gpt2lab.core.errors import UserError
from gpt2lab.model.gpt2 import GPT2Classifier, check_ids
from gpt2lab.text.batches import by_length

Ids = NDArray[np.integer]
TEXTS_AT_ONCE = 1024  # sorted by length among themselves; memory never holds more
TOKENS_AT_ONCE = {"cpu": 2048}


def log_probabilities(
    model: GPT2Classifier, texts: Iterable[Ids], token_budget: int | None = None
) -> Iterator[NDArray[np.float64]]:
    """Of the classes, for each text in its turn. No text may be empty or longer than the model's window."""
    own_memory.keep_pages()
    budget = token_budget or TOKENS_AT_ONCE.get(next(model.parameters()).device.type, 16384)
    waiting = iter(texts)
    while several := list(islice(waiting, TEXTS_AT_ONCE)):
        yield from _of_several(model, several, budget)


@torch.inference_mode()
def _of_several(model: GPT2Classifier, texts: Sequence[Ids], token_budget: int) -> NDArray[np.float64]:
    """Padding stands on the right, where no token of a causal model sees it, so no mask is needed."""
    lengths = np.array([len(text) for text in texts])
    assert 0 < lengths.min() <= lengths.max() <= model.window
    device = next(model.parameters()).device
    found = np.empty((len(texts), len(model.config.labels)))
    for places in by_length(lengths, token_budget):
        ids = np.zeros((len(places), int(lengths[places].max())), np.int64)
        for row, place in enumerate(places):
            ids[row, : lengths[place]] = texts[place]
        ids_BT = torch.from_numpy(ids)
        check_ids(ids_BT, model.config)
        last_B = torch.from_numpy(np.arange(len(places)) * ids.shape[1] + lengths[places] - 1)
        last_BC = model.transformer(ids_BT.to(device), wanted_N=last_B.to(device))
        found[places] = model.score(last_BC.to(model.score.weight.dtype)).float().log_softmax(-1).cpu().numpy()
    if not np.isfinite(found).all():
        raise UserError("the model's answer is no number", way_out="its weights are damaged, or need precision fp32")
    return found
