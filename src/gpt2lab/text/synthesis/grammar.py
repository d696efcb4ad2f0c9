"""`--backend builtin`: the grammar of `builtin:fantasy` instead of a large model, offline and for rehearsals."""

from __future__ import annotations

import re

from gpt2lab.text import fantasy
from gpt2lab.text.synthesis.answers import NO_TOKENS, Answer, Request
from gpt2lab.text.synthesis.settings import SynthesisRecipe

NEXT_ATTEMPT = 1_000_000_000  # texts between the attempts at one number
SENTENCE = re.compile(r"(?<=[.!?])\s+")


class GrammarWriter:
    host = "builtin"
    costs = False

    def __init__(self, recipe: SynthesisRecipe) -> None:
        self.recipe = recipe

    async def write(self, request: Request) -> Answer:
        first = request.number + (request.attempt - 1) * NEXT_ATTEMPT
        text = self._fitting(first, request.prompt.variables)
        delimiters = self.recipe.delimiters
        return Answer(f"{delimiters.open}{text}{delimiters.close}", self.recipe.checks.finish[0], "builtin", NO_TOKENS)

    async def close(self) -> None:
        pass

    def _fitting(self, number: int, variables: dict[str, str]) -> str:
        """A place as it is or, where the recipe wants other lengths, as many sentences as fit."""
        fewest, most = self.recipe.checks.fewest_words, self.recipe.checks.most_words
        text = _location(self.recipe.prompt.seed, number, variables)
        if fewest <= len(text.split()) <= most:
            return text
        kept, words, part = [], 0, 0
        while words < max(fewest, 1):
            for sentence in SENTENCE.split(
                _location(self.recipe.prompt.seed, number + part * NEXT_ATTEMPT // 1000, variables)
            ):
                length = len(sentence.split())
                if (words >= fewest and words + length > (fewest + most) // 2) or words + length > most:
                    break
                kept.append(sentence)
                words += length
            part += 1
            if part > fewest:  # not one sentence is as short as that
                break
        return " ".join(kept)


def _location(seed: int, number: int, variables: dict[str, str]) -> str:
    return fantasy.location(seed, number, variables).removeprefix("<LOC>").removesuffix("</LOC>")
