"""`gpt2lab pretrain`: a corpus and a size become a model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from gpt2lab.cli.common import Device, DryRun, Json, Overrides, Quiet, only_values, prepare_console, verb

Size = Annotated[str | None, typer.Option("--size", help="small, medium, large or xl")]


def register(app: typer.Typer) -> None:
    groups = {"model": "gpt2lab.model.settings:ModelSettings", "train": "gpt2lab.train.settings:TrainSettings"}
    groups |= {name: f"gpt2lab.study.settings:{name.title()}Settings" for name in ("sample", "track")}
    app.command(**verb(**groups))(pretrain)


def pretrain(
    arguments: Overrides = None,
    data: Annotated[str | None, typer.Option("--data", help="the corpus folder")] = None,
    out: Annotated[Path | None, typer.Option("--out", help="the run folder to make")] = None,
    size: Size = None,
    resume: Annotated[bool, typer.Option("--resume", help="go on with an unfinished run")] = False,
    extend: Annotated[bool, typer.Option("--extend", help="prolong a finished run")] = False,
    allow_different: Annotated[
        bool, typer.Option("--allow-different", help="resume on another machine: equal to rounding")
    ] = False,
    count: Annotated[int, typer.Option("--processes", help="train with so many processes", min=1)] = 1,
    device: Device = "auto",
    dry_run: DryRun = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Train a GPT-2 from random weights.

    Example: gpt2lab pretrain --data corpora/docs --out runs/tiny
             model.layers=4 model.heads=4 model.width=128 model.context=256 train.steps=200
    """
    from gpt2lab.core import console, settings
    from gpt2lab.core.errors import UserError
    from gpt2lab.study.settings import RunSettings, resumed

    prepare_console(json, quiet)
    _, overrides = only_values(arguments, "no further value", 0)
    if out is None:
        raise UserError("where to put the run is missing", way_out="add --out FOLDER")
    values: dict[str, Any] = {"device": device} if device != "auto" else {}
    values["data"] = str(Path(data).resolve()) if data else ""
    values |= {"model": {"size": size}} if size else {}
    if resume or extend:
        values = settings.merged(resumed(out).as_dict(), {key: value for key, value in values.items() if value})
    chosen = settings.resolve(RunSettings, values=values, overrides=overrides)
    if not chosen.data:
        raise UserError("what to train on is missing", way_out="add --data CORPUS; gpt2lab prepare makes one")
    from gpt2lab.study import launch, run, run_folder
    from gpt2lab.study.run_folder import Intent

    if count > 1 and not launch.is_member():
        launch.processes(count, run_folder.resume_command(out, count))
        return
    facts = run.pretrain(chosen, out, Intent(resume, extend, allow_different), dry_run=dry_run)
    if not facts:
        return
    if not dry_run:
        console.next_command(f'gpt2lab generate {out} --prompt "Once upon a time"')
    console.result({"run": str(out), **facts})
