"""What the variants wrote, side by side, with the passages that repeat themselves or stand in the training set."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from gpt2lab.core import files
from gpt2lab.study.report.columns import Column
from gpt2lab.study.report.facts import Facts, Run

REPEATED_WORDS = 4  # in a row, that stood earlier in the same text
MOST_ROWS = 24  # of prompts and draws that are shown; all are in samples.jsonl
MOST_BITS = 12.0  # of surprise that the shade tells apart


@dataclass(frozen=True)
class Piece:
    text: str
    marks: tuple[str, ...] = ()  # repeated, copied
    bits: float | None = None  # of surprise

    @property
    def shade(self) -> int:
        return round(100 * min(self.bits or 0.0, MOST_BITS) / MOST_BITS)


@dataclass(frozen=True)
class Written:
    variant: str
    run: str
    pieces: list[Piece]
    finish: str
    copied: bool  # whether copying was looked for

    @property
    def text(self) -> str:
        return "".join(piece.text for piece in self.pieces)


@dataclass(frozen=True)
class Row:
    """One prompt and one draw of random numbers, by all variants."""

    prompt: str
    draw: int
    seed: int | None
    texts: list[Written]


@dataclass(frozen=True)
class Samples:
    rows: list[Row] = field(default_factory=list)
    left_out: int = 0
    has_surprise: bool = False
    has_copying: bool = False


def side_by_side(facts: Facts, quality: Column | None) -> Samples:
    """The first seed of each variant: more would not be read."""
    chosen = [runs[0] for runs in facts.variants.values() if runs and runs[0].samples]
    passages = {run.name: _passages(run, quality) for run in chosen}
    found: dict[tuple[str, int, int | None], list[Written]] = {}
    for run in chosen:
        for sample in run.samples:
            key = (str(sample["prompt"]), int(sample.get("sample") or 0), sample.get("seed"))
            found.setdefault(key, []).append(_written(run, sample, passages[run.name]))
    rows = [Row(*key, texts) for key, texts in found.items()]
    shown = rows[:MOST_ROWS]
    texts = [text for row in shown for text in row.texts]
    surprised = any(piece.bits is not None for text in texts for piece in text.pieces)
    return Samples(shown, len(rows) - len(shown), surprised, any(text.copied for text in texts))


def blind(samples: Samples) -> list[dict[str, Any]]:
    """The same rows for a reader's own judgement: variants are told by letters, in an order that each row shuffles.

    The order follows from the texts, so the page is the same whenever it is written.
    """
    rows = []
    for number, row in enumerate(samples.rows):
        if len(row.texts) > 1:
            texts = list(row.texts)
            random.Random(files.fingerprint([row.prompt, row.draw, [text.text for text in texts]])).shuffle(texts)
            rows.append({"number": number, "prompt": row.prompt, "draw": row.draw, "texts": texts})
    return rows


def repeated(text: str) -> list[tuple[int, int]]:
    """Stretches of at least so many words that stood before in the text, in characters."""
    words = [(match.start(), match.end(), match[0].casefold()) for match in re.finditer(r"\w+", text)]
    seen: set[tuple[str, ...]] = set()
    found: list[tuple[int, int]] = []
    for place in range(len(words) - REPEATED_WORDS + 1):
        run = words[place : place + REPEATED_WORDS]
        gram = tuple(word for _, _, word in run)
        if gram in seen:
            start, stop = run[0][0], run[-1][1]
            if found and start <= found[-1][1]:
                found[-1] = (found[-1][0], stop)
            else:
                found.append((start, stop))
        seen.add(gram)
    return found


def surprises(text: str, details: Sequence[Mapping[str, Any]]) -> list[tuple[int, int, float]]:
    """(start, stop, bits) of each token in the text; tokens that are parts of one character stand together.

    Nothing where the tokens do not spell the text: a text that was cut at a stop has more of them.
    """
    found: list[tuple[int, int, float]] = []
    place, waiting = 0, 0.0
    for one in details:
        token, bits = str(one["token"]), float(one["surprise"])
        if "\ufffd" in token:
            waiting += bits
            continue
        at = text.find(token, place) if waiting else place
        if at < 0 or not text.startswith(token, at):
            return found if place == len(text) else []
        if waiting:
            found.append((place, at, waiting))
        place, waiting = at + len(token), 0.0
        found.append((at, place, bits))
    return [*found, (place, len(text), waiting)] if waiting else found


def pieces(text: str, copied: Sequence[tuple[int, int]], details: Sequence[Mapping[str, Any]] = ()) -> list[Piece]:
    """The text cut wherever something begins or ends; put together again it is the text."""
    marks = {"repeated": repeated(text), "copied": copied}
    bits = surprises(text, details)
    borders = {0, len(text), *(border for spans in marks.values() for span in spans for border in span)}
    borders |= {border for start, stop, _ in bits for border in (start, stop)}
    ordered = sorted(border for border in borders if 0 <= border <= len(text))
    tokens, made = iter(bits), []
    token = next(tokens, None)
    for start, stop in pairwise(ordered):
        while token is not None and token[1] <= start:
            token = next(tokens, None)
        own = tuple(name for name, spans in marks.items() if any(a <= start and stop <= b for a, b in spans))
        inside = token is not None and token[0] <= start and stop <= token[1]
        made.append(Piece(text[start:stop], own, token[2] if inside and token else None))
    return made


def _written(run: Run, sample: Mapping[str, Any], passages: Mapping[Any, Any] | None) -> Written:
    text = str(sample["text"])
    key = (str(sample["prompt"]), int(sample.get("sample") or 0))
    copied = [(one["start"], one["stop"]) for one in (passages or {}).get(key, ())]
    made = pieces(text, copied, sample.get("token_details") or ())
    return Written(run.variant, run.name, made, str(sample.get("finish") or ""), passages is not None)


def _passages(run: Run, quality: Column | None) -> dict[tuple[str, int], list[dict[str, Any]]] | None:
    """What the run's quality record found in the training set; nothing where it was not looked for."""
    record = next((record for other, record in _cells(quality) if other.name == run.name), None)
    if record is None or not any("passages" in item for item in record["items"]):
        return None
    prompts = [str(row["prompt"]) for row in record["prompts"]]
    return {(prompts[item["prompt"]], int(item["sample"] or 0)): item.get("passages") or [] for item in record["items"]}


def _cells(column: Column | None) -> Iterator[tuple[Run, Mapping[str, Any]]]:
    for cell in column.cells.values() if column else ():
        yield from cell
