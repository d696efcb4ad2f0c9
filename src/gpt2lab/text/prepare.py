"""`gpt2lab prepare`: documents from a source, split by a stable hash, become a corpus folder."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from gpt2lab.core import console, files, lock
from gpt2lab.core.errors import UserError
from gpt2lab.text import builtin
from gpt2lab.text import tokenizer as tokenizers
from gpt2lab.text.corpus import Corpus, is_corpus, open_corpus, write_corpus
from gpt2lab.text.settings import PrepareSettings

PLAIN = (".txt", ".md")


def prepare(data: str, out: Path, tokenizer: str, settings: PrepareSettings) -> Corpus:
    """The corpus at `out`, made now or found finished from the same source with the same settings."""
    with lock.locked(out.parent / f".{out.name}.lock"):
        wanted = {"source": describe_source(data), "settings": {**settings.as_dict(), "tokenizer": tokenizer}}
        if is_corpus(out):
            return _finished(out, wanted)
        encoder = builtin.tokenizer(settings.vocabulary) if tokenizer == "builtin" else tokenizers.load(tokenizer)
        documents = _with_progress(documents_of(data), settings)
        return write_corpus(out, documents, encoder, wanted["source"], wanted["settings"])


def documents_of(data: str) -> Iterator[str]:
    if data.startswith("builtin:"):
        return builtin.documents(data.removeprefix("builtin:"))
    path = Path(data)
    if path.suffix in PLAIN and path.is_file():
        return iter([read_text(path)])
    raise UserError(
        f"there is no data named {data!r}", way_out="use builtin:docs or a text file that ends in .txt or .md"
    )


def describe_source(data: str) -> dict[str, Any]:
    if data.startswith("builtin:"):
        return {"data": data, "python": platform.python_version()}
    path = Path(data)
    return {"data": path.name, "sha256": files.sha256(path)} if path.is_file() else {"data": data}


def read_text(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8")
    except FileNotFoundError as error:
        raise UserError("the file does not exist", place=path) from error
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise UserError(f"not UTF-8: {error.reason}", place=f"{path}, line {line}") from error


def split_of(text: str, settings: PrepareSettings) -> str:
    """The same for the same text, whatever else is in the source."""
    place = int.from_bytes(hashlib.sha256(text.encode("utf-8", "replace")).digest()[:8], "big") / 2**64
    if place < settings.validation:
        return "validation"
    return "test" if place < settings.validation + settings.test else "train"


def _with_progress(documents: Iterator[str], settings: PrepareSettings) -> Iterator[tuple[str, str]]:
    with console.progress("prepare", None, "documents") as progress:
        for text in documents:
            yield split_of(text, settings), text
            progress.advance()


def _finished(out: Path, wanted: dict[str, Any]) -> Corpus:
    corpus = open_corpus(out)
    for part, values in wanted.items():
        for key, value in values.items():
            there = corpus.manifest[part].get(key)
            if there != value:
                raise UserError(
                    f"another corpus is here: its {key} is {there!r}, not {value!r}",
                    place=out,
                    way_out="choose another --out, or remove this one",
                )
    console.say(f"{out}: already prepared with these settings")
    return corpus
