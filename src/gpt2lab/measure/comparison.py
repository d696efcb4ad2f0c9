"""Two results of the same protocol, data and settings, compared item by item; anything else is refused by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from gpt2lab.core.errors import UserError
from gpt2lab.measure.differences import Difference, mcnemar, paired_ratio

Record = Mapping[str, Any]
IDENTITIES = ("document", "item", "text", "prompt")  # what numbers an item
DENOMINATORS = {"perplexity/word": "words", "bits-per-byte": "bytes"}


def compare(a: Record, b: Record) -> Difference:
    """a minus b: nats per token, word or byte for perplexities, a share of the items for accuracies."""
    refuse_unlike(a, b)
    first, second = a["items"], b["items"]
    if "label" in first[0] or "right" in first[0]:
        kind = str(a.get("value_is", ""))
        return mcnemar(_right(first, kind), _right(second, kind))
    what = denominator_of(a)
    nll_a, nll_b = ([item["nll"] for item in items] for items in (first, second))
    return paired_ratio(nll_a, nll_b, [item[what] for item in first])


def refuse_unlike(a: Record, b: Record) -> None:
    """The first field that differs is named."""
    for field, there, here in _fields(a, b):
        if there != here:
            raise UserError(
                f"these results do not compare: {field} is {there} in one and {here} in the other",
                place=f"{a['model']['path']} and {b['model']['path']}",
                way_out=_way_out(field),
            )


def denominator_of(record: Record) -> str:
    return DENOMINATORS.get(str(record["protocol"]).partition("@")[0], "tokens")


def _fields(a: Record, b: Record) -> list[tuple[str, Any, Any]]:
    found = [("protocol", a["protocol"], b["protocol"]), ("data.hash", a["data"].get("hash"), b["data"].get("hash"))]
    keys = sorted({*a["settings"], *b["settings"]})
    found += [(f"settings.{key}", a["settings"].get(key), b["settings"].get(key)) for key in keys]
    first, second = a.get("items") or (), b.get("items") or ()
    if not first or not second:
        raise UserError("a result without its items cannot be compared", way_out="measure it again, with --again")
    found.append(("the number of items", len(first), len(second)))
    for one, other in zip(first, second):
        name = next((f"{key} {one[key]}" for key in IDENTITIES if key in one), "an item")
        found += [(f"{key} of {name}", one.get(key), other.get(key)) for key in IDENTITIES if key in one]
        if "nll" in one and "label" not in one:
            what = denominator_of(a)
            found.append((f"the number of {what} of {name}", one.get(what), other.get(what)))
        if "label" in one:
            found.append((f"label of {name}", one["label"], other.get("label")))
    return found


def _way_out(field: str) -> str:
    if field.startswith("the number of tokens"):
        return "models with different tokenizers compare under bits-per-byte"
    if field.startswith("settings."):
        key = field.removeprefix("settings.")
        return f"measure both with the same {key}, for instance evaluate.{key}=…"
    return "measure both under the same protocol, on the same data"


def _right(items: Sequence[Mapping[str, Any]], kind: str) -> Any:
    if "right" in items[0]:
        return np.array([bool(item["right"]) for item in items])
    return np.array([item["chosen"][kind] == item["label"] for item in items])
