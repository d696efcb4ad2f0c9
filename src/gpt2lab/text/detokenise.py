"""WikiText is stored with spaces around punctuation and `@` around inner marks; named ways back."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Literal

Name = Literal["none", "hyphen-only", "wikitext"]

# What lm-evaluation-harness repairs in its `wikitext` task, in its order: word perplexity is only comparable with it.
MARKS = ((" @-@ ", "-"), (" @,@ ", ","), (" @.@ ", "."))
PUNCTUATION = tuple((f" {mark} ", f"{mark} ") for mark in ":;.!?,")
PAIRS = ("()", "[]", "{}", '""', "''")
INSIDE = tuple(
    re.compile(f"{re.escape(pair[0])}\\s*([^{re.escape(pair[1])}]*?)\\s*{re.escape(pair[1])}") for pair in PAIRS
)
REST = (
    ("= = = =", "===="),
    ("= = =", "==="),
    ("= =", "=="),
    (" ° ", "°"),
    (" \n", "\n"),
    ("\n ", "\n"),
    (" N ", " 1 "),
    (" 's", "'s"),
)


def detokeniser(name: Name) -> Callable[[str], str]:
    return {"none": _unchanged, "hyphen-only": _hyphens, "wikitext": _wikitext}[name]


def _unchanged(text: str) -> str:
    return text


def _hyphens(text: str) -> str:
    return text.replace(*MARKS[0])


def _wikitext(text: str) -> str:
    for old, new in (("s '", "s'"), *MARKS, *PUNCTUATION):
        text = text.replace(old, new)
    for (opening, closing), inside in zip(PAIRS, INSIDE):
        text = inside.sub(lambda found, a=opening, b=closing: f"{a}{found[1]}{b}", text)
    for old, new in REST:
        text = text.replace(old, new)
    return text
