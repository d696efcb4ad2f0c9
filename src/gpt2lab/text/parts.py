"""One piece of a source becomes one part: its documents as ids, in a file that appears whole or not at all."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import safe_open

from gpt2lab.core import files
from gpt2lab.core.errors import UserError
from gpt2lab.text import contamination
from gpt2lab.text.contamination import Known
from gpt2lab.text.detokenise import detokeniser
from gpt2lab.text.documents import BadRow, Document, Piece
from gpt2lab.text.settings import PrepareSettings
from gpt2lab.text.tokenizer import Tokenizer
from gpt2lab.text.words import count_words

TOO_LONG = " (in a document too long to be left out)"
SHARED = f"{contamination.RUN} words in a row stand in the evaluation set"
PLACES_KEPT = 20  # of the rows left out for one reason
BATCH_CHARACTERS = 500_000
COLUMNS = ("lengths", "prompts", "bytes", "words", "hashes")
Columns = dict[str, NDArray[Any]]  # of documents: those, labels if there are any; of a part also its ids


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
    left_out, contaminated = LeftOut(), LeftOut()
    documents = _kept(piece, settings, strict, known or {}, left_out, contaminated)
    labels: list[str | int | None] = []
    made = [_empty(tokenizer)]
    continues = False
    for batch in _batches(documents):
        continues = continues or batch[0].continues
        labels += [document.label for document in batch]
        made.append(_encoded(batch, tokenizer))
    tensors = {name: np.concatenate([columns[name] for columns in made]) for name in made[0]}
    facts = {"labels": labels, "split": piece.split, "left_out": left_out.as_dict(), "continues": continues}
    facts["contaminated"] = contaminated.as_dict()
    with files.new_file(file) as opened:
        opened.write(_header(tensors, facts))
        opened.write(b"".join([tensors[name].tobytes() for name in COLUMNS]))
        opened.write(tensors["ids"].data)
    return len(labels), len(tensors["ids"])


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
    continues: bool

    @property
    def begin(self) -> NDArray[np.bool_]:
        """Which documents begin here, and do not go on from the part before."""
        return np.arange(len(self.lengths)) >= self.continues


def read_summary(file: Path) -> Summary:
    with safe_open(file, framework="numpy") as opened:
        facts = json.loads(opened.metadata()["facts"])
        about = {name: facts[name] for name in ("labels", "split", "continues")}
        return Summary(opened.get_tensor("lengths"), opened.get_tensor("hashes"), **about)


def _kept(
    piece: Piece, settings: PrepareSettings, strict: bool, known: Known, left_out: LeftOut, contaminated: LeftOut
) -> Iterator[Document]:
    repair = detokeniser(settings.detokenise)
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
        kept = TOO_LONG if settings.drop_contaminated and row.in_pieces else ""
        hits = [f"{SHARED} {name}{kept}" for name in contamination.hit(row.prompt + text, known)]
        for reason in hits:
            contaminated.add(reason, place)
        if hits and settings.drop_contaminated and not row.in_pieces:
            left_out.add(" and ".join(hits), place)
            continue
        yield row if text is row.text else replace(row, text=text)


def _batches(documents: Iterable[Document]) -> Iterator[list[Document]]:
    """Few enough to stay in the processor's cache from reading to writing."""
    batch, size = [], 0
    for document in documents:
        batch.append(document)
        size += len(document.text)
        if size > BATCH_CHARACTERS:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _encoded(documents: list[Document], tokenizer: Tokenizer) -> Columns:
    ids, offsets = tokenizer.encode_many([part for document in documents for part in (document.prompt, document.text)])
    prompts, lengths = offsets[1::2] - offsets[:-1:2], offsets[2::2] - offsets[:-2:2]
    continues = documents[0].continues
    lengths[continues:] += 1
    contents = [(document.prompt + document.text).encode("utf-8", "replace") for document in documents]
    digests = b"".join(hashlib.blake2b(content, digest_size=16).digest() for content in contents)
    return {
        "ids": np.insert(ids.astype(id_type(tokenizer)), offsets[:-1:2][continues:], tokenizer.end_of_text),
        "lengths": lengths,
        "prompts": prompts,
        "bytes": np.array([len(content) for content in contents], np.int64),
        "words": np.array(count_words(contents), np.int64),
        "hashes": np.frombuffer(digests, ">u8").astype(np.uint64).reshape(-1, 2),
    }


def _empty(tokenizer: Tokenizer) -> Columns:
    columns = dict.fromkeys(COLUMNS, np.empty(0, np.int64))
    return {**columns, "hashes": np.empty((0, 2), np.uint64), "ids": np.empty(0, id_type(tokenizer))}


def _header(tensors: Columns, facts: dict[str, Any]) -> bytes:
    """Of a safetensors file; `safetensors` itself would copy all tensors twice."""
    about: dict[str, Any] = {"__metadata__": {"facts": json.dumps(facts)}}
    place = 0
    for name, values in tensors.items():
        kind, stop = f"{values.dtype.kind.upper()}{8 * values.dtype.itemsize}", place + values.nbytes
        about[name] = {"dtype": kind, "shape": values.shape, "data_offsets": [place, stop]}
        place = stop
    text = json.dumps(about).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text
