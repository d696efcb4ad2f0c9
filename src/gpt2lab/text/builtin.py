"""Text that every Python brings along: `builtin:docs`, the prose of its own documentation. Real English, offline."""

from __future__ import annotations

import ast
import inspect
import platform
import sysconfig
import textwrap
from collections.abc import Iterator
from pathlib import Path

from gpt2lab.core import files
from gpt2lab.core.errors import UserError
from gpt2lab.text import tokenizer as tokenizers
from gpt2lab.text.tokenizer import Tokenizer

NOT_PROSE = {"site-packages", "dist-packages", "test", "tests", "idlelib", "lib2to3", "pydoc_data", "turtledemo"}
SHORTEST = 200  # characters; shorter pieces are mere labels


def documents(name: str) -> Iterator[str]:
    if name != "docs":
        raise UserError(f"there is no built-in text named {name!r}", way_out="use builtin:docs")
    return docs()


def docs() -> Iterator[str]:
    """The language reference's topics, then one document a module: its docstrings in their order."""
    from pydoc_data.topics import topics

    for topic in sorted(topics):
        yield from _long_enough(_prose(topics[topic]))
    library = Path(sysconfig.get_paths()["stdlib"])
    for path in sorted(library.rglob("*.py")):
        if not NOT_PROSE & set(path.relative_to(library).parts):
            yield from _long_enough("\n\n".join(_prose(text) for text in _docstrings(path)))


def tokenizer(size: int) -> Tokenizer:
    """A BPE trained on the built-in text; made once, then kept."""
    folder = files.home() / "tokenizers" / f"builtin-{size}-python-{platform.python_version()}"
    if not folder.exists():
        made = tokenizers.train(docs(), size)
        with files.new_folder(folder) as beside:
            made.save(beside)
    return tokenizers.load(folder)


def _docstrings(path: Path) -> Iterator[str]:
    try:
        tree = ast.parse(path.read_text("utf-8"))
    except (SyntaxError, UnicodeDecodeError, ValueError):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            text = ast.get_docstring(node, clean=False)
            if text:
                yield inspect.cleandoc(text)


def _prose(text: str) -> str:
    """The paragraphs that are sentences: no doctests, code, grammar or tables."""
    paragraphs = textwrap.dedent(text).replace("\r\n", "\n").split("\n\n")
    return "\n\n".join(paragraph.strip("\n") for paragraph in paragraphs if _is_prose(paragraph))


def _is_prose(paragraph: str) -> bool:
    wordlike = sum(letter.isalpha() or letter in " ,.\n" for letter in paragraph)
    return ">>>" not in paragraph and "::=" not in paragraph and wordlike > 0.85 * len(paragraph) > 30


def _long_enough(text: str) -> Iterator[str]:
    if len(text) >= SHORTEST:
        yield text
