"""Two engines that turn text into ids: the reference, and a fast one that is only trusted after it agreed with it."""

from __future__ import annotations

import contextlib
import hashlib
import re
from collections.abc import Sequence
from importlib.metadata import version
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from gpt2lab.core import console, files
from gpt2lab.text.vocabulary import Vocabulary

PACKAGES = ("fastokens", "tokenizers")
Ids = NDArray[np.uint32]
Offsets = NDArray[np.int64]


class Engine(Protocol):
    name: str

    def encode_many(self, texts: Sequence[str]) -> tuple[Ids, Offsets]:
        """All ids after one another, and where each text begins (one more at the end).

        A lone surrogate is a UnicodeEncodeError.
        """
        ...


class Reference:
    """Hugging Face's tokenizers: slow, and by definition right."""

    name = "tokenizers"

    def __init__(self, vocabulary: Vocabulary) -> None:
        from tokenizers import Tokenizer

        self.engine = Tokenizer.from_str(vocabulary.plain_spec)
        self.may_cut = vocabulary.splits_as_gpt2()

    def encode_many(self, texts: Sequence[str]) -> tuple[Ids, Offsets]:
        pieces, firsts = cut(texts) if self.may_cut else whole(texts)
        "".join(pieces).encode()  # the engine itself would call a lone surrogate a TypeError
        encodings = self.engine.encode_batch_fast(pieces, add_special_tokens=False)
        ids = [np.array(encoding.ids, np.uint32) for encoding in encodings]
        offsets = np.cumsum([0, *map(len, ids)], dtype=np.int64)
        return np.concatenate([np.empty(0, np.uint32), *ids]), offsets[firsts]


class Fast:
    """fastokens: native, exact on every code point of Unicode, no dependencies (docs/tokenizers.md)."""

    name = "fastokens"

    def __init__(self, vocabulary: Vocabulary) -> None:
        import fastokens

        self.engine = fastokens.Tokenizer.from_json_str(vocabulary.plain_spec)
        self.may_cut = vocabulary.splits_as_gpt2()

    def encode_many(self, texts: Sequence[str]) -> tuple[Ids, Offsets]:
        pieces, firsts = cut(texts) if self.may_cut else whole(texts)
        ids, offsets = self.engine.encode_batch_flat(pieces, False)
        return np.frombuffer(ids, np.uint32), np.frombuffer(offsets, np.uint64).astype(np.int64)[firsts]


PIECE = (
    200_000  # characters; longer ones cost the reference memory out of proportion and the fast engine half its speed
)
# Here a GPT-2 token always ends: none holds a space after anything else.
BORDER = re.compile(r"(?<=[A-Za-z0-9.,;:]) (?=[A-Za-z])")


def cut(texts: Sequence[str], size: int | None = None) -> tuple[list[str], list[int]]:
    """Long texts in pieces that encode to the same ids, and which piece each text begins with (one more at the end)."""
    size = size or PIECE
    pieces, firsts = [], [0]
    for text in texts:
        start = 0
        while len(text) - start > size and (border := BORDER.search(text, start + size)):
            pieces.append(text[start : border.start()])
            start = border.start()
        pieces.append(text[start:])
        firsts.append(len(pieces))
    return pieces, firsts


def whole(texts: Sequence[str]) -> tuple[list[str], list[int]]:
    return list(texts), list(range(len(texts) + 1))


def choose(vocabulary: Vocabulary) -> Engine:
    """The fast engine where it is installed and agrees with the reference on a fixture; disagreement is said aloud."""
    try:
        fast = Fast(vocabulary)
    except ImportError:
        return Reference(vocabulary)
    except Exception as error:  # whatever a native package raises: the reference can still do the work
        console.warn_once(f"fastokens cannot use this tokenizer ({error}); the slower engine is used")
        return Reference(vocabulary)
    noted = files.home() / "engines" / f"{_what_is_compared(vocabulary)}.json"
    if noted.is_file():
        return fast
    reference = Reference(vocabulary)
    if not agree(fast, reference):
        console.warn_once("fastokens splits the test text in another way than tokenizers; the slower engine is used")
        return reference
    with contextlib.suppress(OSError):  # without a home that can be written to, the next process compares again
        files.write_json(noted, {"agree": PACKAGES})
    return fast


def _what_is_compared(vocabulary: Vocabulary) -> str:
    versions = [f"{package} {version(package)}" for package in PACKAGES]
    return hashlib.sha256("\0".join((vocabulary.plain_spec, *versions, *FIXTURE)).encode()).hexdigest()[:16]


def agree(one: Engine, other: Engine, texts: Sequence[str] | None = None) -> bool:
    texts = FIXTURE if texts is None else texts
    return all(np.array_equal(a, b) for a, b in zip(one.encode_many(texts), other.encode_many(texts)))


# What engines have disagreed on: contractions, runs of spaces, digits, scripts, marks, joined emoji, control
# characters, special tokens as text, letters that are new in Unicode, a word longer than any merge.
FIXTURE = (
    "",
    "Hello world! I'm sure they'll say it's what we've 'd and 'LL",
    "  leading\t\ttabs \n\n\n newlines \r\n and trailing   ",
    "0 12 345 6789 ١٢٣ ½ ² Ⅷ 3.14159",
    "Füße naïve Ελληνικά кириллица עברית العربية हिन्दी ไทย 中文字 日本語 한국어",
    "e\u0301 n\u0303 \u200bzero\u200dwidth \u00a0nbsp\u2003em \u3000ideographic \ufeffbom",
    "👩‍👩‍👧‍👦 👍🏽 🇫🇷 \U0001f9ff",
    "<|endoftext|> <|pad|> [MASK] </s>",
    "def f(x):\n    return x ** 2  # %s {}\n\x00\x01\x7f\x85",
    "\u088f \u0c5c \ua7ce \U00010940 \U0001e6c0 unassigned \ue000 private",
    "a" * 300 + " " * 50 + "!" * 70 + "\n" * 40,
)
