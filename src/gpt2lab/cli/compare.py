"""`gpt2lab compare`: runs from anywhere, on one page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gpt2lab.cli.common import Json, Quiet, only_values, prepare_console, refuse_settings

Runs = Annotated[list[str] | None, typer.Argument(metavar="RUN RUN...", show_default=False)]


def register(app: typer.Typer) -> None:
    app.command()(compare)


def compare(
    arguments: Runs = None,
    out: Annotated[Path | None, typer.Option("--out", help="the folder to put the report in")] = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Write a report on several runs; the first is what the others are compared with.

    Example: gpt2lab compare runs/full runs/lora --out reports/full-or-lora
    """
    from gpt2lab.core import console
    from gpt2lab.core.errors import UserError
    from gpt2lab.study import compare as comparisons

    prepare_console(json, quiet)
    runs, overrides = only_values(arguments, "two RUNs or more", None)
    refuse_settings(overrides)
    if out is None:
        raise UserError("where to put the report is missing", way_out="add --out FOLDER")
    page = comparisons.compare([Path(run) for run in runs], out)
    console.say(f"report: {page}")
    console.result({"report": str(page)})
