"""What predicted classes are worth, from the log-probabilities of each text and its true class."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

BINS = 15  # of equal width, for the calibration error

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]


def confusion(true: Integers, predicted: Integers, classes: int) -> Integers:
    """A row a true class, a column a predicted one."""
    return np.bincount(true * classes + predicted, minlength=classes**2).reshape(classes, classes)


def of_classes(matrix: Integers) -> list[dict[str, float]]:
    """0 stands where there is nothing to divide by: a class that is never predicted has no precision worth counting."""
    right, support, predicted = matrix.diagonal(), matrix.sum(axis=1), matrix.sum(axis=0)
    return [
        {
            "precision": _share(hits, found),
            "recall": _share(hits, there),
            "f1": _share(2 * hits, there + found),
            "support": there,
            "predicted": found,
        }
        for hits, there, found in zip(right.tolist(), support.tolist(), predicted.tolist())
    ]


def macro_f1(matrix: Integers) -> float:
    """Over the classes that occur, in the texts or among the answers."""
    return float(np.mean([found["f1"] for found in of_classes(matrix) if found["support"] or found["predicted"]]))


def calibration(log_p: Floats, true: Integers, bins: int = BINS) -> dict[str, Any]:
    """How far stated confidence is from the share that is right, bin by bin (low, high], weighted by texts."""
    confidence = np.exp(log_p.max(axis=1))
    right = (log_p.argmax(axis=1) == true).astype(np.float64)
    places = np.searchsorted(np.linspace(0, 1, bins + 1)[1:-1], confidence)
    texts = np.bincount(places, minlength=bins)
    confident, hits = np.bincount(places, confidence, bins), np.bincount(places, right, bins)
    return {
        "error": float(np.abs(confident - hits).sum() / len(true)),
        "bins": bins,
        "texts": texts.tolist(),
        "confidence": _means(confident, texts),
        "accuracy": _means(hits, texts),
    }


def nll(log_p: Floats, true: Integers) -> Floats:
    """Of each text."""
    return -log_p[np.arange(len(true)), true]


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0


def _means(sums: NDArray[Any], counts: Integers) -> list[float | None]:
    return [total / count if count else None for total, count in zip(sums.tolist(), counts.tolist())]
