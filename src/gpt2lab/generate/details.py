"""What the model thought of each token, before any setting changed it."""

from __future__ import annotations

import math
from typing import Any

from torch import Tensor

from gpt2lab.text.tokenizer import Tokenizer


def details(logits_V: Tensor, number: int, alternatives: int, tokenizer: Tokenizer) -> dict[str, Any]:
    """Surprise is −log2 of the probability: a token that the model was sure of has 0 bits."""
    log_p_V = logits_V[: tokenizer.size].cpu().double().log_softmax(-1)  # MPS has no double precision
    likeliest = log_p_V.topk(min(alternatives, len(log_p_V)))
    return {
        **_token(number, float(log_p_V[number]), tokenizer),
        "surprise": -float(log_p_V[number]) / math.log(2),
        "alternatives": [
            _token(other, log_p, tokenizer)
            for other, log_p in zip(likeliest.indices.tolist(), likeliest.values.tolist())
        ],
    }


def _token(number: int, log_p: float, tokenizer: Tokenizer) -> dict[str, Any]:
    return {"token": tokenizer.decode([number]), "id": number, "probability": math.exp(log_p)}
