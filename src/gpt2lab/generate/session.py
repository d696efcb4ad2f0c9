"""What `gpt2lab generate` does with a model once it knows everything: load, write, show."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from typing import Any

import torch

from gpt2lab.core import console
from gpt2lab.generate import interactive
from gpt2lab.generate.generate import Sample, compiles, write
from gpt2lab.generate.packed import Weights, weights_of
from gpt2lab.generate.settings import SamplingSettings
from gpt2lab.generate.streaming import InOrder, harmless
from gpt2lab.model.reading import find_model, read_language_model, tokenizer_of
from gpt2lab.text.tokenizer import Tokenizer


def load(
    source: str, settings: SamplingSettings, device: torch.device, tokenizer: str | None, rows: int = 1
) -> tuple[Weights, Tokenizer]:
    """Only the weights as they are written with stay in memory, not the model they come from."""
    place = find_model(source)
    model = read_language_model(place, device=device)
    packed = not compiles(device, rows, settings)
    return weights_of(model, settings.precision, packed=packed), tokenizer_of(place, tokenizer)


def write_out(
    source: str,
    prompts: Sequence[str],
    samples: int,
    settings: SamplingSettings,
    device: torch.device,
    tokenizer: str | None,
    *,
    as_json: bool,
) -> None:
    """Text that grows before one's eyes, or one JSON object a line as soon as it is there."""
    weights, words = load(source, settings, device, tokenizer, len(prompts) * samples)
    if as_json or not sys.stdout.isatty():
        for sample in _with_progress(weights, words, prompts, samples, settings):
            if as_json:
                console.result_line(record(sample, source, settings))
            else:
                _show(f"{_heading(sample.sample, samples)}{sample.prompt}{sample.text}\n")
                _show_details(sample)
        return

    def heading(order: int) -> str:
        return _heading(order % samples, samples) + harmless(prompts[order // samples])

    stream = InOrder(_show, heading)
    stream.begin()
    for sample in write(
        weights, words, prompts, samples, settings, listener=lambda row, piece: stream.hear(row, harmless(piece))
    ):
        _show("\n")
        console.say(f"[{sample.describe()}]")
        _show_details(sample)
        if stream.current + 1 < len(prompts) * samples:
            stream.begin()


def side_by_side(
    sources: Sequence[str],
    prompts: Sequence[str],
    samples: int,
    settings: SamplingSettings,
    device: torch.device,
    tokenizer: str | None,
    *,
    as_json: bool,
) -> None:
    """The same draws for every model, so that what differs is the models. One is in memory at a time."""
    found = []
    for source in sources:
        weights, words = load(source, settings, device, tokenizer, len(prompts) * samples)
        found.append(list(_with_progress(weights, words, prompts, samples, settings, source)))
        del weights
    for together in zip(*found):
        if as_json:
            for source, sample in zip(sources, together):
                console.result_line(record(sample, source, settings))
        else:
            first = together[0]
            rows = [
                (source, harmless(sample.text), sample.tokens, sample.finish)
                for source, sample in zip(sources, together)
            ]
            title = f"{_heading(first.sample, samples)}{harmless(first.prompt)}"
            console.table(title, ("model", "continuation", "tokens", "ended by"), rows)


def converse(source: str, settings: SamplingSettings, device: torch.device, tokenizer: str | None) -> None:
    weights, words = load(source, settings, device, tokenizer)
    console.say(f"{source} is ready; /help says what can be typed")
    with interactive.history():
        interactive.talk(weights, words, settings, input, lambda text: _show(harmless(text)))


def record(sample: Sample, source: str, settings: SamplingSettings) -> dict[str, Any]:
    """Everything that is needed to write the same text again."""
    values = sample.as_dict()
    if not settings.token_details:
        del values["token_details"]
    return {**values, "model": source, "settings": settings.as_dict()}


def _with_progress(
    weights: Weights,
    tokenizer: Tokenizer,
    prompts: Sequence[str],
    samples: int,
    settings: SamplingSettings,
    what: str = "writing",
) -> Iterator[Sample]:
    total = len(prompts) * samples * settings.max_new_tokens
    with console.progress(what, total, "tokens") as bar:
        for sample in write(weights, tokenizer, prompts, samples, settings, on_step=bar.advance):
            bar.skip(settings.max_new_tokens - sample.tokens)
            yield sample


def _heading(sample: int, samples: int) -> str:
    return f"--- sample {sample + 1} of {samples}\n" if samples > 1 else ""


def _show(text: str) -> None:
    """What was asked for: to standard output also when quiet, piece by piece."""
    sys.stdout.write(text)
    sys.stdout.flush()


def _show_details(sample: Sample) -> None:
    rows = [
        (
            repr(token["token"]),
            f"{token['probability']:.2%}",
            f"{token['surprise']:.1f}",
            f"{token['chance']:.2%}",
            ", ".join(f"{other['token']!r} {other['probability']:.0%}" for other in token["alternatives"]),
        )
        for token in sample.token_details
    ]
    if rows:
        console.table("", ("token", "probability", "surprise, bits", "chance", "likeliest"), rows)
