"""`builtin:docs`: the prose of the running Python's own documentation. Real English, offline."""

from __future__ import annotations

import ast
import inspect
import sysconfig
import textwrap
from collections.abc import Iterator
from pathlib import Path

NOT_PROSE = {"site-packages", "dist-packages", "test", "tests", "idlelib", "lib2to3", "pydoc_data", "turtledemo"}
SHORTEST = 200  # characters; shorter pieces are mere labels


def texts() -> Iterator[str]:
    """The language reference's topics, then one document a module: its docstrings in their order."""
    from pydoc_data.topics import topics

    for topic in sorted(topics):
        yield from _long_enough(_prose(topics[topic]))
    library = Path(sysconfig.get_paths()["stdlib"])
    for path in sorted(library.rglob("*.py")):
        if not NOT_PROSE & set(path.relative_to(library).parts):
            yield from _long_enough("\n\n".join(_prose(text) for text in _docstrings(path)))


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
