"""`gpt2lab synthesize`: a data set that a large model writes."""

from __future__ import annotations

import shlex
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from gpt2lab.cli.common import RECIPE, DryRun, Json, Quiet, RecipeName, only_values, prepare_console, verb


class Backend(StrEnum):
    api = "api"
    builtin = "builtin"


def register(app: typer.Typer) -> None:
    app.command(**verb(**{"": "gpt2lab.text.synthesis.settings:SynthesisRecipe"}))(synthesize)


def synthesize(
    arguments: RecipeName = None,
    count: Annotated[int | None, typer.Option("--count", help="how many texts")] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="NAME.jsonl; NAME.txt and NAME.summary.json come beside it")
    ] = None,
    backend: Annotated[
        Backend, typer.Option("--backend", help="a model behind an endpoint, or the built-in grammar, offline")
    ] = Backend.api,
    max_cost: Annotated[
        float | None,
        typer.Option("--max-cost", help="never spend more on this data set, in the recipe's currency"),
    ] = None,
    key: Annotated[
        list[str] | None,
        typer.Option(
            "--key",
            metavar="HOST=VARIABLE",
            help="the environment variable with the key for the recipe's host; "
            "OPENAI_API_KEY goes to OpenAI or to the host of OPENAI_BASE_URL alone",
        ),
    ] = None,
    extend: Annotated[bool, typer.Option("--extend", help="write more texts of a finished data set")] = False,
    dry_run: DryRun = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Write a data set with a large model, from a recipe of your own or a shipped one. Stopped, it continues.

    Example: gpt2lab synthesize fantasy-locations --count 1000 --out places.jsonl --max-cost 5
    """
    from gpt2lab.core import console
    from gpt2lab.core.errors import Interrupted, UserError

    prepare_console(json, quiet)
    (name,), overrides = only_values(arguments, RECIPE)
    if count is None or out is None:
        missing = "--count N" if count is None else "--out FILE.jsonl"
        raise UserError("how many texts, or where to put them, is missing", way_out=f"add {missing}")
    from gpt2lab.text.synthesis import recipes
    from gpt2lab.text.synthesis import synthesize as synthesis

    recipe = recipes.read(name, overrides)
    options: dict[str, Any] = {
        "backend": backend.value,
        "max_cost": max_cost,
        "keys": key or [],
        "extend": extend,
        "dry_run": dry_run,
    }
    try:
        summary = synthesis.synthesize(recipe, out, count, **options)
    except Interrupted as stop:
        raise Interrupted(stop.saved, shlex.join(["gpt2lab", *sys.argv[1:]])) from None
    if not dry_run:
        rows = out.with_suffix(".jsonl")
        console.say(f"written: {rows}, {out.with_suffix('.txt').name} and {out.with_suffix('.summary.json').name}")
        console.next_command(shlex.join(["gpt2lab", "prepare", str(rows), "--out", f"corpora/{out.stem}"]))
    console.result(summary if dry_run else {"file": str(out.with_suffix(".jsonl")), **summary})
