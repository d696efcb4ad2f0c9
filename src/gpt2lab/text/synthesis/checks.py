"""Why an answer is refused. Reasons are counted, so they hold no numbers or words of the answer."""

from __future__ import annotations

import re

from gpt2lab.text.synthesis.settings import CheckSettings, DelimiterSettings

# U+FFFD stands where an endpoint sent bytes or halves of pairs that are no character.
BROKEN = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ufffd]")
REASONS = {"length": "cut off at model.max_tokens", "content_filter": "held back by the endpoint's filter"}
COPY = "nearly the same as another"


def refusal(text: str, finish: str | None, checks: CheckSettings, delimiters: DelimiterSettings) -> str | None:
    """The first thing that is wrong with an answer by itself, or None."""
    if finish not in checks.finish:
        return REASONS.get(finish or "", "another finish reason than checks.finish has")
    if not text.strip():
        return "empty"
    if BROKEN.search(text):
        return "broken characters"
    return _wrong_delimiters(text.strip(), delimiters) or _wrong_length(words(text, delimiters), checks)


def inside(text: str, delimiters: DelimiterSettings) -> str:
    return text.strip().removeprefix(delimiters.open).removesuffix(delimiters.close)


def words(text: str, delimiters: DelimiterSettings) -> int:
    return len(inside(text, delimiters).split())


def _wrong_delimiters(text: str, delimiters: DelimiterSettings) -> str | None:
    first, last = delimiters.open, delimiters.close
    if first not in text or last not in text:
        return f"without {first}…{last}"
    if not (text.startswith(first) and text.endswith(last) and len(text) >= len(first) + len(last)):
        return f"with text around {first}…{last}"
    if any(mark and mark in inside(text, delimiters) for mark in (first, last)):
        return f"with more than one {first}…{last}"
    return None


def _wrong_length(count: int, checks: CheckSettings) -> str | None:
    if count < checks.fewest_words:
        return f"fewer than {checks.fewest_words} words"
    if count > checks.most_words:
        return f"more than {checks.most_words} words"
    return None
