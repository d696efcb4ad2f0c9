"""Published values of OpenAI's weights, each with what it was measured under: shown beside nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

# WikiText-2's raw test split, by the hash of its articles (see `texts.Texts`), and by that of the released file.
WIKITEXT_2_TEST = (
    "a62a89007ad4e29273aa9da6578b0867293f37723f73c38f7e13be533160edd4",
    "0aa92496eb3cde169d40d4d4b0af6d54287ecd7696bfdfdb78446028a1569314",
)
WIKITEXT_2_VALIDATION = ("da8b8c58825f1292b34e251f09b2106737401d77c88c4e0caaeb2c1116097a9e",)
WHOLE = {"settings.max_tokens": None, "settings.limit": None}
SNIPPET = {"settings.compat": "huggingface", "settings.context": 1024, "settings.stride": 1024, **WHOLE}
AS_RELEASED = {"settings.join": "rows by a blank line", "settings.detokenisation": "none"}
PAGES = {"settings.documents": "pages", "settings.detokenisation": "wikitext", "settings.context": 1024, **WHOLE}
ALL_ITEMS = {"counts.items": 10_042, "settings.context": 1024}
PREPARED = {"settings.form": "prepared", **ALL_ITEMS}
RAW = {"settings.form": "raw", **ALL_ITEMS}

TRANSFORMERS = "the snippet of transformers' documentation"
HARNESS = "lm-evaluation-harness"
LLM_C = "hellaswag.py of llm.c"
GPT2_PAPER = "GPT-2 paper, with detokenisers that were not published"
GPT3_PAPER = "GPT-3 paper, with a preparation of its own"


@dataclass(frozen=True)
class Line:
    model: str
    protocol: str  # `id@version`
    field: str  # of the record
    value: float
    source: str
    conditions: Mapping[str, Any]  # dotted key of the record → what must stand there
    data: tuple[str, ...] = ()  # hashes, where the data must be one of these
    comparable: bool = True

    def as_dict(self) -> dict[str, Any]:
        about = {"model": self.model, "field": self.field, "value": self.value, "source": self.source}
        return {**about, "comparable": self.comparable}


def _snippet(model: str, value: float, data: tuple[str, ...], source: str = TRANSFORMERS) -> Line:
    return Line(model, "perplexity/token-window@1", "value", value, source, {**SNIPPET, **AS_RELEASED}, data)


def _hellaswag(model: str, kind: str, accuracy: float, normalised: float) -> tuple[Line, Line]:
    form, source = (PREPARED, HARNESS) if kind == "harness" else (RAW, LLM_C)
    protocol = f"hellaswag/{kind}@1"
    return (
        Line(model, protocol, "accuracy", accuracy, source, form),
        Line(model, protocol, "accuracy_normalised", normalised, source, form),
    )


def _paper(model: str, value: float) -> Line:
    protocol = "perplexity/token-window@1"
    return Line(model, protocol, "value", value, GPT2_PAPER, {}, WIKITEXT_2_TEST, comparable=False)


LINES = (
    _snippet("gpt2", 29.94, WIKITEXT_2_TEST),
    _snippet("gpt2", 31.04, WIKITEXT_2_VALIDATION, "the same snippet, in a discussion of llm.c (pull request 276)"),
    _snippet("gpt2-large", 19.44, WIKITEXT_2_TEST),
    Line("gpt2", "perplexity/word@2", "value", 37.37, HARNESS, PAGES, WIKITEXT_2_TEST),
    *_hellaswag("gpt2", "harness", 0.2892, 0.3114),
    *_hellaswag("gpt2-xl", "harness", 0.4004, 0.5089),
    *_hellaswag("gpt2", "completion", 0.2859, 0.2955),
    *_hellaswag("gpt2-xl", "completion", 0.3842, 0.4893),
    _paper("gpt2", 29.41),
    _paper("gpt2-medium", 22.76),
    _paper("gpt2-large", 19.93),
    _paper("gpt2-xl", 18.34),
    Line("GPT-3 small", "hellaswag/completion@1", "accuracy_normalised", 0.337, GPT3_PAPER, RAW, comparable=False),
)


def beside(record: Mapping[str, Any]) -> list[Line]:
    """What may stand beside this result: the same protocol, data, form and settings."""
    return [
        line
        for line in LINES
        if line.protocol == record["protocol"]
        and (not line.data or record["data"].get("hash") in line.data)
        and all(_at(record, key) == wanted for key, wanted in line.conditions.items())
    ]


def _at(record: Mapping[str, Any], key: str) -> Any:
    value: Any = record
    for part in key.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value
