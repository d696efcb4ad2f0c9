"""What was spent, what may have been, and what is still to come."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gpt2lab.text.synthesis.answers import NO_TOKENS, SPARE_TOKENS, Tokens, most_tokens
from gpt2lab.text.synthesis.settings import PriceSettings, SynthesisRecipe
from gpt2lab.text.synthesis.template import prompt

BYTES_A_TOKEN = 4.0  # of English, roughly
TOKENS_A_WORD = 1.35
SAMPLE = 50  # prompts that an estimate looks at


@dataclass
class Bill:
    prices: PriceSettings | None
    answers: int = 0
    paid: Tokens = NO_TOKENS
    unanswered: int = 0
    perhaps: Tokens = NO_TOKENS  # of requests without an answer, at the most that they can cost

    def answered(self, tokens: Tokens) -> None:
        self.answers += 1
        self.paid += tokens

    def lost(self, most: Tokens) -> None:
        self.unanswered += 1
        self.perhaps += most

    @property
    def at_most(self) -> float:
        """No more than this was spent."""
        return self.cost(self.paid + self.perhaps)

    def cost(self, tokens: Tokens) -> float:
        if self.prices is None:
            return 0.0
        return (tokens.prompt * self.prices.prompt + tokens.completion * self.prices.completion) / 1e6

    def money(self, amount: float) -> str:
        return f"{amount:.4f} {self.prices.currency}" if self.prices else "unknown: the recipe has no prices"

    def as_dict(self) -> dict[str, Any]:
        return {
            "answers": self.answers,
            "tokens": self.paid.as_dict(),
            "without_an_answer": self.unanswered,
            "perhaps_tokens": self.perhaps.as_dict(),
            "cost": self.cost(self.paid) if self.prices else None,
            "cost_at_most": self.at_most if self.prices else None,
            "currency": self.prices.currency if self.prices else None,
        }


@dataclass(frozen=True)
class Estimate:
    likely: Tokens
    least: Tokens  # no endpoint can do it with fewer, so a budget below is hopeless
    longest: Tokens  # each answer as long as it may be


def estimate(recipe: SynthesisRecipe, missing: int, bill: Bill, accepted: int) -> Estimate:
    """For the texts that are still missing; once there are some, from what those took."""
    sample = [prompt(recipe.prompt, number) for number in range(min(SAMPLE, missing))]
    asked = sum(one.bytes for one in sample) / max(1, len(sample))
    most = most_tokens(sample[0], recipe.model).completion if sample else 0
    middle = (recipe.checks.fewest_words + recipe.checks.most_words) / 2 * TOKENS_A_WORD
    likely = Tokens(round(missing * (asked / BYTES_A_TOKEN + 8)), round(missing * min(middle, most)))
    if accepted:
        share = missing / accepted
        likely = Tokens(round(bill.paid.prompt * share), round(bill.paid.completion * share))
    least = Tokens(0, missing * min(recipe.checks.fewest_words, most))
    return Estimate(likely, least, Tokens(round(missing * (asked + SPARE_TOKENS)), missing * most))
