"""One piece of a source becomes one part: its documents as ids, in a file that appears whole or not at all."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.numpy import save

from gpt2lab.core import files
from gpt2lab.core.errors import UserError
from gpt2lab.text import contamination
from gpt2lab.text.contamination import Known
from gpt2lab.text.detokenise import detokeniser
from gpt2lab.text.documents import BadRow, Document, Piece
from gpt2lab.text.settings import PrepareSettings
from gpt2lab.text.tokenizer import Tokenizer

SHARED = f"{contamination.RUN} words in a row stand in the evaluation set"
PLACES_KEPT = 20  # of the rows left out for one reason
COLUMNS = ("lengths", "prompts", "bytes", "words", "hashes")


@dataclass
class LeftOut:
    """Rows and documents that did not become part of the corpus: how many, why, and where the first were."""

    counts: Counter[str] = field(default_factory=Counter)
    places: dict[str, list[str]] = field(default_factory=dict)

    def add(self, reason: str, place: str) -> None:
        self.counts[reason] += 1
        if len(self.places.setdefault(reason, [])) < PLACES_KEPT:
            self.places[reason].append(place)

    def update(self, other: dict[str, Any]) -> None:
        for reason, found in other.items():
            self.counts[reason] += found["count"]
            known = self.places.setdefault(reason, [])
            known += found["places"][: PLACES_KEPT - len(known)]

    def as_dict(self) -> dict[str, Any]:
        return {reason: {"count": self.counts[reason], "places": self.places[reason]} for reason in sorted(self.counts)}


@dataclass(frozen=True)
class Part:
    """The documents of one piece, an end-of-text before each; `lengths` counts it."""

    ids: NDArray[np.unsignedinteger]
    lengths: NDArray[np.int64]
    prompts: NDArray[np.int64]  # tokens of each document, after its end-of-text, that are read and never a target
    bytes: NDArray[np.int64]
    words: NDArray[np.int64]
    hashes: NDArray[np.uint64]  # (documents, 2): of the text
    labels: list[str | int | None]
    split: str | None
    left_out: dict[str, Any]
    continues: bool  # the first document goes on from the part before
    contaminated: dict[str, Any]


def make_part(
    piece: Piece, file: Path, tokenizer: Tokenizer, settings: PrepareSettings, strict: bool, known: Known | None = None
) -> tuple[int, int]:
    """Read, encode and write; how many documents and tokens."""
    documents, left_out, contaminated = _read(piece, settings, strict, known or {})
    texts = [part for document in documents for part in (document.prompt, document.text)]
    ids, offsets = tokenizer.encode_many(texts)
    prompts = offsets[1::2] - offsets[:-1:2]
    lengths = offsets[2::2] - offsets[:-2:2]
    continues = bool(documents) and documents[0].continues
    stream = np.insert(ids.astype(id_type(tokenizer)), offsets[:-1:2][continues:], tokenizer.end_of_text)
    lengths[continues:] += 1
    tensors = {
        "ids": stream,
        "lengths": lengths,
        "prompts": prompts,
        **_measure([document.prompt + document.text for document in documents]),
    }
    labels = [document.label for document in documents]
    facts = {"labels": labels, "split": piece.split, "left_out": left_out.as_dict(), "continues": continues}
    facts["contaminated"] = contaminated.as_dict()
    with files.new_file(file) as opened:
        opened.write(save(tensors, {"facts": json.dumps(facts)}))
    return len(documents), len(stream)


def id_type(tokenizer: Tokenizer) -> type[np.unsignedinteger]:
    return np.uint16 if tokenizer.size <= 65_536 else np.uint32


def read_part(file: Path) -> Part:
    with safe_open(file, framework="numpy") as opened:
        facts = json.loads(opened.metadata()["facts"])
        return Part(opened.get_tensor("ids"), **{name: opened.get_tensor(name) for name in COLUMNS}, **facts)


@dataclass(frozen=True)
class Summary:
    """What is needed of a part without its tokens."""

    lengths: NDArray[np.int64]
    hashes: NDArray[np.uint64]
    labels: list[str | int | None]
    split: str | None


def read_summary(file: Path) -> Summary:
    with safe_open(file, framework="numpy") as opened:
        facts = json.loads(opened.metadata()["facts"])
        return Summary(opened.get_tensor("lengths"), opened.get_tensor("hashes"), facts["labels"], facts["split"])


def _read(
    piece: Piece, settings: PrepareSettings, strict: bool, known: Known
) -> tuple[list[Document], LeftOut, LeftOut]:
    repair = detokeniser(settings.detokenise)
    documents, left_out, contaminated = [], LeftOut(), LeftOut()
    for row in piece.documents():
        if isinstance(row, BadRow):
            if strict:
                raise UserError(row.reason, place=row.place, way_out="repair the row, or leave --strict out")
            left_out.add(row.reason, row.place)
            continue
        text, place = repair(row.text), row.place or repr(row.text[:60])
        if len(text) < settings.minimum_length and not row.continues:
            left_out.add("shorter than the minimum", place)
            continue
        hits = [f"{SHARED} {name}" for name in contamination.hit(row.prompt + text, known)]
        for reason in hits:
            contaminated.add(reason, place)
        if hits and settings.drop_contaminated and not row.continues:
            left_out.add(" and ".join(hits), place)
            continue
        documents.append(row if text is row.text else replace(row, text=text))
    return documents, left_out, contaminated


def _measure(texts: list[str]) -> dict[str, NDArray[Any]]:
    """Bytes, words and a hash of each text."""
    encoded = [text.encode("utf-8", "replace") for text in texts]
    digests = b"".join(hashlib.blake2b(content, digest_size=16).digest() for content in encoded)
    return {
        "bytes": np.array([len(content) for content in encoded], np.int64),
        "words": np.array([len(text.split()) for text in texts], np.int64),
        "hashes": np.frombuffer(digests, ">u8").astype(np.uint64).reshape(-1, 2),
    }
