"""What is said before the first request and after the last answer."""

from __future__ import annotations

from typing import Any

from gpt2lab.core import console
from gpt2lab.core.console import counted
from gpt2lab.core.errors import UserError
from gpt2lab.text.synthesis.answers import Tokens
from gpt2lab.text.synthesis.bill import estimate
from gpt2lab.text.synthesis.endpoint import Endpoint
from gpt2lab.text.synthesis.ledger import Ledger
from gpt2lab.text.synthesis.settings import RequestSettings

EXAMPLE = 300  # characters


def announce(ledger: Ledger, endpoint: Endpoint | None, max_cost: float | None) -> None:
    """What will be written and what it may cost. A budget that cannot do is refused before anything is spent."""
    recipe, bill = ledger.recipe, ledger.bill
    have = f"; {len(ledger.accepted):,} are there" if ledger.accepted else ""
    console.say(f"{recipe.name}: {counted(ledger.count, 'text')}{have}")
    if endpoint is None:
        console.say("written by the built-in grammar: offline, at no cost")
        return
    key = f"with the key from {endpoint.key_from}" if endpoint.key_from else "without a key"
    console.say(f"written by {recipe.model.name} at {endpoint.host}, {key}")
    if not ledger.missing:
        return
    found = estimate(recipe, ledger.missing, bill, len(ledger.accepted))
    console.say(f"about {found.likely.prompt:,} tokens to send and {found.likely.completion:,} to receive")
    if recipe.prices is None:
        console.say("the recipe has no prices, so no cost can be told")
    else:
        spent = f" beside the {bill.money(bill.at_most)} spent" if bill.answers or bill.unanswered else ""
        longest = bill.money(bill.cost(found.longest))
        console.say(
            f"about {bill.money(bill.cost(found.likely))}{spent}; {longest} if every answer has "
            f"model.max_tokens; refused answers come on top"
        )
    if minutes := _minutes(recipe.requests, ledger.missing, found.likely):
        console.say(f"at the pace that is set, at least {console.duration(60 * minutes)}")
    if max_cost is None:
        return
    if bill.at_most + bill.cost(found.least) > max_cost:
        raise UserError(
            f"--max-cost {max_cost:g} cannot be enough: even the shortest answers, with those that are there, cost "
            f"{bill.money(bill.at_most + bill.cost(found.least))}",
            way_out="a higher --max-cost, fewer texts, or another model",
        )
    console.say(f"budget: {max_cost:g} {recipe.prices.currency if recipe.prices else ''}, for all of it together")
    if bill.at_most + bill.cost(found.likely) > max_cost:
        console.warn("the budget is less than the estimate: it may end before the last text")


def report(summary: dict[str, Any]) -> None:
    words, bill = summary["words"], summary["bill"]
    console.table(
        "",
        ("texts", "words", "fewest", "median", "most", "refused", "given up"),
        [
            (
                *(summary["count"], words["total"], words["fewest"], round(words["median"]), words["most"]),
                *(sum(summary["refused"].values()), summary["given_up"]),
            )
        ],
    )
    for reason, count in summary["refused"].items():
        console.say(f"refused: {count:,} {reason}")
    if tokens := sum(bill["tokens"].values()):
        cost = "" if bill["cost"] is None else f", {bill['cost']:.4f} {bill['currency']}"
        console.say(f"{counted(bill['answers'], 'answer')}, {tokens:,} tokens{cost}")
    if bill["without_an_answer"]:
        most = "" if bill["cost"] is None else f": at most {bill['cost_at_most'] - bill['cost']:.4f} {bill['currency']}"
        console.say(
            f"{counted(bill['without_an_answer'], 'request')} without an answer may have been paid as well{most}"
        )
    example = summary["examples"][0]
    console.say(f"\n{example[:EXAMPLE]}{' …' if len(example) > EXAMPLE else ''}\n")


def _minutes(settings: RequestSettings, requests: int, tokens: Tokens) -> float:
    by_requests = requests / settings.requests_a_minute if settings.requests_a_minute else 0.0
    by_tokens = tokens.total / settings.tokens_a_minute if settings.tokens_a_minute else 0.0
    return max(by_requests, by_tokens)
