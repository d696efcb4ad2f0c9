"""`gpt2lab quickstart`, `run` and `report`: a recipe becomes a study."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from gpt2lab.cli.common import (
    RECIPE,
    Device,
    DryRun,
    Json,
    Quiet,
    RecipeName,
    Study,
    only_values,
    prepare_console,
    refuse_settings,
    verb,
)
from gpt2lab.cli.training import place_of, seeds_of

Out = Annotated[Path | None, typer.Option("--out", help="the study folder to make")]


def register(app: typer.Typer) -> None:
    app.command()(quickstart)
    app.command(**verb(**{"": "gpt2lab.study.recipe:Recipe"}))(run)
    app.command()(rehearse)
    app.command()(report)


def quickstart(
    out: Annotated[Path, typer.Option("--out", help="the study folder to make")] = Path("quickstart"),
    device: Device = "auto",
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """See the whole house in a few minutes: no account, no download, no GPU.

    Example: gpt2lab quickstart --out studies/first
    """
    _run("quickstart", [], out, device, False, json, quiet)


def run(
    arguments: RecipeName = None,
    out: Out = None,
    device: Device = "auto",
    seeds: Annotated[str | None, typer.Option("--seeds", help="in place of the recipe's: 1,2,3")] = None,
    only: Annotated[
        str | None,
        typer.Option("--only", help="train this variant alone; base: all that comes before them", metavar="VARIANT"),
    ] = None,
    dry_run: DryRun = False,
    print_commands: Annotated[
        bool, typer.Option("--print-commands", help="print one command a training, for an array of jobs, and stop")
    ] = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Run a recipe: one of your own, or a shipped one by name.

    Example: gpt2lab run quickstart --out studies/first train.steps=100
    """
    from gpt2lab.core.errors import UserError

    (name,), overrides = only_values(arguments, RECIPE)
    if out is None and not dry_run:
        raise UserError("where to put the study is missing", way_out="add --out FOLDER")
    wanted = seeds_of(seeds) if seeds else []
    if print_commands:
        _print_commands(name, overrides, out or Path("STUDY"), device, wanted, only)
    else:
        _run(name, overrides, out or Path(), device, dry_run, json, quiet, wanted, only)


def rehearse(
    arguments: RecipeName = None,
    out: Out = None,
    device: Device = "auto",
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Run a shipped study's stages, variants and measures in minutes, offline, with a tiny model and built-in data.

    Example: gpt2lab rehearse agnews --out studies/agnews-rehearsal
    """
    from gpt2lab.core import console
    from gpt2lab.core.errors import Interrupted

    prepare_console(json, quiet)
    (name,), overrides = only_values(arguments, "one NAME")
    refuse_settings(overrides)
    place = place_of(out)
    from gpt2lab.study import rehearsal, study

    try:
        page = study.run(rehearsal.prepared(name, place, device), place, device)
    except Interrupted as stop:
        again = shlex.join(["gpt2lab", "rehearse", name, "--out", str(place), *_on(device)])
        raise Interrupted(stop.saved, again) from None
    console.say(f"report: {page}")
    _refuse_gaps(place, page)
    console.next_command(f"gpt2lab run {name} --out STUDY --dry-run")
    console.result({"study": str(place), "report": str(page)})


def _refuse_gaps(study: Path, page: Path, only: str | None = None) -> None:
    """A study whose report is not whole has failed; a job of one variant answers for that one."""
    from gpt2lab.core.errors import Failed

    for file, what in (("failed.json", "trained"), ("unmeasured.json", "measured")):
        names = [path.parent.name for path in sorted(study.glob(f"runs/*/{file}"))]
        if gaps := [name for name in names if only is None or name == only or name.startswith(f"{only}-seed-")]:
            raise Failed(f"not all could be {what}: {', '.join(gaps)}", place=page, way_out="the report says why")


def report(arguments: Study = None, json: Json = False, quiet: Quiet = False) -> None:
    """Write a study's report again.

    Example: gpt2lab report studies/first
    """
    from gpt2lab.core import console
    from gpt2lab.study import report as reports

    prepare_console(json, quiet)
    (study,), overrides = only_values(arguments, "one STUDY")
    refuse_settings(overrides)
    page = reports.write(Path(study))
    console.say(f"report: {page}")
    console.result({"report": str(page)})


def _print_commands(
    name: str, overrides: list[str], out: Path, device: str, seeds: Sequence[int], only: str | None
) -> None:
    from gpt2lab.study import recipe, study

    lines = study.commands(recipe.read(name, overrides), name, out, overrides, device, only, seeds)
    sys.stdout.write("".join(f"{line}\n" for line in lines))


def _run(
    name: str,
    overrides: list[str],
    out: Path,
    device: str,
    dry_run: bool,
    json: bool,
    quiet: bool,
    seeds: Sequence[int] = (),
    only: str | None = None,
) -> None:
    from gpt2lab.core import console
    from gpt2lab.core.errors import Interrupted
    from gpt2lab.study import recipe

    prepare_console(json, quiet)
    chosen = recipe.read(name, overrides)
    from gpt2lab.study import planning, study

    if dry_run:
        console.result(planning.plan(chosen, device, only, seeds))
        return
    if not (out / "study.json").is_file():
        planning.plan(chosen, device, only, seeds)
    try:
        page = study.run(chosen, out, device, recipe.find(name).read_text("utf-8"), only, seeds)
    except Interrupted as stop:
        asked = [*(["--only", only] if only else []), *(["--seeds", ",".join(map(str, seeds))] if seeds else [])]
        again = shlex.join(["gpt2lab", "run", name, "--out", str(out), *_on(device), *asked, *overrides])
        raise Interrupted(stop.saved, again) from None
    console.say(f"report: {page}")
    _refuse_gaps(out, page, only)
    if chosen.base is None:
        console.next_command(f'gpt2lab generate {shlex.quote(str(out / "runs" / "base"))} --prompt "The module"')
    console.result({"study": str(out), "report": str(page)})


def _on(device: str) -> list[str]:
    return [] if device == "auto" else ["--device", device]
