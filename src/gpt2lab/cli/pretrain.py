"""`gpt2lab pretrain`: a corpus and a size become a model."""

from __future__ import annotations

from typing import Annotated

import typer

from gpt2lab.cli import training
from gpt2lab.cli.common import Device, DryRun, Json, Overrides, Quiet, only_values, prepare_console, verb

Size = Annotated[str | None, typer.Option("--size", help="small, medium, large or xl")]


def register(app: typer.Typer) -> None:
    app.command(**verb(**training.groups(model="gpt2lab.model.settings:ModelSettings")))(pretrain)


def pretrain(
    arguments: Overrides = None,
    data: training.Corpus = None,
    out: training.Run = None,
    size: Size = None,
    resume: training.Resume = False,
    extend: training.Extend = False,
    allow_different: training.AllowDifferent = False,
    processes: training.Processes = 1,
    device: Device = "auto",
    dry_run: DryRun = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Train a GPT-2 from random weights.

    Example: gpt2lab pretrain --data corpora/docs --out runs/tiny
             model.layers=4 model.heads=4 model.width=128 model.context=256 train.steps=200
    """
    from gpt2lab.core import console
    from gpt2lab.core.errors import UserError
    from gpt2lab.study.settings import RunSettings

    prepare_console(json, quiet)
    _, overrides = only_values(arguments, "no further value", 0)
    place = training.place_of(out)
    goes_on = resume or extend
    given = {
        "data": {"source": training.as_address(data) or (None if goes_on else "")},
        "device": training.unless_auto(device),
        "model": {"size": size},
    }
    chosen = training.settings_of(RunSettings, place, given, overrides, goes_on, {})
    if not chosen.data.source:
        raise UserError("what to train on is missing", way_out="add --data CORPUS; gpt2lab prepare makes one")
    from gpt2lab.study import pretrain as pretraining
    from gpt2lab.study.run_folder import Intent

    facts = training.carry_out(
        "pretrain",
        lambda intent: pretraining.pretrain(chosen, place, intent, dry_run=dry_run),
        place,
        Intent(resume, extend, allow_different),
        processes,
    )
    if facts:
        if not dry_run:
            console.next_command(f'gpt2lab generate {place} --prompt "Once upon a time"')
        console.result({"run": str(place), **facts})
