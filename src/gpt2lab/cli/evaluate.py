"""`gpt2lab evaluate`: a model and data become numbers under named protocols."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from gpt2lab.cli.common import Device, Json, Model, OtherTokenizer, Quiet, only_values, prepare_console, verb


def register(app: typer.Typer) -> None:
    groups = {name: f"gpt2lab.measure.settings:{name.title()}Settings" for name in ("evaluate", "data", "quality")}
    app.command(**verb(**groups))(evaluate)


def evaluate(
    arguments: Model = None,
    protocol: Annotated[
        str | None,
        typer.Option(
            "--protocol",
            help="one or more, with commas; unless given labels for a classifier and perplexity/token-window for a "
            "language model: perplexity/token-window, perplexity/word, perplexity/blocks, "
            "bits-per-byte, hellaswag/harness, hellaswag/completion, choices, lambada, labels, "
            "forgetting, text-quality, harness:TASK",
        ),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option("--data", help="a file, a folder, a glob, a corpus, a named set, builtin:… or hub:…"),
    ] = None,
    local: Annotated[Path | None, typer.Option("--from", help="the folder that holds a named set's files")] = None,
    limit: Annotated[
        int | None, typer.Option("--limit", min=1, help="the first so many items or documents alone")
    ] = None,
    again: Annotated[bool, typer.Option("--again", help="measure again what is already known")] = False,
    tasks: Annotated[
        Path | None, typer.Option("--tasks-from", help="a folder with task files of lm-evaluation-harness")
    ] = None,
    base: Annotated[
        str | None, typer.Option("--base", help="what MODEL was tuned from, for forgetting and text-quality")
    ] = None,
    train: Annotated[
        str | None, typer.Option("--train", help="the corpus MODEL was tuned on: text-quality looks for copies")
    ] = None,
    tokenizer: OtherTokenizer = None,
    device: Device = "auto",
    processes: Annotated[int, typer.Option("--processes", min=1, help="score with so many processes")] = 1,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Measure models: model folders, runs, or Hub ids. Every result is kept, and not measured twice.

    Example: gpt2lab evaluate runs/tiny --protocol perplexity/blocks --data corpora/docs
    """
    from gpt2lab.core import console, settings
    from gpt2lab.core.errors import UserError
    from gpt2lab.measure.settings import Evaluation

    prepare_console(json, quiet)
    models, overrides = only_values(arguments, "one MODEL", None)
    if not models:
        only_values(arguments, "one MODEL")
    names = [name.strip() for name in (protocol or _usual(models[0])).split(",") if name.strip()]
    needs_data = not all(name.startswith("harness:") for name in names)
    if data is None and needs_data:
        raise UserError("what to measure on is missing", way_out="add --data FILE or --data CORPUS")
    if data is not None and not needs_data:
        raise UserError(f"--data has no effect on {', '.join(names)}", way_out="its task names the data; leave it out")
    values = {"evaluate": {"limit": limit}} if limit else {}
    chosen = settings.resolve(Evaluation, values=values, overrides=overrides)
    if processes > 1:
        if len(models) > 1:
            raise UserError("several processes measure one model at a time", place="--processes", way_out="a line each")
        if any(name.startswith("harness:") for name in names):
            raise UserError(
                "tasks of lm-evaluation-harness run in one process", place="--processes", way_out="leave it out"
            )
        from gpt2lab.study import launch

        if not launch.is_member():
            launch.processes(processes, shlex.join(["gpt2lab", *sys.argv[1:]]))
            return
    from gpt2lab.measure import evaluate as measuring
    from gpt2lab.measure import records, showing

    options = {
        "tokenizer": tokenizer,
        "local": local,
        "tasks_from": tasks,
        "again": again,
        "base": base,
        "train": train,
    }
    by_model = [measuring.evaluate(model, names, data or "", chosen, device, **options) for model in models]
    for model, records_of_it in zip(models, by_model):
        if len(models) > 1:
            console.say(f"{model}:")
        showing.show(records_of_it)
    found = [record for records_of_it in by_model for record in records_of_it]
    console.next_command(_next(models[0], names, data))
    stored = [records.summary(record) for record in found]
    console.result(stored[0] if len(found) == 1 else stored)


def _usual(model: str) -> str:
    from gpt2lab.model.reading import find_model, read_config

    place = find_model(model)
    classifies = place.is_dir() and read_config(place).labels
    return "labels" if classifies else "perplexity/token-window"


def _next(model: str, names: list[str], data: str | None) -> str:
    """The next protocol that says something else of the same data, or a sample."""
    others = {"perplexity/token-window": "bits-per-byte", "perplexity/word": "bits-per-byte",
              "bits-per-byte": "perplexity/word", "hellaswag/completion": "hellaswag/harness"}  # fmt: skip
    if (other := others.get(names[-1])) and other not in names:
        return f"gpt2lab evaluate {shlex.quote(model)} --protocol {other} --data {shlex.quote(data or '')}"
    if names[-1] == "labels":
        return f'gpt2lab predict {shlex.quote(model)} --text "…"'
    return f'gpt2lab generate {shlex.quote(model)} --prompt "…"'
