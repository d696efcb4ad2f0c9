"""`gpt2lab finetune`: a model and data become a tuned model or an adapter."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gpt2lab.cli import training
from gpt2lab.cli.common import Device, DryRun, Json, Quiet, only_values, prepare_console, verb, words

if TYPE_CHECKING:
    from gpt2lab.study.run_folder import Intent
    from gpt2lab.study.settings import TuneSettings

Base = Annotated[str | None, typer.Option("--base", help="the model to begin from")]
TuneData = Annotated[str | None, typer.Option("--data", help="a corpus folder, or DATA to prepare on the way")]
Local = Annotated[Path | None, typer.Option("--from", help="the folder that holds a named set's files")]
Method = Annotated[str | None, typer.Option("--method", help="full, lora, qlora, prompt or partial")]
Task = Annotated[str | None, typer.Option("--task", help="text or labels")]


def register(app: typer.Typer) -> None:
    app.command(**verb(**groups()))(finetune)


def groups() -> dict[str, str]:
    """The settings of a tuning."""
    own = {"data": "gpt2lab.study.settings:TuneDataSettings", "model": "gpt2lab.model.settings:DropoutSettings"}
    own |= {name: f"gpt2lab.model.settings:{name.title()}Settings" for name in ("lora", "qlora", "prompt", "partial")}
    own["train"] = "gpt2lab.study.settings:TuneTrainSettings"
    return training.groups(**own, prepare="gpt2lab.text.settings:PrepareSettings")


def finetune(
    arguments: Annotated[list[str] | None, words("[FILE]")] = None,
    base: Base = None,
    data: TuneData = None,
    local: Local = None,
    method: Method = None,
    task: Task = None,
    out: training.Run = None,
    seeds: Annotated[str | None, typer.Option("--seeds", help="train once a seed: 1,2,3")] = None,
    resume: training.Resume = False,
    extend: training.Extend = False,
    allow_different: training.AllowDifferent = False,
    processes: training.Processes = 1,
    device: Device = "auto",
    dry_run: DryRun = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Tune a model on text or on labelled texts.

    Example: gpt2lab finetune --base gpt2 --data corpora/news --method lora --task labels --out runs/news lora.rank=8
    """
    from gpt2lab.core import console
    from gpt2lab.core.errors import UserError
    from gpt2lab.core.settings import read_yaml
    from gpt2lab.study.settings import TuneSettings

    prepare_console(json, quiet)
    values, overrides = only_values(arguments, "one FILE of settings, or none", None)
    if len(values) > 1 or (values and not Path(values[0]).is_file()):
        only_values(arguments, "one FILE of settings, or none; quotes around a setting with blanks", 0)
    place, chosen_seeds = training.place_of(out), training.seeds_of(seeds) if seeds is not None else []
    runs = [_run_of(place, seed) for seed in chosen_seeds] or [place]
    goes_on = (resume or extend) and (not chosen_seeds or all((run / "run.json").is_file() for run in runs))
    if chosen_seeds:
        overrides = [*overrides, f"train.seed={chosen_seeds[0]}"]  # the others differ in nothing else
    named = given(base, data, local, method, task, device)
    read = read_yaml(Path(values[0]))[0] if values else {}
    if "variants" in read or "question" in read:
        raise UserError("this is a recipe of a study", place=values[0], way_out=f"gpt2lab run {values[0]} --out STUDY")
    if not (read or goes_on):
        refuse_gaps(base, data, method, overrides)
    chosen = training.settings_of(TuneSettings, runs[0], named, overrides, goes_on, read)
    from gpt2lab.study import finetune as tuning
    from gpt2lab.study import methods
    from gpt2lab.study.run_folder import Intent

    intent = Intent(resume, extend, allow_different)
    if chosen_seeds and not dry_run:
        _repeat(place, chosen_seeds, chosen, intent)
        return
    for key in (override.partition("=")[0] for override in overrides):
        if methods.is_idle(key, chosen.method):
            console.warn(f"{key} has no effect with --method {chosen.method}")
    facts = training.carry_out(
        "finetune",
        lambda intent: tuning.finetune(chosen, place, intent, dry_run=dry_run),
        place,
        intent,
        processes,
    )
    if facts:
        if not dry_run:
            console.next_command(next_verb(str(place), chosen.task))
        console.result({"run": str(place), **facts})


def refuse_gaps(base: str | None, data: str | None, method: str | None, overrides: list[str]) -> None:
    """By the names that are typed."""
    from gpt2lab.core.errors import UserError

    wanted = {"--base MODEL": base, "--data DATA": data, "--method full, lora, qlora, prompt or partial": method}
    if any(override.startswith("data.source=") for override in overrides):
        del wanted["--data DATA"]
    if missing := [name for name, value in wanted.items() if value is None]:
        raise UserError(f"{' and '.join(missing)} must be given", way_out="--help shows an example")


def given(
    base: str | None, data: str | None, local: Path | None, method: str | None, task: str | None, device: str
) -> dict[str, Any]:
    """What was said by options, as settings."""
    folder = training.as_address(str(local)) if local else None
    return {
        "base": training.as_address(base),
        "data": {"source": training.as_address(data), "local": folder},
        "method": method,
        "task": task,
        "device": training.unless_auto(device),
    }


def _run_of(out: Path, seed: int) -> Path:
    from gpt2lab.study.seeds import run_of

    return run_of(out, seed)


def _repeat(out: Path, seeds: list[int], asked: TuneSettings, intent: Intent) -> None:
    from gpt2lab.core import console
    from gpt2lab.study import seeds as repeating

    repeating.refuse_others(out, seeds, asked, intent)
    found = repeating.repeat(out, seeds)
    console.table(
        f"{len(seeds)} seeds: {found['watched']}",
        ("seed", "best", "at step", "run"),
        [
            (run["seed"], "–" if run["best"] is None else f"{run['best']:.4f}", run["best_step"], run["run"])
            for run in found["runs"]
        ],
    )
    if found["mean"] is not None:
        console.say(f"mean {found['mean']:.4f}, from {found['lowest']:.4f} to {found['highest']:.4f}")
    console.result({"out": str(out), **found})


def next_verb(run: str, task: str) -> str:
    if task == "labels":
        return f'gpt2lab predict {run} --text "…"'
    return f'gpt2lab generate {run} --prompt "Once upon a time"'
