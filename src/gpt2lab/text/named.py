"""Data sets by name: one row each. `--from DIR` names the folder that holds a local copy."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from gpt2lab.core import console
from gpt2lab.core.errors import UserError
from gpt2lab.text.arrow_files import parquet_records
from gpt2lab.text.columns import Columns
from gpt2lab.text.documents import BadRow, Document, Piece, Source, inline_pieces
from gpt2lab.text.formats import FileSource, describe_files
from gpt2lab.text.hub_data import HubSource, SplitName
from gpt2lab.text.opening import DECOMPRESSORS, open_binary

Rows = Iterator[Document | BadRow]


@dataclass(frozen=True)
class DataSet:
    hub: str  # where it lives on the Hub
    folder: str  # of its parquet files there
    document: str  # what counts as one
    licence: str
    local: dict[SplitName, tuple[str, ...]]  # names that a local copy may have, plain or compressed
    read: Callable[[Iterator[Path]], Rows] | None = None  # where its rows need more than a column of text
    as_released: Callable[[Iterator[Path]], Rows] | None = None  # the same documents, not a byte changed
    labels: tuple[str, ...] = ()
    documents: dict[str, int] | None = None  # published counts


AG_NEWS_CLASSES = ("World", "Sports", "Business", "Sci/Tech")
BLANK = " \n"  # a row without text, as WikiText was released; the Hub's copy has none of it
HEADING = re.compile(r"\s?= [^=].* = \s*")


def articles(paths: Iterator[Path]) -> Rows:
    """WikiText's lines, put together to articles; blank lines hold nothing, whatever spaces they were released with."""
    waiting: list[str] = []
    for line in (line for path in paths for line in _lines(path)):
        if isinstance(line, BadRow):
            yield line
            continue
        if HEADING.fullmatch(line) and any(text.strip() for text in waiting):
            yield _article(waiting)
            waiting = []
        waiting.append(line if line.strip() else "\n")
    if any(text.strip() for text in waiting):
        yield _article(waiting)


def pages(paths: Iterator[Path]) -> Rows:
    """WikiText as it was released, cut where lm-evaluation-harness begins a page; the pages together are the file."""
    waiting: list[str] = []
    for line in (line for path in paths for line in _lines(path)):
        if isinstance(line, BadRow):
            yield line
            continue
        if begins_page(line) and any(text.strip() for text in waiting):
            yield Document("".join(waiting))
            waiting = []
        waiting.append(line if line.strip() else BLANK)
    if any(text.strip() for text in waiting):
        yield Document("".join(waiting))


def begins_page(line: str) -> bool:
    """By the rule of the harness' own data set: a heading of the first level, whatever stands between its marks."""
    heading = line.replace("= = =", "===").replace("= =", "==").strip()
    return heading.startswith("= ") and heading.endswith(" =")


def news(paths: Iterator[Path]) -> Rows:
    """AG News as first released (csv: class from 1, title, description) or as rows of text and label from 0."""
    for path in paths:
        first = 1 if ".csv" in path.suffixes else 0
        columns = Columns(("1", "2"), "0") if first else Columns(label="label")
        for row in _documents(path, columns):
            if isinstance(row, BadRow):
                yield row
            elif isinstance(row.label, int) and 0 <= row.label - first < len(AG_NEWS_CLASSES):
                yield replace(row, text=row.text.replace("\n", " ", 1), label=AG_NEWS_CLASSES[row.label - first])
            else:
                yield BadRow(path.name, f"no class of AG News: {row.label!r}")


def endings(paths: Iterator[Path]) -> Rows:
    """HellaSwag: the context and the ending that is right."""
    for path in paths:
        for number, item in enumerate(_records(path), 1):
            try:
                yield Document(f"{item['ctx']} {item['endings'][int(item['label'])]}")
            except (ValueError, KeyError, IndexError, TypeError) as error:
                yield BadRow(f"{path.name}, row {number}", f"no HellaSwag item: {type(error).__name__}")


def _lines(path: Path) -> Iterator[str | BadRow]:
    if path.suffix == ".parquet":
        yield from (record["text"] for record in _records(path))
        return
    with open_binary(path) as file:
        for number, raw in enumerate(file, 1):
            try:
                yield raw.decode("utf-8")
            except UnicodeDecodeError as error:
                yield BadRow(f"{path.name}, row {number}", f"invalid UTF-8: {error.reason}")


def _records(path: Path) -> Iterator[Any]:
    """Rows as they stand; what is no JSON is no record."""
    if path.suffix == ".parquet":
        yield from parquet_records(path)
        return
    with open_binary(path) as file:
        for raw in file:
            try:
                yield json.loads(raw)
            except ValueError:
                yield None


def _wikitext(config: str, ending: str) -> DataSet:
    local: dict[SplitName, tuple[str, ...]] = {
        "train": (f"wiki.train.{ending}", *(("train.txt",) if ending == "tokens" else ())),
        "validation": (f"wiki.valid.{ending}", *(("valid.txt",) if ending == "tokens" else ())),
        "test": (f"wiki.test.{ending}", *(("test.txt",) if ending == "tokens" else ())),
    }
    what = "an article, from one first-level heading to the next"
    return DataSet("Salesforce/wikitext", f"{config}/", what, CC_BY_SA, local, articles, pages)


CC_BY_SA = "CC BY-SA"
ODC = "ODC-By 1.0"
PARQUET = ("*.parquet", "*.jsonl")
SETS: dict[str, DataSet] = {
    "fineweb-edu": DataSet("HuggingFaceFW/fineweb-edu", "sample/10BT/", "a web page", ODC, {"train": PARQUET}),
    "fineweb-edu-100bt": DataSet("HuggingFaceFW/fineweb-edu", "sample/100BT/", "a web page", ODC, {"train": PARQUET}),
    "fineweb-edu-all": DataSet("HuggingFaceFW/fineweb-edu", "data/", "a web page", ODC, {"train": PARQUET}),
    "fineweb": DataSet(
        "HuggingFaceFW/fineweb", "sample/10BT/", "a web page", ODC, {"train": (*PARQUET, "fineweb*.json")}
    ),
    "wikitext-2": _wikitext("wikitext-2-raw-v1", "raw"),
    "wikitext-2-tokenised": _wikitext("wikitext-2-v1", "tokens"),
    "wikitext-103": _wikitext("wikitext-103-raw-v1", "raw"),
    "wikitext-103-tokenised": _wikitext("wikitext-103-v1", "tokens"),
    "openwebtext": DataSet("Skylion007/openwebtext", "plain_text/", "a web page", "CC0 1.0", {"train": PARQUET}),
    "tinyshakespeare": DataSet(
        "karpathy/tiny_shakespeare",
        "",
        "the whole file",
        "public domain",
        {"train": ("input.txt", "tinyshakespeare.txt")},
    ),
    "ag-news": DataSet(
        "fancyzhx/ag_news",
        "data/",
        "a news item: title and description",
        "research use",
        {"train": ("train.csv", "train.jsonl", "train_subset.jsonl"), "test": ("test.csv", "test.jsonl")},
        news,
        labels=AG_NEWS_CLASSES,
        documents={"train": 120_000, "test": 7_600},
    ),
    "hellaswag": DataSet(
        "Rowan/hellaswag",
        "",
        "an item: its context with the ending that is right",
        "MIT",
        {"validation": ("hellaswag_val.jsonl", "validation.jsonl")},
        endings,
        documents={"validation": 10_042},
    ),
    "lambada": DataSet(
        "EleutherAI/lambada_openai",
        "",
        "a passage",
        "CC BY 4.0",
        {"test": ("lambada_test.jsonl", "test.jsonl")},
        documents={"test": 5_153},
    ),
}


def open_set(name: str, local: Path | None, *, as_released: bool = False) -> Source:
    """From a folder with its files, or from the Hub."""
    chosen = SETS[name]
    if as_released and chosen.as_released:
        chosen = replace(chosen, read=chosen.as_released)
    if local is None:
        about = (("document", chosen.document), ("licence", chosen.licence), ("labels", list(chosen.labels)))
        return HubSource(name, chosen.hub, chosen.folder, read=chosen.read, about=about)
    present = {split: paths for split, names in chosen.local.items() if (paths := _find(local, names))}
    if not present:
        known = ", ".join(name for names in chosen.local.values() for name in names)
        raise UserError(f"no file of {name} is here", place=local, way_out=f"known names, plain or compressed: {known}")
    for split in sorted(chosen.local.keys() - present.keys()) if not as_released else ():
        console.warn(f"no {split} split: {local} holds no {' or '.join(chosen.local[split])}")
    return LocalSet(name, chosen, present)


@dataclass(frozen=True)
class LocalSet:
    name: str
    chosen: DataSet
    files: dict[SplitName, list[Path]]

    @property
    def size(self) -> int | None:
        return None if self.chosen.read else sum(path.stat().st_size for paths in self.files.values() for path in paths)

    @property
    def splits(self) -> list[str]:
        return list(self.files)

    def only(self, split: str) -> LocalSet:
        return replace(self, files={name: paths for name, paths in self.files.items() if name == split})

    def pieces(self) -> Iterator[Piece]:
        for split, paths in self.files.items():
            if self.chosen.read:
                yield from inline_pieces(self.chosen.read(iter(paths)), split)
            else:
                yield from FileSource(paths, split=split).pieces()

    def describe(self) -> dict[str, Any]:
        return {
            "data": self.name,
            "document": self.chosen.document,
            "licence": self.chosen.licence,
            "files": {split: describe_files(paths) for split, paths in self.files.items()},
            "labels": list(self.chosen.labels),
        }


def _documents(path: Path, columns: Columns) -> Rows:
    for piece in FileSource([path], columns).pieces():
        yield from piece.documents()


def _article(waiting: Iterable[str]) -> Document:
    return Document("".join(waiting).strip("\n") + "\n")


def _find(folder: Path, names: tuple[str, ...]) -> list[Path]:
    """The files of the first name that is there."""
    for name in names:
        for ending in ("", *DECOMPRESSORS):
            if found := sorted(folder.glob(name + ending)):
                return found
    return []
