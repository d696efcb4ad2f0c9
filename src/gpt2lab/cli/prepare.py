"""`gpt2lab prepare`: text becomes a corpus."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gpt2lab.cli.common import Arguments, Json, Quiet, only_values, prepare_console, verb


def register(app: typer.Typer) -> None:
    app.command(**verb(prepare="gpt2lab.text.settings:PrepareSettings"))(prepare)


def prepare(
    arguments: Arguments = None,
    out: Annotated[Path | None, typer.Option("--out", help="the corpus folder to make")] = None,
    tokenizer: Annotated[str, typer.Option("--tokenizer", help="gpt2, a folder, or builtin")] = "gpt2",
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Turn text into a corpus of token shards.

    Example: gpt2lab prepare builtin:docs --out corpora/docs --tokenizer builtin
    """
    from gpt2lab.core import console, settings
    from gpt2lab.core.errors import UserError
    from gpt2lab.text.settings import PrepareSettings

    prepare_console(json, quiet)
    (data,), overrides = only_values(arguments, "DATA: builtin:docs or a text file")
    if out is None:
        raise UserError("where to put the corpus is missing", way_out="add --out FOLDER")
    chosen = settings.resolve(PrepareSettings, overrides=[text.removeprefix("prepare.") for text in overrides])
    from gpt2lab.text import prepare as preparation

    corpus = preparation.prepare(data, out, tokenizer, chosen)
    splits = corpus.manifest["splits"]
    rows = [(name, split["documents"], split["tokens"], split["bytes"]) for name, split in splits.items()]
    console.table(str(out), ("split", "documents", "tokens", "bytes"), rows)
    console.next_command(f"gpt2lab pretrain --data {out} --out RUN --size small train.steps=1000")
    console.result({"corpus": str(out), **corpus.manifest})
