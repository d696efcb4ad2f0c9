"""`gpt2lab export`: a run's model, ready for the Hub."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from gpt2lab.cli.common import Json, Quiet, only_values, prepare_console, refuse_settings

Exported = Annotated[list[str] | None, typer.Argument(metavar="RUN", show_default=False)]


def register(app: typer.Typer) -> None:
    app.command()(export)


def export(
    arguments: Exported = None,
    out: Annotated[Path | None, typer.Option("--out", help="the folder to make")] = None,
    push: Annotated[
        str | None,
        typer.Option("--push", metavar="OWNER/NAME", help="upload it there, with the token in HF_TOKEN"),
    ] = None,
    base: Annotated[
        str | None, typer.Option("--base", metavar="OWNER/NAME", help="where an adapter's base is on the Hub")
    ] = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Make a model folder with a model card: results with their protocols, data, settings, limits. Nothing is uploaded
    without --push.

    Example: gpt2lab export runs/tiny --out exported/tiny
    """
    from gpt2lab.core import console, hub_upload
    from gpt2lab.core.errors import UserError

    prepare_console(json, quiet)
    (source,), overrides = only_values(arguments, "one RUN")
    refuse_settings(overrides)
    if out is None:
        raise UserError("where to put the folder is missing", way_out="add --out FOLDER")
    if push is not None:
        hub_upload.ready(push)
    from gpt2lab.study import export as exporting

    facts = exporting.export(source, out, push, base)
    if push is None:
        console.next_command(shlex.join(["gpt2lab", "export", source, "--out", str(out), "--push", "OWNER/NAME"]))
    else:
        facts["commit"] = hub_upload.upload(out, push, f"Exported by gpt2lab: {Path(source).name}")
        console.say(f"uploaded: {facts['commit']}")
    console.result(facts)
