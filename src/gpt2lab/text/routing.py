"""Which split a document belongs to."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gpt2lab.text.settings import PrepareSettings
from gpt2lab.text.tokenizer import Tokenizer

TRAIN, VALIDATION, TEST = 0, 1, 2
NAMES = ("train", "validation", "test")
FEW_DOCUMENTS = 100  # fewer cannot be split by chance: one long one would make or break a side
SHARE_OF_FEW = 0.05


def by_hash(hashes: NDArray[np.uint64], settings: PrepareSettings) -> NDArray[np.int8]:
    """The same for the same text, whatever else is in the source."""
    place = hashes[:, 0].astype(np.float64) / 2.0**64
    validation = settings.validation if isinstance(settings.validation, float) else 0.0
    routed = np.full(len(hashes), TRAIN, np.int8)
    routed[place < validation + settings.test] = TEST
    routed[place < validation] = VALIDATION
    return routed


def paragraph_border(ids: NDArray[np.unsignedinteger], wanted: int, tokenizer: Tokenizer) -> int:
    """The first place from `wanted` on where a paragraph or document begins; else a line; else `wanted` itself."""
    table = tokenizer.vocabulary.bytes_of
    before = b"".join(table[number] for number in ids[max(0, wanted - 4) : wanted])
    line = None
    for place in range(wanted, len(ids)):
        if ids[place] == tokenizer.end_of_text:
            return place
        token = table[ids[place]]
        if before.endswith(b"\n") and not token[:1].isspace():
            if before.rstrip().count(b"\n") + 2 <= before.count(b"\n"):
                return place
            line = line or place
        before = (before + token)[-16:]
    return line or wanted
