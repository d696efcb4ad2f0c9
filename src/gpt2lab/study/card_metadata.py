"""The head of a model card: what the Hub reads to sort, link and show a model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gpt2lab.study.card_facts import Facts, hub_data, of_record, split_of

# Metrics as the Hub names them, by the field of a record or the beginning of its protocol.
SHARES = {"accuracy": "accuracy", "accuracy_normalised": "acc_norm"}
VALUES = {"perplexity": "perplexity", "bits-per-byte": "bits_per_byte", "labels": "accuracy"}


def of(facts: Facts) -> dict[str, Any]:
    library = "peft" if facts.adapter else "transformers"
    found: dict[str, Any] = {"library_name": library, "pipeline_tag": facts.task}
    found["tags"] = ["gpt2", "gpt2lab", *([facts.method] if facts.method else [])]
    if facts.base:
        found |= {"base_model": facts.base, "base_model_relation": "adapter" if facts.adapter else "finetune"}
    if data := hub_data(facts.data):
        found["datasets"] = [data]
    if results := [entry for record in facts.results if (entry := _entry(record, facts.task))]:
        found["metrics"] = sorted({metric["type"] for entry in results for metric in entry["metrics"]})
        found["model-index"] = [{"name": facts.name.rpartition("/")[2], "results": results}]
    return found


def _entry(record: Mapping[str, Any], task: str) -> dict[str, Any] | None:
    """Of a record with a value that the Hub has a word for; the protocol stands in the metric's name."""
    protocol, metrics = record["protocol"], []
    for field, kind in SHARES.items():
        if isinstance(record.get(field), float):
            metrics.append({"type": kind, "value": record[field], "name": f"{field.replace('_', ' ')} ({protocol})"})
    kind = next((kind for start, kind in VALUES.items() if protocol.startswith(start)), None)
    if kind and not metrics and isinstance(record.get("value"), int | float):
        metrics = [{"type": kind, "value": record["value"], "name": f"{kind.replace('_', ' ')} ({protocol})"}]
    if not metrics:
        return None
    data = of_record(record)
    about = {"name": data, "type": hub_data(data) or data}
    split = split_of(record)
    return {"task": {"type": task}, "dataset": about | ({"split": split} if split else {}), "metrics": metrics}
