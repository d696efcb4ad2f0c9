"""Tokenizers for tests: a small one trained on the spot, GPT-2's own from the real data, and tiktoken's engine."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import tiktoken

from gpt2lab.text import tokenizer as tokenizers
from gpt2lab.text.tokenizer import Tokenizer

# The pattern of GPT-2's encoder.py, in the form without catastrophic backtracking that tiktoken ships.
GPT2_PATTERN = r"""'(?:[sdmt]|ll|ve|re)| ?\p{L}++| ?\p{N}++| ?[^\s\p{L}\p{N}]++|\s++$|\s+(?!\S)|\s"""

SAMPLE = (
    "The tokenizer splits text into pieces. Pieces that are frequent become one token; rare ones are spelled.\n\n"
    "It's a byte-level code: whatever the text — naïve, Ελληνικά, 日本語, 👩‍👩‍👧 — nothing is unknown to it.  Numbers "
    "such as 1234567 and 3.14 are split too, and so are    spaces\tand tabs.\n"
) * 20


@cache
def small() -> Tokenizer:
    return tokenizers.train([SAMPLE], 400)


def as_tiktoken(tokenizer: Tokenizer) -> tiktoken.Encoding:
    """The same vocabulary in tiktoken's engine: an oracle that shares no code with ours."""
    vocabulary = tokenizer.vocabulary
    ranks = {
        vocabulary.bytes_of[number]: number
        for token, number in vocabulary.ids.items()
        if token not in (*vocabulary.special, vocabulary.end_of_text)
    }
    special = {vocabulary.end_of_text: tokenizer.end_of_text}
    return tiktoken.Encoding("test", pat_str=GPT2_PATTERN, mergeable_ranks=ranks, special_tokens=special)


def gpt2(real_data: Path) -> Tokenizer:
    return tokenizers.load(real_data / "gpt2-bpe")
