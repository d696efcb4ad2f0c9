"""python benchmarks/coverage.py: of intervals said to hold the truth 95 times in 100, how many do, at real set sizes.

Needs the public data sets that GPT2LAB_REAL_DATA names. Documents are drawn from real articles and web pages, with the
NLL that two word-pair models give them: lengths, characters of documents and the likeness of two models are real.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from functools import cache, partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import special, stats

sys.path[0] = str(Path(__file__).parent.parent)

from benchmarks.common import save, table  # noqa: E402

from gpt2lab.measure import bootstrap, paired_accuracy  # noqa: E402
from gpt2lab.measure.differences import paired_seeds, rank_correlation  # noqa: E402
from gpt2lab.measure.intervals import over_seeds, wilson  # noqa: E402
from gpt2lab.text import named, tokenizer  # noqa: E402
from gpt2lab.text.opening import open_binary  # noqa: E402

Numbers = NDArray[np.float64]
Row = dict[str, Any]

REPETITIONS = 10_000
AT_ONCE = 100  # repetitions that share one set of resamples
RESAMPLES = 999  # measured below: 9,999 give the same coverage
SEED = 20_261_121
VOCABULARY = 50_257
LEVEL = 0.95
PAIRS = ("a model of half the text", "another model of the same text")


def main() -> None:
    start = time.process_time()
    data = Path(os.environ["GPT2LAB_REAL_DATA"])
    articles, pages, sizes = populations(data)
    random = np.random.default_rng(SEED)
    rows: list[Row] = []
    for row in (
        *ratios(articles, pages, sizes, random),
        *accuracies(random),
        *accuracy_differences(random),
        *seeds(random),
        *ranks(random),
    ):
        print(row["interval"], row["method"], row["setting"], row["n"], f"{100 * row['coverage']:.2f}", flush=True)
        rows.append(row)
    table(
        ("interval", "method", "setting", "n", "holds the truth, %", "too low / too high, %"),
        [
            (
                row["interval"],
                row["method"],
                row["setting"],
                row["n"],
                f"{100 * row['coverage']:.2f}",
                f"{100 * row['below']:.1f} / {100 * row['above']:.1f}",
            )
            for row in rows
        ],
    )
    save(
        "coverage",
        {
            "what": f"share of {REPETITIONS:,} simulated intervals of level {LEVEL} that hold the truth; `below` and "
            "`above`: the share that lies wholly below or above it",
            "seed": SEED,
            "processor_seconds": round(time.process_time() - start),
            "documents": {"articles": described(articles), "web pages": described(pages)},
            "rows": rows,
        },
    )


def row(interval: str, setting: str, n: int, low: Any, high: Any, truth: Any, **more: Any) -> Row:
    low, high = np.asarray(low), np.asarray(high)
    below, above = float(np.mean(high < truth)), float(np.mean(low > truth))
    return {
        "interval": interval,
        "setting": setting,
        "n": n,
        "coverage": round(1 - below - above, 4),
        "below": round(below, 4),
        "above": round(above, 4),
        "median_width": float(f"{np.median(high - low):.4g}"),
        **more,
    }


# --- documents: tokens, NLL under one model, under one that saw half the text, under one that learned otherwise


def populations(data: Path) -> tuple[Numbers, Numbers, dict[str, int]]:
    gpt2 = tokenizer.load(data / "gpt2-bpe")
    stream = gpt2.encode("\n".join(text_column(data / "wikipedia/short_articles_2021.jsonl.xz", 6000))).astype(np.int64)
    models = [word_pairs(stream), word_pairs(stream[: len(stream) // 2]), word_pairs(stream, caution=2.0)]

    def scored(texts: list[str]) -> Numbers:
        ids, starts = gpt2.encode_many(texts)
        parts = [ids[begin:end].astype(np.int64) for begin, end in pairwise(starts)]
        return np.array([[len(part) - 1, *(nll(part) for nll in models)] for part in parts if len(part) > 1], float)

    with open_binary(data / "fineweb/fineweb_300_documents.json.xz") as file:
        pages = [document["text"] for document in json.load(file)]
    sizes = {
        name: sum(1 for _ in named.articles(iter([data / f"wikitext-2/wiki.{name}.raw.xz"])))
        for name in ("test", "valid")
    }
    return scored(text_column(data / "wikipedia/good_articles_2019.jsonl.xz")), scored(pages), sizes


def text_column(path: Path, most: int | None = None) -> list[str]:
    with open_binary(path) as file:
        return [json.loads(line)["text"] for line in file][:most]


def word_pairs(ids: NDArray[np.int64], caution: float = 1.0) -> Callable[[NDArray[np.int64]], float]:
    """A model that looks one token back, mixed with frequencies (Witten and Bell): crude, and real on real text.

    More caution trusts the pairs less: another way to learn from the same text.
    """
    frequency = (np.bincount(ids, minlength=VOCABULARY) + 0.5) / (len(ids) + 0.5 * VOCABULARY)
    pairs, seen = np.unique(ids[:-1] * VOCABULARY + ids[1:], return_counts=True)
    followed = np.bincount(ids[:-1], minlength=VOCABULARY)
    kinds = np.bincount(pairs // VOCABULARY, minlength=VOCABULARY)

    def nll(text: NDArray[np.int64]) -> float:
        wanted = text[:-1] * VOCABULARY + text[1:]
        place = np.minimum(np.searchsorted(pairs, wanted), len(pairs) - 1)
        count = np.where(pairs[place] == wanted, seen[place], 0)
        total, different = followed[text[:-1]], caution * kinds[text[:-1]]
        return float(
            -np.log((count + different * frequency[text[1:]]) / np.maximum(total + different, 1) + 1e-12).sum()
        )

    return nll


def described(documents: Numbers) -> dict[str, Any]:
    tokens, first, *others = documents.T
    return {
        "documents": len(documents),
        "tokens": {
            "mean": round(float(tokens.mean()), 1),
            "coefficient of variation": round(float(tokens.std() / tokens.mean()), 3),
            "skewness": round(float(stats.skew(tokens)), 3),
        },
        "nll per token": round(float(first.sum() / tokens.sum()), 4),
        "its spread between documents": round(float((first / tokens).std()), 4),
        "pairs": {
            name: {
                "difference per token": round(float((first - other).sum() / tokens.sum()), 4),
                "its spread between documents": round(float(((first - other) / tokens).std()), 4),
                "correlation": round(float(np.corrcoef(first / tokens, other / tokens)[0, 1]), 4),
                "kurtosis of what a document adds": round(
                    float(stats.kurtosis(first - other - (first - other).sum() / tokens.sum() * tokens)), 1
                ),
            }
            for name, other in zip(PAIRS, others)
        },
    }


# --- ratios of sums over documents


def ratios(articles: Numbers, pages: Numbers, sizes: dict[str, int], random: np.random.Generator) -> Iterator[Row]:
    ones = np.ones(200_000)
    repeated = random.beta(1, 9, len(ones))
    varied = random.normal(0.6, 0.1, len(ones))
    settings = [
        ("WikiText-2 test, articles", sizes["test"], articles),
        ("WikiText-2 validation, articles", sizes["valid"], articles),
        ("a study of web pages", 300, pages),
        ("a study of web pages", 60, pages),
        ("a study of articles", 20, articles),
        (
            "prompts, a skewed score",
            100,
            np.stack([ones, repeated, 0.5 * repeated + 0.5 * random.permutation(repeated)], 1),
        ),
        ("prompts, an even score", 100, np.stack([ones, varied, 0.5 * varied + random.normal(0.3, 0.1, len(ones))], 1)),
    ]
    for setting, n, documents in settings:
        tokens, first, *others = documents.T
        yield from of_documents("of a ratio", setting, n, first, tokens, random)
        for pair, other in zip(PAIRS if len(others) > 1 else ("another model",), others):
            yield from of_documents("paired, of a ratio", f"{setting}: {pair}", n, first - other, tokens, random)
    tokens, first, *_ = articles.T
    yield from of_documents(
        "of a ratio", "WikiText-2 test, articles", sizes["test"], first, tokens, random, resamples=9_999, rivals=False
    )


def of_documents(
    interval: str,
    setting: str,
    n: int,
    numerators: Numbers,
    denominators: Numbers,
    random: np.random.Generator,
    resamples: int = RESAMPLES,
    rivals: bool = True,
) -> Iterator[Row]:
    """The interval that is used, by the code that is used, on many samples at once; and the rivals that lost."""
    truth = numerators.sum() / denominators.sum()
    edges: dict[str, list[NDArray[Any]]] = {}
    for _ in range(REPETITIONS // AT_ONCE):
        drawn = random.integers(0, len(numerators), (n, AT_ONCE))
        top, bottom = numerators[drawn], denominators[drawn]
        value, error = bootstrap.standard_error(top, bottom)
        residuals, counts = top - value * bottom, bootstrap.draw(random, resamples, n)
        strays = np.sort(bootstrap.stray(residuals, bottom, counts), axis=0)
        half = [bootstrap.Ratio(value[k], error[k], n, strays[:, k]).half_width(LEVEL) for k in range(AT_ONCE)]
        found = {"studentised": (value - half, value + half)}
        if rivals:
            found |= losers(top, bottom, value, error, (counts @ residuals) / (counts @ bottom))
        for method, (low, high) in found.items():
            edges.setdefault(method, []).append(np.stack([low, high]))
    for method, parts in edges.items():
        low, high = np.concatenate(parts, axis=1)
        used = method == "studentised"
        yield row(interval, setting, n, low, high, truth, method=method, used=used, resamples=resamples)


def losers(top: Numbers, bottom: Numbers, value: Numbers, error: Numbers, shifts: Numbers) -> dict[str, Any]:
    n, tails = len(top), np.array([[(1 - LEVEL) / 2], [(1 + LEVEL) / 2]])
    without = (top.sum(axis=0) - top) / (bottom.sum(axis=0) - bottom)
    influence = without.mean(axis=0) - without
    acceleration = (influence**3).sum(axis=0) / (6 * (influence**2).sum(axis=0) ** 1.5)
    bias = special.ndtri((shifts < 0).mean(axis=0))
    z = bias + special.ndtri(tails)
    corrected = special.ndtr(bias + z / (1 - acceleration * z))
    bca = [np.quantile(shifts[:, k], corrected[:, k]) for k in range(shifts.shape[1])]
    half = special.stdtrit(n - 1, tails[1]) * error
    return {
        "percentile": value + np.quantile(shifts, tails[:, 0], axis=0),
        "bca": value + np.transpose(bca),
        "t with the same error": (value - half, value + half),
    }


# --- accuracies, seeds, ranks


def accuracies(random: np.random.Generator) -> Iterator[Row]:
    interval = cache(wilson)
    for setting, n, share in (
        ("HellaSwag, 28.6 %", 10_042, 0.286),
        ("HellaSwag, 31.1 %", 10_042, 0.311),
        ("AG News, 94 %", 7_600, 0.94),
        ("a study of items, 30 %", 300, 0.3),
        ("a study of items, 94 %", 300, 0.94),
        ("prompts, 85 %", 100, 0.85),
    ):
        found = [interval(int(right), n) for right in random.binomial(n, share, REPETITIONS)]
        yield row("of an accuracy", setting, n, *edges_of(found), share, method="wilson", used=True)
    for n in (100, 300):
        shares = random.uniform(0.05, 0.95, REPETITIONS)
        found = [interval(int(right), n) for right in random.binomial(n, shares)]
        yield row("of an accuracy", "any share, 5 to 95 %", n, *edges_of(found), shares, method="wilson", used=True)


def accuracy_differences(random: np.random.Generator) -> Iterator[Row]:
    for setting, n, only_a, only_b in (
        ("HellaSwag, 8.0 % against 7.5 %", 10_042, 0.080, 0.075),
        ("HellaSwag, 14 % against 12 %", 10_042, 0.14, 0.12),
        ("AG News, 2.0 % against 1.5 %", 7_600, 0.020, 0.015),
        ("a study of items, 10 % against 6 %", 300, 0.10, 0.06),
        ("a study of items, 7 % against 7 %", 300, 0.07, 0.07),
        ("prompts, 20 % against 10 %", 100, 0.20, 0.10),
    ):
        interval = cache(partial(difference, n))
        tables = random.multinomial(n, [only_a, only_b, 1 - only_a - only_b], REPETITIONS)
        found = [interval(int(a), int(b)) for a, b, _ in tables]
        yield row("paired, of an accuracy", setting, n, *edges_of(found), only_a - only_b, method="tango", used=True)


def difference(n: int, only_a: int, only_b: int) -> Any:
    test = "exact" if only_a + only_b < paired_accuracy.EXACT_BELOW else "mid-p"
    p = paired_accuracy.p_value(only_a, only_b, test)
    return paired_accuracy.agreeing_interval(only_a, only_b, n, LEVEL, p)


def seeds(random: np.random.Generator) -> Iterator[Row]:
    for n in (3, 5, 10):
        runs = random.normal(20.0, 0.1, (REPETITIONS, n))
        yield row("over seeds", "normal", n, *edges_of([over_seeds(run) for run in runs]), 20.0, method="t", used=True)
        shared, apart = random.normal(0, 0.1, (REPETITIONS, n)), random.normal(0, 0.05, (2, REPETITIONS, n))
        found = [paired_seeds(a, b).interval for a, b in zip(20.3 + shared + apart[0], 20.0 + shared + apart[1])]
        yield row("paired, over seeds", "normal", n, *edges_of(found), 0.3, method="t", used=True)


def ranks(random: np.random.Generator) -> Iterator[Row]:
    for n in (6, 8, 10, 20):
        for latent in (0.0, 0.6, 0.9):
            a = random.normal(size=(REPETITIONS, n))
            b = latent * a + np.sqrt(1 - latent**2) * random.normal(size=a.shape)
            places = (np.argsort(np.argsort(side, axis=1), axis=1) for side in (a, b))
            left, right = places
            known: dict[int, Any] = {}  # without ties the interval depends on this sum alone
            found = [
                known.get(key) or known.setdefault(key, rank_correlation(one, other).interval)
                for key, one, other in zip(((left - right) ** 2).sum(axis=1).tolist(), left, right)
            ]
            truth = 6 / np.pi * np.arcsin(latent / 2)
            setting = f"normal, correlation {latent}"
            yield row("of a rank correlation", setting, n, *edges_of(found), truth, method="bonett-wright", used=True)


def edges_of(found: list[Any]) -> tuple[list[float], list[float]]:
    return [interval.low for interval in found], [interval.high for interval in found]


if __name__ == "__main__":
    main()
