"""`gpt2lab finetune`: a model and data become a tuned model or an adapter."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from gpt2lab.cli.common import (
    AllowDifferent,
    Device,
    DryRun,
    Extend,
    Json,
    Overrides,
    Processes,
    Quiet,
    Resume,
    only_values,
    prepare_console,
    verb,
)


def register(app: typer.Typer) -> None:
    groups = {name: f"gpt2lab.train.settings:{name.title()}Settings" for name in ("train",)}
    groups |= {name: f"gpt2lab.model.settings:{name.title()}Settings" for name in ("lora", "partial")}
    groups |= {name: f"gpt2lab.study.settings:{name.title()}Settings" for name in ("sample", "track")}
    app.command(**verb(model="gpt2lab.model.settings:DropoutSettings", **groups))(finetune)


def finetune(
    arguments: Overrides = None,
    base: Annotated[str | None, typer.Option("--base", help="the model to begin from")] = None,
    data: Annotated[str | None, typer.Option("--data", help="the corpus folder")] = None,
    method: Annotated[str | None, typer.Option("--method", help="full, lora or partial")] = None,
    task: Annotated[str | None, typer.Option("--task", help="text or labels")] = None,
    out: Annotated[Path | None, typer.Option("--out", help="the run folder to make")] = None,
    resume: Resume = False,
    extend: Extend = False,
    allow_different: AllowDifferent = False,
    count: Processes = 1,
    device: Device = "auto",
    dry_run: DryRun = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Tune a model on text or on labelled texts.

    Example: gpt2lab finetune --base gpt2 --data corpora/news --method lora --task labels --out runs/news lora.rank=8
    """
    from gpt2lab.core import console, settings
    from gpt2lab.core.errors import UserError
    from gpt2lab.study import methods
    from gpt2lab.study.settings import TuneSettings, resumed

    prepare_console(json, quiet)
    _, overrides = only_values(arguments, "no further value", 0)
    if out is None:
        raise UserError("where to put the run is missing", way_out="add --out FOLDER")
    given: dict[str, Any] = {"base": base, "data": str(Path(data).resolve()) if data else None, "method": method}
    given |= {"task": task, "device": device if device != "auto" else None}
    given = {key: value for key, value in given.items() if value is not None}
    before = resumed(out).as_dict() if resume or extend else methods.defaults(method or "")
    chosen = settings.resolve(TuneSettings, values=settings.merged(before, given), overrides=overrides)
    from gpt2lab.study import finetune as tuning
    from gpt2lab.study import launch, run_folder
    from gpt2lab.study.run_folder import Intent

    if count > 1 and not launch.is_member():
        launch.processes(count, run_folder.resume_command("finetune", out, count))
        return
    facts = tuning.finetune(chosen, out, Intent(resume, extend, allow_different), dry_run=dry_run)
    if not facts:
        return
    if not dry_run and chosen.task == "text":
        console.next_command(f'gpt2lab generate {out} --prompt "Once upon a time"')
    console.result({"run": str(out), **facts})
