"""`gpt2lab generate`: a model and prompts become texts."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from gpt2lab.cli.common import Device, Json, OtherTokenizer, Quiet, only_values, prepare_console, verb

Models = Annotated[list[str] | None, typer.Argument(metavar="MODEL... [key.path=value]...", show_default=False)]


def register(app: typer.Typer) -> None:
    app.command(**verb(generate="gpt2lab.generate.settings:SamplingSettings"))(generate)


def generate(
    arguments: Models = None,
    prompt: Annotated[list[str] | None, typer.Option("--prompt", help="a text to continue; may be repeated")] = None,
    file: Annotated[str | None, typer.Option("--file", help=".txt, one a line; .jsonl; - is standard input")] = None,
    unprompted: Annotated[bool, typer.Option("--unprompted", help="begin a text from nothing")] = False,
    interactive: Annotated[bool, typer.Option("--interactive", help="prompt after prompt, at the terminal")] = False,
    samples: Annotated[int, typer.Option("--samples", min=1, help="how many continuations of each")] = 1,
    max_new_tokens: Annotated[int | None, typer.Option("--max-new-tokens", help="100 unless given")] = None,
    min_new_tokens: Annotated[int | None, typer.Option("--min-new-tokens")] = None,
    temperature: Annotated[float | None, typer.Option("--temperature", help="0 always takes the likeliest")] = None,
    top_k: Annotated[int | None, typer.Option("--top-k", help="0 keeps all")] = None,
    top_p: Annotated[float | None, typer.Option("--top-p")] = None,
    min_p: Annotated[float | None, typer.Option("--min-p")] = None,
    repetition_penalty: Annotated[float | None, typer.Option("--repetition-penalty")] = None,
    no_repeat_ngram: Annotated[int | None, typer.Option("--no-repeat-ngram")] = None,
    stop: Annotated[list[str] | None, typer.Option("--stop", help="a text that ends a sample; may be repeated")] = None,
    stop_token: Annotated[
        list[str] | None, typer.Option("--stop-token", help="a token that does: its number or its text")
    ] = None,
    seed: Annotated[int | None, typer.Option("--seed")] = None,
    ignore_eos: Annotated[bool | None, typer.Option("--ignore-eos", help="go on past end-of-text")] = None,
    token_details: Annotated[
        bool | None, typer.Option("--token-details", help="probability, surprise, alternatives of each token")
    ] = None,
    tokenizer: OtherTokenizer = None,
    device: Device = "auto",
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Continue texts; with several models, side by side.

    Example: gpt2lab generate runs/tiny --prompt "The module" --samples 3 --temperature 0.8 --top-k 50
    """
    from gpt2lab.core import hardware, settings
    from gpt2lab.core.errors import UserError
    from gpt2lab.generate.settings import Generation

    prepare_console(json, quiet)
    models, overrides = only_values(arguments, "a MODEL", count=None)
    if not models:
        raise UserError("which model should write is missing", way_out='gpt2lab generate MODEL --prompt "…"')
    if interactive and (len(models) > 1 or json or prompt or file):
        raise UserError("--interactive goes with one MODEL and the settings alone")
    options = {
        "max_new_tokens": max_new_tokens,
        "min_new_tokens": min_new_tokens,
        "temperature": temperature,
        "top_k": top_k,
        "top_p": top_p,
        "min_p": min_p,
        "repetition_penalty": repetition_penalty,
        "no_repeat_ngram": no_repeat_ngram,
        "stop": stop,
        "stop_tokens": stop_token,
        "seed": seed,
        "ignore_eos": ignore_eos,
        "token_details": token_details,
    }
    given: dict[str, Any] = {name: value for name, value in options.items() if value is not None}
    chosen = settings.resolve(Generation, values={"generate": given}, overrides=overrides).generate
    prompts = [] if interactive else _prompts(prompt, file, unprompted)
    from gpt2lab.generate import session

    where = hardware.choose_device(device)
    if interactive:
        session.converse(models[0], chosen, where, tokenizer)
    elif len(models) > 1:
        session.side_by_side(models, prompts, samples, chosen, where, tokenizer, as_json=json)
    else:
        session.write_out(models[0], prompts, samples, chosen, where, tokenizer, as_json=json)


def _prompts(given: list[str] | None, file: str | None, unprompted: bool) -> list[str]:
    import sys

    from gpt2lab.core.errors import UserError
    from gpt2lab.generate.prompts import read_prompts

    if unprompted:
        if given or file:
            raise UserError("--unprompted begins from nothing, and there is a prompt")
        return [""]
    if given and not all(given):
        raise UserError("the prompt is empty", way_out="give some text; --unprompted begins a text from nothing")
    if not given and not file and sys.stdin.isatty():
        raise UserError("there is no prompt", way_out='--prompt "…", --file FILE, --interactive, or a pipe')
    return [*(given or []), *(read_prompts(file) if file else [] if given else read_prompts("-"))]
