"""`gpt2lab prepare`: text becomes a corpus."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from gpt2lab.cli.common import Data, Json, Quiet, only_values, prepare_console, verb

WANTED = "DATA: builtin:docs, a named set, a file, a folder or a glob"
TINY = "model.layers=4 model.heads=4 model.width=128 model.context=128 train.steps=200"


def register(app: typer.Typer) -> None:
    groups = {"prepare": "gpt2lab.text.settings:PrepareSettings", "data": "gpt2lab.text.settings:ColumnSettings"}
    app.command(**verb(**groups))(prepare)


def prepare(
    arguments: Data = None,
    out: Annotated[Path | None, typer.Option("--out", help="the corpus folder to make")] = None,
    local: Annotated[Path | None, typer.Option("--from", help="the folder that holds a named set's files")] = None,
    tokenizer: Annotated[
        str,
        typer.Option(
            "--tokenizer", help="gpt2, builtin, own (trained on DATA), or a folder: of a tokenizer, model or corpus"
        ),
    ] = "gpt2",
    workers: Annotated[int | None, typer.Option("--workers", min=1, help="processes; one a core unless given")] = None,
    strict: Annotated[bool, typer.Option("--strict", help="stop at the first row that cannot be read")] = False,
    listed: Annotated[bool, typer.Option("--list", help="the data sets that have names")] = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Turn text into a corpus of token shards: built-in text, a named set, a file, a folder or a glob.
    Several are mixed by prepare.weights while training.

    Example: gpt2lab prepare builtin:docs --out corpora/docs --tokenizer builtin
    """
    from gpt2lab.core import console, settings
    from gpt2lab.core.errors import Interrupted, UserError
    from gpt2lab.text.settings import Preparation

    prepare_console(json, quiet)
    if listed:
        _list()
        return
    data, overrides = only_values(arguments, WANTED, None)
    if not data:
        only_values(arguments, WANTED)
    if out is None:
        raise UserError("where to put the corpus is missing", way_out="add --out FOLDER")
    chosen = settings.resolve(Preparation, overrides=overrides)
    from gpt2lab.text import mixture
    from gpt2lab.text import prepare as preparation

    options = {"columns": chosen.data, "local": local, "workers": workers, "strict": strict}
    try:
        if len(data) > 1:
            corpus = mixture.prepare_mixture(data, out, tokenizer, chosen.prepare, **options)
        else:
            corpus = preparation.prepare(data[0], out, tokenizer, chosen.prepare, **options)
    except KeyboardInterrupt:
        kept = mixture.staging_of(out) if len(data) > 1 else preparation.staging_of(out)
        what = f"interrupted; the same command continues: what is done is kept in {kept}"
        raise Interrupted(what, shlex.join(["gpt2lab", *sys.argv[1:]])) from None
    for source in corpus.sources:
        splits = source.manifest["splits"]
        rows = [(name, split["documents"], split["tokens"], split["bytes"]) for name, split in splits.items()]
        console.table(str(source.folder), ("split", "documents", "tokens", "bytes"), rows)
    if "train" in corpus.splits:
        console.next_command(f"gpt2lab pretrain --data {shlex.quote(str(out))} --out RUN {TINY}")
    else:
        console.warn("there is no train split: models can be measured on this corpus, and not trained")
        console.next_command(f"gpt2lab evaluate MODEL --protocol perplexity/blocks --data {shlex.quote(str(out))}")
    console.result({"corpus": str(out), **corpus.manifest})


def _list() -> None:
    from gpt2lab.core import console
    from gpt2lab.text import builtin, named

    rows = [(f"builtin:{name}", what, "", "made on the spot") for name, what in builtin.NAMES.items()]
    rows += [(name, found.document, ", ".join(found.local), found.licence) for name, found in named.SETS.items()]
    console.table("", ("name", "a document is", "splits", "licence"), rows)
    console.result(
        [{"name": name, "document": what, "splits": splits, "licence": licence} for name, what, splits, licence in rows]
    )
