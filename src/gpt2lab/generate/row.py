"""One sample while it is written: its ids, its text so far, and what ends it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import torch

from gpt2lab.core.errors import UserError
from gpt2lab.generate.sampling import Draws
from gpt2lab.generate.settings import SamplingSettings
from gpt2lab.model.config import GPT2Config
from gpt2lab.model.gpt2 import check_ids
from gpt2lab.text.tokenizer import Tokenizer

Finish = Literal["end-of-text", "stop", "length", "nothing left"]
Listener = Callable[[int, str], None]


@dataclass(frozen=True)
class Ends:
    end_of_text: int | None
    tokens: frozenset[int]
    texts: tuple[bytes, ...]
    least: int
    most: int

    @property
    def ids(self) -> list[int]:
        return sorted(self.tokens | ({self.end_of_text} if self.end_of_text is not None else set()))


def ends_of(settings: SamplingSettings, tokenizer: Tokenizer, config: GPT2Config) -> Ends:
    """A tokenizer may have more tokens than the model has ids; what ends a sample must be one of these."""
    ends = Ends(
        None if settings.ignore_eos else tokenizer.end_of_text,
        frozenset(_token(name, tokenizer) for name in settings.stop_tokens),
        tuple(text.encode("utf-8", "replace") for text in settings.stop),
        settings.min_new_tokens,
        settings.max_new_tokens,
    )
    check_ids(torch.tensor(ends.ids), config)
    return ends


def _token(name: str, tokenizer: Tokenizer) -> int:
    """A number is an id, anything else the text of one token."""
    if name.isdecimal():
        if int(name) < tokenizer.size:
            return int(name)
        cause = f"there is no token {name}: the tokenizer's ids are 0 to {tokenizer.size - 1}"
        raise UserError(cause, place="stop_tokens", way_out="for a text that ends a sample use --stop")
    if name in tokenizer.vocabulary.ids:
        return tokenizer.vocabulary.ids[name]
    ids = tokenizer.encode(name).tolist()
    if len(ids) == 1:
        return ids[0]
    cause = f"{name!r} is no single token: this tokenizer makes {len(ids)} of it"
    raise UserError(cause, place="stop_tokens", way_out="for a text that ends a sample use --stop")


@dataclass
class Row:
    order: int  # its place in the answer
    prompt: str
    sample: int
    draws: Draws
    ids: list[int]  # the prompt's, then the new ones
    prompt_tokens: int
    unseen: int  # of a prompt longer than the window
    ends: Ends
    tokenizer: Tokenizer
    listener: Listener | None = None
    slides: int = 0
    finish: Finish | None = None
    details: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.written = bytearray()
        self.shown = 0
        self.begin = self.unseen  # of what the model sees
        self.decoder = self.tokenizer.stream()

    @property
    def new(self) -> int:
        return len(self.ids) - self.prompt_tokens

    @property
    def in_sight(self) -> list[int]:
        return self.ids[self.begin :]

    def take(self, number: int) -> bool:
        """Whether the token belongs to the sample; an end does not."""
        if self.new >= self.ends.least and number == self.ends.end_of_text:
            return self._ended("end-of-text")
        if self.new >= self.ends.least and number in self.ends.tokens:
            return self._ended("stop")
        self.ids.append(number)
        before = len(self.written)
        self.written += self.tokenizer.decode_bytes([number])
        if self.new >= self.ends.least and (at := self._stop_after(before)) is not None:
            del self.written[at:]
            self._ended("stop")
        elif self.new >= self.ends.most:
            self._ended("length")
        elif self.listener is not None:
            self._show(len(self.written) - self._may_become_a_stop())
        return True

    def give_up(self) -> None:
        """No token is allowed any more."""
        self._ended("nothing left")

    @property
    def text(self) -> str:
        return self.written.decode("utf-8", "replace")

    def _ended(self, how: Finish) -> bool:
        self.finish = how
        if self.listener is not None:
            self._show(len(self.written))
            if rest := self.decoder.finish():
                self.listener(self.order, rest)
        return False

    def _show(self, stop: int) -> None:
        """Whole characters alone, and nothing that may turn out to be a stop text."""
        if stop > self.shown and self.listener is not None:
            piece = self.decoder.decoder.decode(bytes(self.written[self.shown : stop]))
            self.shown = stop
            if piece:
                self.listener(self.order, piece)

    def _stop_after(self, before: int) -> int | None:
        """Where the first stop text begins that ends in what was written last."""
        found = [self.written.find(text, max(0, before - len(text) + 1)) for text in self.ends.texts]
        return min((at for at in found if at >= 0), default=None)

    def _may_become_a_stop(self) -> int:
        lengths = (
            length
            for text in self.ends.texts
            for length in range(min(len(text) - 1, len(self.written)), 0, -1)
            if self.written.endswith(text[:length])
        )
        return max(lengths, default=0)
