"""`gpt2lab corpus`: look into a corpus, and check it."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gpt2lab.cli.common import Json, prepare_console

if TYPE_CHECKING:
    from gpt2lab.text.corpus import Corpus

CLASSES_SHOWN = 20
app = typer.Typer(help="Look into a corpus, and check it.", no_args_is_help=True, rich_markup_mode=None)


@app.command()
def show(corpus: Path, json: Json = False) -> None:
    """What a corpus holds: counts, lengths, use of the vocabulary, bytes a token.

    Example: gpt2lab corpus show corpora/docs
    """
    from gpt2lab.core import console
    from gpt2lab.text import inspection
    from gpt2lab.text.corpus import open_corpus

    prepare_console(json, False)
    opened = open_corpus(corpus)
    if opened.weights:
        _show_mixture(opened)
        return
    found = {name: inspection.statistics(opened.split(name), opened.vocabulary) for name in opened.splits}
    measures = list(next(iter(found.values())))
    console.table(str(corpus), ("", *found), [(what, *(split[what] for split in found.values())) for what in measures])
    if classes := inspection.classes(opened):
        shown = [(name, *counts) for name, counts in classes.items()][:CLASSES_SHOWN]
        of_all = f", the first {CLASSES_SHOWN} of {len(classes):,}" if len(classes) > CLASSES_SHOWN else ""
        console.table(f"documents of each class{of_all}", ("class", *found), shown)
    console.say(f"source: {opened.manifest['source'].get('data')}; split by {opened.manifest.get('split_by')}")
    for what in ("left out", "contaminated"):
        for reason, about in opened.manifest.get(what.replace(" ", "_"), {}).items():
            console.say(f"{what}: {about['count']:,} × {reason}")
    console.result({"manifest": opened.manifest, "statistics": found, "classes": classes})


def _show_mixture(mixture: Corpus) -> None:
    from gpt2lab.core import console

    total = sum(mixture.weights or [])
    rows = [
        (source.folder, f"{weight / total:.1%}", source.split("train").tokens if "train" in source.splits else 0)
        for source, weight in zip(mixture.sources, mixture.weights or [])
    ]
    console.table(f"{mixture.folder}: a mixture", ("source", "share", "tokens to train on"), rows)
    console.next_command(f"gpt2lab corpus show {shlex.quote(str(mixture.sources[0].folder))}")
    console.result({"manifest": mixture.manifest})


@app.command()
def preview(
    corpus: Path,
    split: Annotated[str, typer.Option("--split")] = "train",
    documents: Annotated[int, typer.Option("--documents", min=1)] = 3,
    tokens: Annotated[int, typer.Option("--tokens", min=1, help="of each document")] = 60,
    json: Json = False,
) -> None:
    """The first documents: │ stands between tokens, ▶ where a prompt ends and what is learned begins.

    Example: gpt2lab corpus preview corpora/docs --documents 2
    """
    from gpt2lab.core import console
    from gpt2lab.text import inspection
    from gpt2lab.text.corpus import open_corpus

    prepare_console(json, False)
    found = inspection.preview(open_corpus(corpus), split, documents, tokens)
    for shown in found:
        of_class = f", class {shown['class']}" if "class" in shown else ""
        console.say(f"--- document {shown['document']}, {console.counted(shown['tokens'], 'token')}{of_class}")
        console.say(shown["text"])
    console.result(found)


@app.command()
def verify(corpus: Path, json: Json = False) -> None:
    """Check every shard against its hash, its count and the vocabulary, and where documents and their classes are.

    Example: gpt2lab corpus verify corpora/docs
    """
    from gpt2lab.core import console
    from gpt2lab.text import inspection
    from gpt2lab.text.corpus import open_corpus

    prepare_console(json, False)
    checked = inspection.verify(open_corpus(corpus))
    console.say(f"{corpus}: {console.counted(checked, 'shard')}, every hash agrees")
    console.result({"corpus": str(corpus), "shards": checked, "verified": True})
