"""HellaSwag's text, as lm-evaluation-harness prepares it and as reproductions of GPT-2 take it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

BRACKETS = re.compile(r"\[.*?\]")  # what is left of WikiHow's headings


def has_both_parts(row: Mapping[str, Any]) -> bool:
    """Whether the row stands as it was released, so that its text can be prepared in full."""
    return all(isinstance(row.get(key), str) for key in ("ctx_a", "ctx_b"))


def prepared(row: Mapping[str, Any]) -> tuple[str, list[Any]]:
    """The harness's context and endings; of a row that was cleaned before, the label goes in front and that is all."""
    label = row.get("activity_label")
    prefix = f"{label}: " if isinstance(label, str) and label else ""
    if not has_both_parts(row):
        return prefix + row["ctx"], list(row["endings"])
    context = f"{prefix}{row['ctx_a']} {row['ctx_b'].capitalize()}"
    return clean(context), [clean(ending) if isinstance(ending, str) else ending for ending in row["endings"]]


def raw(row: Mapping[str, Any]) -> tuple[str, list[Any]]:
    if has_both_parts(row) and "ctx" not in row:
        return f"{row['ctx_a']} {row['ctx_b']}".rstrip(), list(row["endings"])
    return row["ctx"], list(row["endings"])


def clean(text: str) -> str:
    text = text.strip().replace(" [title]", ". ")
    return BRACKETS.sub("", text).replace("  ", " ")
