"""Data made on the spot, offline and the same every time: for the quickstart, the rehearsals and the tests."""

from __future__ import annotations

import hashlib
import platform
from typing import Any

from gpt2lab.core import files, lock
from gpt2lab.core.errors import UserError
from gpt2lab.text import choices, docs, fantasy, topics
from gpt2lab.text import tokenizer as tokenizers
from gpt2lab.text.documents import Document
from gpt2lab.text.settings import HELD_OUT
from gpt2lab.text.tokenizer import Tokenizer

SEED = 1
DOCUMENTS = {"fantasy": 1000, "topics": 2400, "choices": 200}
SPARE_CHOICES = 40  # the documentation repeats itself: what training text holds too is left out
NAMES = {
    "docs": "the prose of the running Python's own documentation; a document is a topic or a module",
    "fantasy": "descriptions of places as <LOC>…</LOC>, 150 to 400 words; a document is a place",
    "choices": "a context from held-out docs, and how it goes on; three false endings beside it when measured",
    "topics": "short texts in four classes; a document is a text",
}


def documents(name: str) -> list[Document]:
    if name == "docs":
        return [Document(text) for text in docs.texts()]
    if name == "fantasy":
        return [Document(text) for text in fantasy.locations(DOCUMENTS[name], SEED)]
    if name == "topics":
        return list(topics.texts(DOCUMENTS[name], SEED))
    if name == "choices":
        return [Document(f" {item['endings'][item['label']]}", prompt=item["context"]) for item in choice_items()]
    raise UserError(f"there is no built-in data named {name!r}", way_out=f"there are {', '.join(NAMES)}")


def choice_items() -> list[dict[str, Any]]:
    """Contexts with four endings, from documents that `prepare builtin:docs` keeps from training."""
    sides: tuple[list[str], list[str]] = ([], [])
    for text in docs.texts():
        sides[_place(text) >= HELD_OUT].append(text)
    trained_on = " ".join(" ".join(sides[1]).split())
    found = choices.items(sides[0], DOCUMENTS["choices"] + SPARE_CHOICES, SEED)
    new = [item for item in found if f"{item['context']} {item['endings'][item['label']]}" not in trained_on]
    return new[: DOCUMENTS["choices"]]


def _place(text: str) -> float:
    """Between 0 and 1, as preparation places it to choose a side."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=16).digest()[:8], "big") / 2**64


def describe(name: str) -> dict[str, Any]:
    """Documentation changes with the Python it comes with; the rest does not."""
    python = {"python": platform.python_version()}
    return {"data": f"builtin:{name}", **(python if name in ("docs", "choices") else {"seed": SEED})}


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
