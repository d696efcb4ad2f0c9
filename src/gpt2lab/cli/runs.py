"""`gpt2lab runs`: what was trained, how it went, how two differ, and what could go."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from gpt2lab.cli.common import Json, prepare_console

app = typer.Typer(help="Look at runs, compare two, tidy up.", no_args_is_help=True, rich_markup_mode=None)
Dir = Annotated[Path, typer.Argument(metavar="[DIR]", show_default=False)]


@app.command("list")
def list_runs(folder: Dir = Path(), json: Json = False) -> None:
    """The runs under a folder: what they are, how far and how good, their size and age.

    Example: gpt2lab runs list runs
    """
    from gpt2lab.core import console
    from gpt2lab.study import runs

    prepare_console(json, False)
    found = runs.opened(folder)
    runs.show_list(found)
    if found:
        console.next_command(f"gpt2lab runs show {shlex.quote(str(found[0].folder))}")
    console.result([run.as_dict() for run in found])


@app.command()
def show(
    run: Path,
    follow: Annotated[bool, typer.Option("--follow", help="watch it until it ends; Ctrl-C leaves it alone")] = False,
    json: Json = False,
) -> None:
    """A run: settings, losses, results, and what it was trained from.

    Example: gpt2lab runs show runs/tiny --follow
    """
    from gpt2lab.core import console
    from gpt2lab.study import runs, showing_runs

    prepare_console(json, False)
    opened = runs.open_run(run)
    if follow:
        showing_runs.follow(run)
        opened = runs.open_run(run)
    else:
        showing_runs.show(opened)
    if opened.state == "finished":
        console.next_command(f"gpt2lab export {shlex.quote(str(run))} --out FOLDER")
    elif opened.state == "unfinished":
        console.next_command(shlex.join(["gpt2lab", opened.kind, "--resume", "--out", str(run)]))
    losses = [line.get("loss") for line in opened.metrics]
    facts = {"settings": opened.settings, "losses": losses, "results": opened.results}
    console.result({**opened.as_dict(), **facts, "lineage": showing_runs.lineage(opened)})


@app.command()
def diff(one: Path, other: Path, json: Json = False) -> None:
    """Two runs: the settings that differ, and results side by side where they were measured alike.

    Example: gpt2lab runs diff runs/full runs/lora
    """
    from gpt2lab.core import console
    from gpt2lab.study import run_differences, runs

    prepare_console(json, False)
    console.result(run_differences.show(runs.open_run(one), runs.open_run(other)))


@app.command()
def clean(
    folder: Dir = Path(),
    yes: Annotated[bool, typer.Option("--yes", help="remove it; nothing is removed without this")] = False,
    json: Json = False,
) -> None:
    """What could go: checkpoints of finished runs, earlier models, what was left half written. Models, results and
    the checkpoints of unfinished runs stay.

    Example: gpt2lab runs clean runs
    """
    from gpt2lab.core import console
    from gpt2lab.study import cleaning

    prepare_console(json, False)
    found = cleaning.spares(folder)
    cleaning.show(found)
    freed = cleaning.remove(found) if yes else 0
    if yes:
        console.say(f"removed: {console.size(freed)}")
    elif found:
        console.next_command(f"gpt2lab runs clean {shlex.quote(str(folder))} --yes")
    named = [{"path": str(spare.path), "bytes": spare.size, "why": spare.why} for spare in found]
    console.result({"spare": named, "bytes": sum(spare.size for spare in found), "removed_bytes": freed})
