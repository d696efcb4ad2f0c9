"""`gpt2lab corpus`: look into a corpus."""

from __future__ import annotations

from pathlib import Path

import typer

from gpt2lab.cli.common import Json, prepare_console

app = typer.Typer(help="Look into a corpus.", no_args_is_help=True, rich_markup_mode=None)


@app.callback()
def root() -> None:
    """Without this, typer would take a single verb for the whole group."""


@app.command()
def show(corpus: Path, json: Json = False) -> None:
    """What a corpus holds and where it comes from."""
    from gpt2lab.core import console
    from gpt2lab.text.corpus import open_corpus

    prepare_console(json, False)
    opened = open_corpus(corpus)
    rows = [
        (name, split["documents"], split["tokens"], split["bytes"], f"{split['bytes'] / split['tokens']:.2f}")
        for name, split in opened.manifest["splits"].items()
    ]
    console.table(str(corpus), ("split", "documents", "tokens", "bytes", "bytes a token"), rows)
    console.say(f"source: {opened.manifest['source']}")
    console.result(opened.manifest)
