"""Where prompts come from: a file or standard input, one a line."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TextIO

from gpt2lab.core.errors import UserError

FIELDS = ("prompt", "text")


def read_prompts(file: str) -> list[str]:
    """A `.txt` has one prompt a line, a `.jsonl` has `prompt` or `text`; `-` is standard input, one prompt a line.

    Some editors begin a file with a byte order mark, which is no text.
    """
    if file == "-":
        return from_lines(sys.stdin, "standard input")
    path = Path(file)
    if path.suffix not in (".txt", ".jsonl"):
        raise UserError("prompts come from a .txt or .jsonl file", place=path, way_out="rename it, or use --file -")
    try:
        with path.open(encoding="utf-8-sig") as opened:
            return from_json_lines(opened, path) if path.suffix == ".jsonl" else from_lines(opened, path)
    except UnicodeDecodeError as error:
        raise UserError(f"not UTF-8 text: {error.reason}", place=path) from error


def from_lines(lines: TextIO | Iterable[str], place: object) -> list[str]:
    return [_some(line.rstrip("\r\n"), f"{place}, line {number}") for number, line in _numbered(lines, place)]


def from_json_lines(lines: TextIO | Iterable[str], place: object) -> list[str]:
    prompts = []
    for number, line in _numbered(lines, place, blank=False):
        where = f"{place}, line {number}"
        try:
            record = json.loads(line)
        except ValueError as error:
            raise UserError(f"not valid JSON: {error}", place=where) from error
        named = [record[name] for name in FIELDS if name in record] if isinstance(record, dict) else []
        if not named or not isinstance(named[0], str):
            raise UserError("no prompt here", place=where, way_out="every line needs `prompt` or `text`")
        prompts.append(_some(named[0], where))
    return prompts


def _numbered(lines: Iterable[str], place: object, *, blank: bool = True) -> list[tuple[int, str]]:
    """With blank lines or without."""
    numbered = [(number, line) for number, line in enumerate(lines, 1) if blank or line.strip()]
    if not numbered:
        raise UserError("there are no prompts here", place=place)
    return numbered


def _some(prompt: str, place: str) -> str:
    if not prompt:
        raise UserError("the prompt is empty", place=place, way_out="give some text; --unprompted begins from nothing")
    return prompt
