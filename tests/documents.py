"""Documents as a corpus has them: few, of very unequal length, each with a character of its own."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

MEAN_NLL = 3.3


def some(seed: int, count: int = 62, apart: float = 0.0) -> tuple[NDArray, NDArray, NDArray]:
    """Summed NLL under two models and tokens of each document; `apart` is the true difference per token.

    What a document adds per token is drawn apart from its length, so the true ratios are MEAN_NLL + apart and MEAN_NLL.
    """
    random = np.random.default_rng(seed)
    tokens = np.ceil(random.lognormal(8, 0.9, count))
    character = random.normal(0, 0.3, count)
    ours = random.normal(apart, 0.05, count)
    return tokens * (MEAN_NLL + character + ours), tokens * (MEAN_NLL + character), tokens
