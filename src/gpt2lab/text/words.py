"""How many words texts have, as `str.split` counts them, from their UTF-8 and many texts at a time."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, pairwise

import numpy as np
from numpy.typing import NDArray

# By code point; beyond ASCII, which is compared and not looked up.
WIDE = np.zeros(0x10000, bool)
WIDE[[0x85, 0xA0, 0x1680, *range(0x2000, 0x200B), 0x2028, 0x2029, 0x202F, 0x205F, 0x3000]] = True


def count_words(texts: Sequence[bytes]) -> list[int]:
    begins = _word_begins(b" ".join([*texts, b"", b""]))  # a text may end within a character: two more to look at
    borders = accumulate((len(text) + 1 for text in texts), initial=0)
    return [int(np.count_nonzero(begins[start:stop])) for start, stop in pairwise(borders)]


def _word_begins(data: bytes) -> NDArray[np.bool_]:
    white = _white(np.frombuffer(data, np.uint8))
    begins = ~white
    begins[1:] &= white[:-1]
    return begins


def _white(letters: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Which bytes belong to white space."""
    white = (letters - 0x09 < 5) | (letters - 0x1C < 5)  # unsigned: what is smaller wraps around
    wide = np.flatnonzero(letters - 0xC2 < 0x22)  # where a character of two or three bytes begins that may be white
    first = letters[wide]
    _mark(white, letters, wide[first == 0xC2], 2)
    _mark(white, letters, wide[first > 0xE0], 3)
    return white


def _mark(white: NDArray[np.bool_], letters: NDArray[np.uint8], places: NDArray[np.intp], length: int) -> None:
    codes = np.zeros(len(places), np.uint16)  # what the first byte has besides the letter's bits is shifted out
    for step in range(length):
        codes = codes << 6 | letters[places + step] & 0x3F
    found = places[WIDE[codes]]
    for step in range(length):
        white[found + step] = True
