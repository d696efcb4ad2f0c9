"""`gpt2lab predict`: a classifier and texts become classes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from gpt2lab.cli.common import Device, Json, Model, OtherTokenizer, Quiet, only_values, prepare_console, verb

if TYPE_CHECKING:
    from gpt2lab.measure.predicting import Tally

CHARACTERS_SHOWN = 60


def register(app: typer.Typer) -> None:
    app.command(**verb(data="gpt2lab.measure.settings:TextColumns"))(predict)


def predict(
    arguments: Model = None,
    text: Annotated[list[str] | None, typer.Option("--text", help="a text to classify; may be given again")] = None,
    file: Annotated[
        str | None, typer.Option("--file", help=".txt (a text a line), .jsonl, .csv, .parquet, or - for standard input")
    ] = None,
    precision: Annotated[str, typer.Option("--precision", help="fp32 or bf16", metavar="NAME")] = "fp32",
    tokenizer: OtherTokenizer = None,
    device: Device = "auto",
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Name the class of texts.

    Example: gpt2lab predict runs/news --text "Shares fell on Monday" --text "The match ended in a draw"
             gpt2lab predict runs/news --file new.jsonl --json > classes.jsonl
    """
    from gpt2lab.core import console, hardware, settings
    from gpt2lab.core.errors import UserError
    from gpt2lab.measure.settings import Prediction

    prepare_console(json, quiet)
    (source,), overrides = only_values(arguments, "one MODEL")
    if not text and file is None:
        raise UserError("what to classify is missing", way_out='add --text "…" or --file FILE')
    chosen = settings.resolve(Prediction, values={"precision": precision}, overrides=overrides)
    from gpt2lab.measure import predicting
    from gpt2lab.measure.labels import in_precision, needs_classifier
    from gpt2lab.model.reading import find_model, read_model, tokenizer_of
    from gpt2lab.text import loose_texts

    place = find_model(source)
    model = needs_classifier(read_model(place, device=hardware.choose_device(device)))
    tally = predicting.Tally()
    answers = predicting.predict(
        in_precision(model, chosen.precision),
        tokenizer_of(place, tokenizer),
        loose_texts.gather(text or [], file, chosen.data.text),
        tally,
    )
    if json:
        with console.progress("predict", None, "texts") as progress:
            for answer in answers:
                console.result_line(answer)
                progress.advance()
    else:
        width = max(len(name) for name in ("class", *model.config.labels))
        for number, answer in enumerate(answers):
            if number == 0:
                console.say(f"{'class':{width}}  probability  text")
            console.show(_line(answer, width))
    _say_of_all(tally, file)


def _line(answer: dict[str, Any], width: int) -> str:
    shown = " ".join(answer["text"].split())
    shown = shown if len(shown) <= CHARACTERS_SHOWN else f"{shown[: CHARACTERS_SHOWN - 1]}…"
    if answer["label"] is None:
        return f"{'–':{width}}  {'–':>11}  {shown or answer['problem']}"
    return f"{answer['label']:{width}}  {answer['probabilities'][answer['label']]:>11.1%}  {shown}"


def _say_of_all(tally: Tally, file: str | None) -> None:
    from gpt2lab.core import console
    from gpt2lab.core.errors import UserError

    if tally.answered == 0:
        found = "; ".join(tally.unanswered) or "there is none"
        raise UserError(f"no text to classify: {found}", place=file, way_out="give texts that are not empty")
    if tally.truncated:
        console.warn(
            f"{console.counted(tally.truncated, 'text')} of {tally.texts:,} longer than the model's window of "
            f"{tally.window} tokens: only the beginning was read"
        )
    if missing := tally.texts - tally.answered:
        console.warn(f"{console.counted(missing, 'text')} without a class: {'; '.join(tally.unanswered)}")
