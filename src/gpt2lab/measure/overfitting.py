"""Overfitting: how far the loss on training text lies below the loss on validation text, and when that was best."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from gpt2lab.core import files, lines
from gpt2lab.core.errors import UserError

SAME = ("protocol", "settings")
MAY_DIFFER = ("split",)


def gap(train: Mapping[str, Any], validation: Mapping[str, Any]) -> float:
    """Validation minus training NLL, in nats a token, of two records under one protocol on two splits."""
    for key in SAME:
        if _without_split(train[key]) != _without_split(validation[key]):
            raise UserError(
                f"these two results differ in their {key}: {train[key]} and {validation[key]}",
                way_out="measure both splits under one protocol with the same settings",
            )
    return _nll(validation) - _nll(train)


def best_look(
    metrics: Iterable[Mapping[str, Any]], steps_an_epoch: float, watched: str = "validation_loss"
) -> dict[str, Any] | None:
    """When the watched loss was least, of the lines of `metrics.jsonl`; None where nobody looked.

    `after` says how much it rose from there to the last look: what training longer cost.
    """
    looks = [line for line in metrics if line.get(watched) is not None]
    if not looks:
        return None
    best = min(looks, key=lambda line: line[watched])
    return {
        "step": best["step"],
        "epoch": best["step"] / steps_an_epoch,
        watched: best[watched],
        "after": looks[-1][watched] - best[watched],
        "looks": len(looks),
        "was_last": best is looks[-1],
    }


def of_run(run: Path) -> dict[str, Any] | None:
    """The same, from a run's folder."""
    decided = files.read_json(run / "run.json")["decided"]
    return best_look(lines.read(run / "metrics.jsonl"), decided["rows"] / decided["batch_rows"])


def _nll(record: Mapping[str, Any]) -> float:
    weights = record["sum_weights"] if "sum_weights" in record else record["counts"]["tokens_scored"]
    return record["sum_nll"] / weights


def _without_split(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: inner for key, inner in value.items() if key not in MAY_DIFFER}
    return value
