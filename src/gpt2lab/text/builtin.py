"""Data made on the spot, offline and the same every time: for the quickstart, the rehearsals and the tests."""

from __future__ import annotations

import platform
from typing import Any

from gpt2lab.core import files, lock
from gpt2lab.core.errors import UserError
from gpt2lab.text import docs, fantasy, topics
from gpt2lab.text import tokenizer as tokenizers
from gpt2lab.text.documents import Document
from gpt2lab.text.tokenizer import Tokenizer

SEED = 1
DOCUMENTS = {"fantasy": 1000, "topics": 2400}
NAMES = {
    "docs": "the prose of the running Python's own documentation; a document is a topic or a module",
    "fantasy": "descriptions of places as <LOC>…</LOC>, 150 to 400 words; a document is a place",
    "topics": "short texts in four classes; a document is a text",
}


def documents(name: str) -> list[Document]:
    if name == "docs":
        return [Document(text) for text in docs.texts()]
    if name == "fantasy":
        return [Document(text) for text in fantasy.locations(DOCUMENTS[name], SEED)]
    if name == "topics":
        return list(topics.texts(DOCUMENTS[name], SEED))
    raise UserError(f"there is no built-in data named {name!r}", way_out=f"there are {', '.join(NAMES)}")


def describe(name: str) -> dict[str, Any]:
    """Documentation changes with the Python it comes with; the rest does not."""
    return {"data": f"builtin:{name}", **({"python": platform.python_version()} if name == "docs" else {"seed": SEED})}


def tokenizer(size: int) -> Tokenizer:
    """A BPE trained on the built-in text; made once, then kept."""
    folder = files.home() / "tokenizers" / f"builtin-{size}-python-{platform.python_version()}"
    with lock.locked(folder.with_suffix(".lock"), wait=True):
        if folder.exists():
            return tokenizers.load(folder)
        made = tokenizers.train(docs.texts(), size)
        with files.new_folder(folder) as beside:
            made.save(beside)
    return tokenizers.load(folder)
