"""`forgetting`: what tuning cost on text of the original domain, tuned minus base, paired by document.

The NLL is that of `bits-per-byte`: each document behind an end-of-text, in rolling windows, as long for both models.
Beside it stands KL(base‖tuned) over the first window of each document.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpt2lab.core import console
from gpt2lab.core.errors import UserError
from gpt2lab.measure import intervals, perplexity, plans, precision
from gpt2lab.measure.differences import paired_ratio
from gpt2lab.measure.divergence import Divergence, divergence
from gpt2lab.measure.plans import Plan
from gpt2lab.measure.records import circumstances
from gpt2lab.measure.settings import Evaluation
from gpt2lab.measure.texts import Texts
from gpt2lab.model.gpt2 import GPT2
from gpt2lab.text.tokenizer import Tokenizer

PROTOCOL = "forgetting@1"
SCORED_AS = "bits-per-byte"


def measure(tuned: GPT2, base: GPT2, tokenizer: Tokenizer, texts: Texts, settings: Evaluation) -> dict[str, Any]:
    """The body of a record; its items are documents."""
    if base.config.vocabulary != tuned.config.vocabulary:
        raise UserError(
            f"the base has {base.config.vocabulary:,} tokens and the tuned model {tuned.config.vocabulary:,}",
            way_out="name the base that was tuned, with --base",
        )
    plan = plans.plan(SCORED_AS, texts, tokenizer, min(tuned.window, base.window), settings)
    budget, begin = settings.evaluate.token_budget, time.perf_counter()
    sums, before = (perplexity.sums_by_document(model, plan, token_budget=budget) for model in (tuned, base))
    apart = _first_windows(base, tuned, plan)
    seconds = time.perf_counter() - begin
    there = np.flatnonzero(sums.tokens)
    nll, nll_before, tokens = sums.nll[there], before.nll[there], sums.tokens[there]
    found = paired_ratio(nll, nll_before, tokens.astype(np.float64), seed=perplexity.SEED)
    device = tuned.transformer.wte.weight.device
    return {
        "protocol": PROTOCOL,
        **found.as_dict(),
        "wording": found.wording("nats a token"),
        "tuned_nll": float(nll.sum() / tokens.sum()),
        "base_nll": float(nll_before.sum() / tokens.sum()),
        "kl": _mean_divergence([apart[document] for document in there]),
        "counts": {"documents": len(there), "tokens_scored": int(tokens.sum()), "left_out": plan.left_out},
        "settings": {**plan.settings, "scored_as": plan.protocol, "precision": precision.of(tuned)},
        "seed": perplexity.SEED,
        "seconds": seconds,
        "circumstances": circumstances(device, precision.of(tuned), seconds, 2 * int(tokens.sum())),
        "items": [
            {
                "document": int(document),
                "nll": float(nll[place]),
                "base_nll": float(nll_before[place]),
                "tokens": int(tokens[place]),
                "kl": apart[document].total,
                "kl_tokens": apart[document].tokens,
            }
            for place, document in enumerate(there)
        ],
    }


def _first_windows(base: GPT2, tuned: GPT2, plan: Plan) -> list[Divergence]:
    """Of every document with its end-of-text, from its beginning."""
    starts = np.asarray(plan.stream.starts)
    ends, window = [*starts[1:].tolist(), plan.stream.tokens], plan.settings["context"]
    prompts = [plan.stream.read(start, min(end, start + window)) for start, end in zip(starts.tolist(), ends)]
    with console.progress("KL(base‖tuned)", len(prompts), "documents") as progress:
        return divergence(base, tuned, prompts, progress=progress)


def _mean_divergence(found: Sequence[Divergence]) -> dict[str, Any]:
    totals: NDArray[np.float64] = np.array([one.total for one in found])
    counts = np.array([one.tokens for one in found], np.float64)
    interval, note = intervals.of_ratio(totals, counts, transform="none", seed=perplexity.SEED)
    return {
        "value": float(totals.sum() / counts.sum()),
        "interval": interval and interval.as_dict(),
        "interval_note": note,
        "tokens": int(counts.sum()),
    }
