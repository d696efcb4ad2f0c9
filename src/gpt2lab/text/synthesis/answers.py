"""What a writer is asked for and what comes back, whoever writes."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Protocol

from gpt2lab.text.synthesis.settings import WriterSettings
from gpt2lab.text.synthesis.template import Prompt

SPARE_TOKENS = 64  # roles, and what an endpoint adds to a prompt


@dataclass(frozen=True)
class Request:
    number: int
    attempt: int
    prompt: Prompt


@dataclass(frozen=True)
class Tokens:
    prompt: int = 0
    completion: int = 0

    def __add__(self, other: Tokens) -> Tokens:
        return Tokens(self.prompt + other.prompt, self.completion + other.completion)

    def __sub__(self, other: Tokens) -> Tokens:
        return Tokens(self.prompt - other.prompt, self.completion - other.completion)

    @property
    def total(self) -> int:
        return self.prompt + self.completion

    def as_dict(self) -> dict[str, int]:
        return asdict(self)


NO_TOKENS = Tokens()


@dataclass(frozen=True)
class Answer:
    text: str
    finish: str | None
    model: str
    tokens: Tokens | None  # None: the endpoint did not say


class NoAnswer(Exception):
    """A request that got none, and may be sent again."""

    def __init__(self, why: str, *, paid: bool, wait: float | None = None, busy: bool = False) -> None:
        super().__init__(why)
        self.paid = paid  # it may have been: the endpoint had begun, for all we know
        self.wait = wait  # seconds that the endpoint asked for
        self.busy = busy  # too much was asked of it, so everyone waits


class Writer(Protocol):
    host: str

    @property
    def costs(self) -> bool:
        """Its answers are paid for, so each is on disk before anything else happens."""
        ...

    async def write(self, request: Request) -> Answer: ...

    async def close(self) -> None: ...


def most_tokens(prompt: Prompt, settings: WriterSettings) -> Tokens:
    """A request never has more: no byte-level tokenizer makes more tokens than bytes, and the endpoint cuts answers."""
    return Tokens(prompt.bytes + SPARE_TOKENS, settings.max_tokens)


def to_record(request: Request, answer: Answer, host: str) -> dict[str, Any]:
    return {
        "kind": "answer",
        "number": request.number,
        "attempt": request.attempt,
        "text": answer.text,
        "finish": answer.finish,
        "model": answer.model,
        "host": host,
        "tokens": answer.tokens and answer.tokens.as_dict(),
    }
