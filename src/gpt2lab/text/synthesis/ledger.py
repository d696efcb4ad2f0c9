"""Where the work stands: a function of the journal alone, record after record."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

from gpt2lab.text.synthesis.answers import NO_TOKENS, Tokens, most_tokens
from gpt2lab.text.synthesis.bill import Bill
from gpt2lab.text.synthesis.checks import COPY, inside, refusal
from gpt2lab.text.synthesis.settings import SynthesisRecipe
from gpt2lab.text.synthesis.similarity import Index
from gpt2lab.text.synthesis.template import Prompt, prompt

Record = dict[str, Any]


class Ledger:
    """Which texts are written, which are to be asked for, and what it cost.

    Texts have numbers. The first `count` of them are wanted; one that was refused too often is given up, and the next
    number takes its place.
    """

    def __init__(self, recipe: SynthesisRecipe, count: int) -> None:
        self.recipe, self.count = recipe, count
        self.accepted: dict[int, Record] = {}
        self.refused: Counter[str] = Counter()
        self.attempts: Counter[int] = Counter()
        self.given_up: set[int] = set()
        self.bill = Bill(recipe.prices)
        self.under_way: dict[int, Tokens] = {}
        self.texts = Index()
        self._again: list[int] = []
        self._fresh = 0

    def replay(self, records: Iterable[Record]) -> None:
        """What earlier processes wrote. Requests that they left open may have been paid."""
        for record in records:
            self.take(record)
        for most in self.under_way.values():
            self.bill.lost(most)
        self.under_way.clear()

    def take(self, record: Record) -> str | None:
        """Enter a record; of an answer, why it is refused, or None."""
        number = record.get("number", -1)
        if record["kind"] == "sent":
            if number in self.under_way:  # a process died while it waited, and another asked again
                self.bill.lost(self.under_way[number])
            self.under_way[number] = Tokens(**record["most"])
        elif record["kind"] == "nothing":
            most = self.under_way.pop(number, NO_TOKENS)
            if record["paid"]:
                self.bill.lost(most)
        elif record["kind"] == "answer":
            return self._judge(number, record)
        return None

    def _judge(self, number: int, record: Record) -> str | None:
        most = self.under_way.pop(number, NO_TOKENS)
        self.bill.answered(Tokens(**record["tokens"]) if record["tokens"] else most)
        if number in self.accepted:  # the checks were other ones when it was asked for again
            return None
        checks, delimiters = self.recipe.checks, self.recipe.delimiters
        reason = refusal(record["text"], record["finish"], checks, delimiters)
        plain = inside(record["text"], delimiters)
        if reason is None and (nearest := self.texts.nearest(plain)) and nearest >= checks.similar:
            reason = COPY
        if reason is None:
            self.texts.add(plain)
            self.accepted[number] = record
            self.given_up.discard(number)
            return None
        self.refused[reason] += 1
        self.attempts[number] += 1
        if self.attempts[number] >= checks.attempts:
            self.given_up.add(number)
        return reason

    @property
    def missing(self) -> int:
        return max(0, self.count - len(self.accepted))

    @property
    def spare(self) -> int:
        """How many texts may be given up before something must be wrong."""
        return max(3, self.count // 20)

    def next_number(self) -> int | None:
        """A text to ask for now."""
        while self._again:
            number = self._again.pop(0)
            if number not in self.given_up:
                return number
        while self._fresh < self.count + len(self.given_up):
            self._fresh += 1
            if self._fresh - 1 not in self.accepted and self._fresh - 1 not in self.given_up:
                return self._fresh - 1
        return None

    def ask_again(self, number: int) -> None:
        self._again.append(number)

    def rows(self) -> list[Record]:
        """The answers of the finished data set, by number."""
        return [self.accepted[number] for number in sorted(self.accepted)][: self.count]

    def prompt(self, number: int) -> Prompt:
        return prompt(self.recipe.prompt, number)

    def most(self, number: int) -> Tokens:
        return most_tokens(self.prompt(number), self.recipe.model)
