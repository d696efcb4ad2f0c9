"""`gpt2lab merge`: an adapter and its base become one model."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from gpt2lab.cli.common import Json, Quiet, only_values, prepare_console, refuse_settings
from gpt2lab.cli.training import place_of

Adapter = Annotated[list[str] | None, typer.Argument(metavar="ADAPTER", show_default=False)]


def register(app: typer.Typer) -> None:
    app.command()(merge)


def merge(
    arguments: Adapter = None,
    out: Annotated[Path | None, typer.Option("--out", help="the model folder to make")] = None,
    precision: Annotated[
        str, typer.Option("--precision", help="how to store the weights: fp32, bf16 or fp16")
    ] = "fp32",
    into_original: Annotated[
        bool, typer.Option("--into-original", help="of a qlora adapter: into the base's weights before quantisation")
    ] = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Put an adapter into the weights of its base, so that every program opens it as a plain model.

    Example: gpt2lab merge runs/lora --out models/merged
    """
    from gpt2lab.core import console

    prepare_console(json, quiet)
    (source,), overrides = only_values(arguments, "one ADAPTER")
    refuse_settings(overrides)
    place = place_of(out, "model")
    from gpt2lab.study import merge as merging

    facts = merging.merge(source, place, precision, into_original)
    asked = ["--protocol", "labels"] if facts["labels"] else []
    console.next_command(shlex.join(["gpt2lab", "evaluate", str(place), *asked, "--data", "FILE"]))
    console.result({"model": str(place), **facts})
