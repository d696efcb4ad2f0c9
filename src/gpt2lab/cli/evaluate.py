"""`gpt2lab evaluate`: a model and data become numbers under named protocols."""

from __future__ import annotations

from typing import Annotated

import typer

from gpt2lab.cli.common import Device, Json, Model, OtherTokenizer, Quiet, only_values, prepare_console, verb


def register(app: typer.Typer) -> None:
    groups = {"evaluate": "gpt2lab.measure.settings:EvaluateSettings", "data": "gpt2lab.measure.settings:DataSettings"}
    app.command(**verb(**groups))(evaluate)


def evaluate(
    arguments: Model = None,
    protocol: Annotated[str, typer.Option("--protocol", help="one or more, with commas")] = "perplexity/token-window",
    data: Annotated[str | None, typer.Option("--data", help="a text file, or a corpus folder")] = None,
    tokenizer: OtherTokenizer = None,
    device: Device = "auto",
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Measure a model: a model folder, a run, or a Hub id.

    Example: gpt2lab evaluate runs/tiny --protocol perplexity/blocks --data corpora/docs
    """
    from gpt2lab.core import console, hardware, settings
    from gpt2lab.core.errors import UserError
    from gpt2lab.measure.settings import Evaluation

    prepare_console(json, quiet)
    (model,), overrides = only_values(arguments, "one MODEL")
    if data is None:
        raise UserError("what to measure on is missing", way_out="add --data FILE or --data CORPUS")
    chosen = settings.resolve(Evaluation, overrides=overrides)
    from gpt2lab.measure import evaluate as measuring

    found = measuring.evaluate(model, protocol.split(","), data, chosen, hardware.choose_device(device), tokenizer)
    rows = [
        (
            record["protocol"],
            f"{record['value']:.4f}",
            record["counts"]["tokens_scored"],
            record["settings"].get("split", "all"),
        )
        for record in found
    ]
    console.table("", ("protocol", "perplexity, lower is better", "tokens scored", "split"), rows)
    console.result(found[0] if len(found) == 1 else found)
