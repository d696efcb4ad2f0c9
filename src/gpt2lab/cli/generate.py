"""`gpt2lab generate`: a model and a prompt become text."""

from __future__ import annotations

from typing import Annotated

import typer

from gpt2lab.cli.common import Device, Json, Model, OtherTokenizer, Quiet, only_values, prepare_console, refuse_settings


def register(app: typer.Typer) -> None:
    app.command()(generate)


def generate(
    arguments: Model = None,
    prompt: Annotated[str, typer.Option("--prompt", help="the text to continue")] = "",
    samples: Annotated[int, typer.Option("--samples", min=1, help="how many continuations")] = 1,
    max_new_tokens: Annotated[int, typer.Option("--max-new-tokens", min=1)] = 100,
    temperature: Annotated[float, typer.Option("--temperature", min=0, help="0 always takes the likeliest")] = 1.0,
    top_k: Annotated[int, typer.Option("--top-k", min=0, help="0 keeps all")] = 0,
    top_p: Annotated[float, typer.Option("--top-p", min=0, max=1)] = 1.0,
    seed: Annotated[int, typer.Option("--seed", min=0)] = 1,
    ignore_eos: Annotated[bool, typer.Option("--ignore-eos", help="go on past end-of-text")] = False,
    tokenizer: OtherTokenizer = None,
    device: Device = "auto",
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Continue a text.

    Example: gpt2lab generate runs/tiny --prompt "The module" --samples 3 --temperature 0.8 --top-k 50
    """
    from gpt2lab.core import console, hardware, settings
    from gpt2lab.generate.settings import SamplingSettings

    prepare_console(json, quiet)
    (source,), overrides = only_values(arguments, "one MODEL")
    refuse_settings(overrides)
    values = {
        "max_new_tokens": max_new_tokens,
        "temperature": temperature,
        "top_k": top_k,
        "top_p": top_p,
        "seed": seed,
    }
    chosen = settings.resolve(SamplingSettings, values=values)
    from gpt2lab.generate.generate import generate as sample_from
    from gpt2lab.model.reading import find_model, read_language_model, tokenizer_of

    place = find_model(source)
    model = read_language_model(place, device=hardware.choose_device(device))
    for sample in sample_from(model, tokenizer_of(place, tokenizer), prompt, samples, chosen, ignore_eos):
        if json:
            console.result_line(sample.as_dict())
        else:
            made = console.counted(sample.tokens, "token")
            console.say(f"--- sample {sample.sample + 1} of {samples}: {made}, ended by {sample.finish}")
            console.show(sample.prompt + sample.text)
