"""Protocols as probes of the training loop: their data is read before training, and training goes on as if unseen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from gpt2lab.core import console
from gpt2lab.core.errors import UserError
from gpt2lab.measure import choices, lambada, perplexity, plans, texts
from gpt2lab.measure.plans import Plan
from gpt2lab.measure.settings import Evaluation
from gpt2lab.model.gpt2 import GPT2
from gpt2lab.text.items import Items
from gpt2lab.text.items import read as read_items
from gpt2lab.text.tokenizer import Tokenizer
from gpt2lab.train.processes import ALONE, Team
from gpt2lab.train.settings import Every

NAMES = (*plans.NAMES, *choices.PROTOCOLS, "lambada")


@dataclass(frozen=True)
class Measure:
    """The probe that measures protocols, everything they need at hand."""

    plans: dict[str, Plan]
    choices: Sequence[str]
    cloze: bool
    items: Items | None
    tokenizer: Tokenizer
    window: int
    every: Every
    team: Team = ALONE

    def __call__(self, model: GPT2, step: int) -> dict[str, Any]:
        """Values by protocol, and over how many tokens or items."""
        with console.hushed():
            return {**self._perplexities(model), **self._accuracies(model)}

    def with_team(self, team: Team) -> Measure:
        return replace(self, team=team)

    def _perplexities(self, model: GPT2) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name, plan in self.plans.items():
            sums = perplexity.sums_by_document(model, plan, team=self.team)
            found |= {name: perplexity.point(plan, sums), f"{name}/tokens": int(sums.tokens.sum())}
        return found

    def _accuracies(self, model: GPT2) -> dict[str, Any]:
        if self.items is None:
            return {}
        options: dict[str, Any] = {"context": self.window, "team": self.team}
        records = choices.measure(self.choices, model, self.tokenizer, self.items, **options) if self.choices else []
        if self.cloze:
            records = [*records, lambada.measure(model, self.tokenizer, self.items, **options)]
        names = [*self.choices, *(["lambada"] if self.cloze else [])]
        found: dict[str, Any] = {}
        for name, record in zip(names, records):
            shares = {key: value for key, value in record.items() if key.startswith("accuracy") and _is_number(value)}
            found |= {f"{name}/{key}": value for key, value in shares.items()}
            found[f"{name}/items"] = record["counts"]["items"]
        return found


def measure(
    names: Sequence[str],
    data: str,
    settings: Evaluation,
    every: Every,
    tokenizer: Tokenizer,
    window: int,
    *,
    local: Path | None = None,
) -> Measure:
    """Everything is read and checked here; `window` is how many tokens are in sight at most."""
    if unknown := [name for name in names if name not in NAMES]:
        raise UserError(
            f"{unknown[0]!r} cannot be measured while a model is trained", way_out=f"known: {', '.join(NAMES)}"
        )
    plans.refuse_idle(settings, names)
    asked = [name for name in names if name in choices.PROTOCOLS]
    of_items = [name for name in names if name not in plans.NAMES]
    items = read_items(data, local, settings.evaluate.limit) if of_items else None
    for name in asked:
        assert items is not None
        choices.prepare(choices.PROTOCOLS[name], tokenizer, items.rows, window)  # says now what is left out
    material = texts.read(data, settings.data, local) if len(of_items) < len(names) else None
    made = {
        name: plans.plan(name, material, tokenizer, window, settings)
        for name in names
        if name in plans.NAMES and material is not None
    }
    return Measure(made, asked, "lambada" in names, items, tokenizer, window, every)


def _is_number(value: Any) -> bool:
    return isinstance(value, float)
