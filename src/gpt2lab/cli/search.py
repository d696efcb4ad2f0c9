"""`gpt2lab search`: one tuning many times, over some of its settings."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gpt2lab.cli import finetune, training
from gpt2lab.cli.common import Device, Json, Overrides, Quiet, only_values, prepare_console, verb

NO_BETTER = 0.98  # of what guessing costs


def register(app: typer.Typer) -> None:
    app.command(**verb(**finetune.groups(), search="gpt2lab.study.settings:SearchSettings"))(search)


def search(
    arguments: Overrides = None,
    base: finetune.Base = None,
    data: finetune.TuneData = None,
    local: finetune.Local = None,
    method: finetune.Method = None,
    task: finetune.Task = None,
    out: Annotated[Path | None, typer.Option("--out", help="the folder of the search")] = None,
    over: Annotated[
        list[str] | None,
        typer.Option("--over", help="key.path=a,b,c or key.path=low..high; lists among the values in brackets"),
    ] = None,
    device: Device = "auto",
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Find good settings for a tuning: a grid, or draws from ranges; then the best once more with a fresh seed.
    Run again, an interrupted search goes on.

    Example: gpt2lab search --base gpt2 --data corpora/news --method lora --out searches/rate
             --over train.learning_rate=1e-4,2e-4,4e-4,1e-3,2e-3,7e-3 train.epochs=1
    """
    from gpt2lab.core import console, settings
    from gpt2lab.core.errors import Interrupted, UserError
    from gpt2lab.study.axis import axes_of
    from gpt2lab.study.settings import SearchSettings, TuneSettings

    prepare_console(json, quiet)
    _, overrides = only_values(arguments, "no further value", 0)
    place = training.place_of(out)
    if not over:
        raise UserError("what to search over is missing", way_out="add --over train.learning_rate=1e-4,2e-4,4e-4")
    axes = axes_of(over)
    method = method or next((axis.values[0] for axis in axes if axis.key == "method" and axis.values), None)
    own = [override for override in overrides if override.startswith("search.")]
    how = settings.resolve(SearchSettings, overrides=[override.removeprefix("search.") for override in own])
    finetune.refuse_gaps(base, data, method, overrides)
    given = finetune.given(base, data, local, method, task, device)
    rest = [override for override in overrides if override not in own]
    chosen = training.settings_of(TuneSettings, place, given, rest, False, {})
    from gpt2lab.study import search as searching

    try:
        found = searching.search(chosen, axes, how, place)
    except Interrupted as stopped:
        raise Interrupted(f"the search was interrupted ({stopped.saved})", training.this_command()) from None
    watched = found["watched"]
    rows = [
        (trial["number"], *trial["point"].values(), trial["state"], _short(trial["best"]), trial["best_step"])
        for trial in found["trials"]
    ]
    console.table("trials", ("trial", *(axis.key for axis in axes), "ended", f"best {watched}", "at step"), rows)
    for axis in axes:
        if edge := searching.edge(axis, found["trials"], found["best"]):
            console.say(
                f"the best {axis.key} is the {edge} that was tried: one beyond it may be better "
                "(the same command with more values goes on from here)"
            )
    if "retrained" in found:
        again, run = found["retrained"], place / found["retrained"]["run"]
        before = _short(found["best"]["best"])
        console.say(
            f"with a fresh seed it {again['state']}: {watched} {_short(again['best'])}, before {before} ({run})"
        )
        _say_if_guessing(again["best"], found.get("guessing"))
        if again["state"] == "finished":
            console.next_command(finetune.next_verb(str(run), chosen.task))
    console.result({"out": str(place), **found})


def _say_if_guessing(loss: float | None, guessing: float | None) -> None:
    from gpt2lab.core import console

    if loss is not None and guessing is not None and loss > NO_BETTER * guessing:
        console.warn(
            f"that is no better than guessing ({guessing:.4f} for so many classes): train for longer, or search other "
            "rates, and look at several seeds (finetune --seeds 1,2,3)"
        )


def _short(value: float | None) -> str:
    return "–" if value is None else f"{value:.5g}"
