"""A recipe becomes a study folder: corpus, run, samples, report. What is finished is not done again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gpt2lab.core import console, files, hardware, lines
from gpt2lab.core import settings as strict
from gpt2lab.core.console import counted
from gpt2lab.core.errors import UserError
from gpt2lab.generate.generate import generate
from gpt2lab.model.config import GPT2_VOCABULARY, GPT2Config, describe, flops_per_token, parameter_count
from gpt2lab.model.reading import read_language_model
from gpt2lab.study import report
from gpt2lab.study.pretrain import pretrain
from gpt2lab.study.recipe import Recipe
from gpt2lab.study.run_folder import Intent
from gpt2lab.study.settings import CorpusSettings, RunSettings
from gpt2lab.text import tokenizer as tokenizers
from gpt2lab.text.prepare import prepare
from gpt2lab.train.plan import batch_rows, limits
from gpt2lab.train.schedule import warmup_steps


def run(recipe: Recipe, out: Path, device: str = "auto") -> Path:
    """The address of the report."""
    _keep_recipe(recipe, out)
    corpus = prepare(recipe.data.source, out / "corpus", recipe.data.tokenizer, recipe.prepare, columns=recipe.data)
    settings = RunSettings(
        data=CorpusSettings(source=str(corpus.folder)), device=device, model=recipe.model, train=recipe.train
    )
    pretrain(settings, out / "runs" / "base", Intent(resume=True))
    _samples(recipe, out / "runs" / "base", device)
    return report.write(out)


def plan(recipe: Recipe, device: str = "auto") -> dict[str, Any]:
    """What the recipe would do, as far as it follows from its settings; nothing is written."""
    own = recipe.data.tokenizer in ("builtin", "own")
    vocabulary = recipe.prepare.vocabulary if own else GPT2_VOCABULARY
    config = recipe.model.config(vocabulary, vocabulary - 1)
    block = recipe.train.block or config.context
    rows = batch_rows(recipe.train, block)
    facts: dict[str, Any] = {
        "data": recipe.data.source,
        "tokenizer": recipe.data.tokenizer,
        "parameters": parameter_count(config),
    }
    console.say(f"1. prepare {recipe.data.source} with the tokenizer {recipe.data.tokenizer}")
    console.say(f"2. pretrain: {describe(config)}")
    known = limits(recipe.train, None, rows, block)
    if known:
        steps = min(known.values())
        facts |= {"steps": steps, "warmup_steps": warmup_steps(steps, recipe.train), "tokens": steps * rows * block}
        facts["at_least_seconds"] = _at_least(recipe, config, facts["tokens"], block, device)
        size = f"{counted(steps, 'step')} of {counted(rows, 'row')} of {block} tokens: {facts['tokens']:,} tokens"
        console.say(f"   {size}, at least {console.duration(facts['at_least_seconds'])} here")
    samples = counted(len(recipe.prompts), "sample")
    console.say(f"3. measure perplexity/blocks on validation, write {samples} and the report")
    return facts


def _at_least(recipe: Recipe, config: GPT2Config, tokens: int, block: int, wanted: str) -> float:
    """Seconds, if this machine did nothing but the matrix products, at the rate it reaches alone."""
    device = hardware.choose_device(wanted)
    precision = recipe.train.precision if recipe.train.precision != "fp16" or device.type == "cuda" else "bf16"
    rate = hardware.matmul_rate(device, hardware.choose_precision(precision, device))
    return tokens * flops_per_token(config, block) / rate


def _keep_recipe(recipe: Recipe, out: Path) -> None:
    path = out / "study.json"
    if (out / "run.json").is_file():
        raise UserError("a run is here, not a study", place=out, way_out="choose another --out")
    if path.is_file() and (changed := strict.differences(files.read_json(path), recipe.as_dict())):
        raise UserError(
            "a study with other settings is here: " + "; ".join(changed), place=out, way_out="choose another --out"
        )
    if not path.is_file():
        files.write_json(path, recipe.as_dict())


def _samples(recipe: Recipe, run_folder: Path, device: str) -> None:
    path = run_folder / "samples.jsonl"
    if path.is_file():
        return
    model = read_language_model(run_folder, device=hardware.choose_device(device))
    tokenizer = tokenizers.load(run_folder / "model")
    found = [sample for prompt in recipe.prompts for sample in generate(model, tokenizer, prompt, 1, recipe.samples)]
    for sample in found:
        console.say(f"sample: {sample.prompt}{sample.text}".replace("\n", " "))
    files.write_text(path, "".join(lines.encode(sample.as_dict()) for sample in found))
