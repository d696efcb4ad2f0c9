"""DATA becomes the texts that are measured, as they stand: a file, rows, a named set, or a corpus' own documents."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np

from gpt2lab.core import console
from gpt2lab.core.errors import UserError
from gpt2lab.measure.settings import DataSettings
from gpt2lab.text import named
from gpt2lab.text.corpus import Corpus, Split, is_corpus, open_corpus
from gpt2lab.text.detokenise import detokeniser
from gpt2lab.text.documents import Document, Source
from gpt2lab.text.formats import FORMATS, format_of
from gpt2lab.text.opening import DECOMPRESSORS, open_binary
from gpt2lab.text.parts import LeftOut
from gpt2lab.text.sources import chosen_columns, open_source

Form = Literal["file", "rows", "documents"]
HELD_OUT_FIRST = ("test", "validation")
JOINT = "\n\n"


@dataclass(frozen=True)
class Texts:
    """`file` is one text exactly as it stands, `rows` are WikiText's articles as released, `documents` all others."""

    documents: Sequence[str]
    form: Form
    split: str  # train, validation, test or all
    place: str
    left_out: dict[str, Any]  # reason → how many, and where the first were
    detokenised: str = "none"  # what was done to them before they came here

    @cached_property
    def hash(self) -> str:
        """Of every document and its borders."""
        digest = hashlib.sha256(self.form.encode())
        for document in self.documents:
            data = document.encode("utf-8")
            digest.update(len(data).to_bytes(8, "little"))
            digest.update(data)
        return digest.hexdigest()

    def first(self, count: int | None) -> Texts:
        return replace(self, documents=self.documents[:count])

    def in_one_stream(self) -> tuple[str, list[int]]:
        """Rows joined by a blank line, a file as it stands; and the characters at which documents begin.

        WikiText's rows are its lines, as Hugging Face's copy of it has them: each with its line end, blank ones empty.
        """
        parts, starts, length = [], [], 0
        for document in self.documents:
            starts.append(length)
            rows = _hub_rows(document) if self.form == "rows" else [document]
            parts += rows
            length += sum(len(row) + len(JOINT) for row in rows)
        return JOINT.join(parts), starts

    def pages(self) -> list[str]:
        """What lm-evaluation-harness calls a page of WikiText; of other rows, each is one."""
        return list(self.documents) if self.form == "documents" else list(_cut_pages("".join(self.documents)))

    def detokenise(self, name: Literal["none", "hyphen-only", "wikitext"]) -> Texts:
        change = detokeniser(name)
        return replace(self, documents=[change(document) for document in self.documents], detokenised=name)


def read(data: str, wanted: DataSettings, local: Path | None = None) -> Texts:
    """`local` is the folder that holds a named set's files."""
    path = Path(data)
    if is_corpus(path):
        return of_corpus(open_corpus(path), wanted.split)
    if path.is_file() and _is_plain_text(path):
        _refuse_splits_and_columns(wanted, path)
        text = _exactly(path)
        if not text or text.isspace():
            raise UserError("the text is empty", place=path, way_out="name a file with text")
        return Texts([text], "file", "all", data, {})
    columns = chosen_columns(wanted)
    whole = data in named.SETS and named.SETS[data].as_released is not None
    source = named.open_set(data, local, as_released=True) if whole else open_source(data, local, columns)
    return _of_source(source, wanted, data, "rows" if whole else "documents")


def of_corpus(corpus: Corpus, wanted: str | None) -> Texts:
    """Its documents' own texts: bytes become tokens without loss, so the tokens give them back."""
    split = corpus.split(choose_split(corpus.splits, wanted, corpus.folder))
    left_out = LeftOut()
    documents = []
    for number, data in enumerate(_bytes_of_documents(corpus, split), 1):
        try:
            documents.append(data.decode("utf-8"))
        except UnicodeDecodeError:
            left_out.add("invalid UTF-8", f"{split.name}, document {number}")
    detokenised = corpus.manifest.get("settings", {}).get("detokenise", "none")
    return Texts(documents, "documents", split.name, str(corpus.folder), left_out.as_dict(), detokenised)


def choose_split(known: Sequence[str], wanted: str | None, place: object) -> str:
    """The one asked for; else test, else validation, else everything."""
    if wanted and wanted not in known:
        raise UserError(
            f"there is no split {wanted!r} here (there is {', '.join(known) or 'none at all'})",
            place=place,
            way_out="leave out data.split, or name another",
        )
    chosen = wanted or next((name for name in HELD_OUT_FIRST if name in known), "train" if "train" in known else "all")
    if chosen == "train":
        console.warn("this is the split that models are trained on; its perplexity says little about new text")
    return chosen


def _of_source(source: Source, wanted: DataSettings, data: str, form: Form) -> Texts:
    split = choose_split(source.splits, wanted.split, data)
    documents: list[str] = []
    left_out = LeftOut()
    for piece in (source if split == "all" else source.only(split)).pieces():
        for row in piece.documents():
            if not isinstance(row, Document):
                left_out.add(row.reason, row.place)
            elif row.continues:
                documents[-1] += row.text
            else:
                documents.append(row.prompt + row.text)
    if not documents:
        reasons = "; ".join(f"{about['count']} {reason}" for reason, about in left_out.as_dict().items())
        raise UserError(f"there is no text to measure on: {reasons or 'there was none'}", place=data)
    return Texts(documents, form, split, data, left_out.as_dict())


def _bytes_of_documents(corpus: Corpus, split: Split) -> Iterator[bytes]:
    tokenizer = corpus.tokenizer()
    ends = np.append(split.starts[1:], split.tokens)
    for start, end in zip(split.starts.tolist(), ends.tolist()):
        ids = split.read(start, end)
        yield tokenizer.decode_bytes((ids[1:] if ids[0] == tokenizer.end_of_text else ids).tolist())


def _is_plain_text(path: Path) -> bool:
    """Also of a suffix that says nothing, such as WikiText's `.raw`."""
    inner = path.with_suffix("") if path.suffix.lower() in DECOMPRESSORS else path
    return inner.suffix.lower() not in FORMATS or format_of(path) in (".txt", ".md")


def _exactly(path: Path) -> str:
    with open_binary(path) as file:
        content = file.read()
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise UserError(
            f"not UTF-8: {error.reason}", place=f"{path}, line {line}", way_out="save it as UTF-8"
        ) from error


def _refuse_splits_and_columns(wanted: DataSettings, path: Path) -> None:
    if wanted.split:
        raise UserError("a plain file has no splits", place=path, way_out="leave out data.split")
    if wanted.text or wanted.prompt or wanted.completion:
        raise UserError("a text file has no columns, yet columns are named", place=path, way_out="leave out the names")


def _hub_rows(document: str) -> list[str]:
    lines = re.findall(r"[^\n]*\n|[^\n]+", document)  # not splitlines: WikiText has other line ends inside its lines
    return [line if line.strip() else "" for line in lines]


def _cut_pages(text: str) -> Iterator[str]:
    """A file by the same rule; without headings it is one page."""
    waiting: list[str] = []
    for line in text.split("\n"):
        if named.begins_page(line):
            page = "\n".join(waiting)
            if page.strip():
                yield page
            waiting = []
        waiting.append(line)
    yield "\n".join(waiting)
