"""The files of a finished data set: `NAME.jsonl` with where each text comes from, `NAME.txt`, `NAME.summary.json`."""

from __future__ import annotations

import hashlib
import statistics
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gpt2lab.core import files, lines
from gpt2lab.core.errors import UserError
from gpt2lab.text.synthesis.checks import words
from gpt2lab.text.synthesis.ledger import Ledger, Record
from gpt2lab.text.synthesis.settings import PromptSettings

EXAMPLES = 3


@dataclass(frozen=True)
class Places:
    rows: Path
    texts: Path
    summary: Path
    journal: Path
    lock: Path


def places(out: Path) -> Places:
    """All of them beside each other, whichever of the two data files was named."""
    if out.suffix not in (".jsonl", ".txt"):
        raise UserError("--out names neither a .jsonl nor a .txt file", place=out, way_out=f"--out {out}.jsonl")
    if out.is_dir():
        raise UserError("a folder of that name is here", place=out, way_out="choose another --out")
    rows, texts, summary, journal = (out.with_suffix(end) for end in (".jsonl", ".txt", ".summary.json", ".journal"))
    return Places(rows, texts, summary, journal, out.with_name(f".{out.stem}.synthesize.lock"))


def write(places: Places, ledger: Ledger, plan: Record, before: Record | None) -> dict[str, Any]:
    """The summary comes last: with it, the data set is finished."""
    rows = [_row(record, ledger, plan) for record in ledger.rows()]
    contents = {
        places.texts: "\n\n".join(row["text"] for row in rows) + "\n",
        places.rows: "".join(lines.encode(row) for row in rows),
    }
    known = set((before or {}).get("files", {}).values()) | {_hash(text.encode()) for text in contents.values()}
    for path in contents:
        if path.exists() and files.sha256(path) not in known:
            raise changed(path)
    for path, text in contents.items():
        files.write_text(path, text)
    summary = _summary(rows, ledger, plan)
    summary["files"] = {path.name: _hash(text.encode()) for path, text in contents.items()}
    files.write_json(places.summary, summary)
    return summary


def whole(places: Places, summary: Record) -> bool:
    """Both files are there as they were written; one that somebody changed is an error, never written over."""
    for path in (places.texts, places.rows):
        if not path.exists():
            return False
        if files.sha256(path) != summary["files"].get(path.name):
            raise changed(path)
    return True


def changed(path: Path) -> UserError:
    return UserError(
        "this file was not written here, or was changed since",
        place=path,
        way_out="choose another --out, or move that file away and go on",
    )


def template_id(settings: PromptSettings) -> str:
    return files.fingerprint({"system": settings.system, "user": settings.user})[:16]


def _row(record: Record, ledger: Ledger, plan: Record) -> dict[str, Any]:
    recipe, number = ledger.recipe, record["number"]
    return {
        "text": record["text"].strip(),
        "number": number,
        "attempt": record["attempt"],
        "words": words(record["text"], recipe.delimiters),
        "variables": ledger.prompt(number).variables,
        "recipe": recipe.name,
        "template": template_id(recipe.prompt),
        "seed": recipe.prompt.seed,
        "backend": plan["backend"],
        "host": record["host"],
        "model": record["model"],
        "temperature": recipe.model.temperature if plan["backend"] == "api" else None,
        "finish": record["finish"],
        "tokens": record["tokens"],
    }


def _summary(rows: list[dict[str, Any]], ledger: Ledger, plan: Record) -> dict[str, Any]:
    counts = [row["words"] for row in rows]
    return {
        "recipe": ledger.recipe.name,
        "count": ledger.count,
        "words": {
            "total": sum(counts),
            "mean": statistics.fmean(counts),
            "fewest": min(counts),
            "median": statistics.median(counts),
            "most": max(counts),
        },
        "bytes": sum(len(row["text"].encode()) for row in rows),
        "refused": dict(ledger.refused.most_common()),
        "given_up": len(ledger.given_up),
        "bill": ledger.bill.as_dict(),
        "examples": [row["text"] for row in rows[:EXAMPLES]],
        "template": template_id(ledger.recipe.prompt),
        "plan": plan,
    }


def _hash(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
