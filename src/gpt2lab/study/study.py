"""A recipe becomes a study folder: corpus, run, samples, report. What is finished is not done again."""

from __future__ import annotations

from pathlib import Path

from gpt2lab.core import console, files, hardware, lines
from gpt2lab.core.errors import UserError
from gpt2lab.generate.generate import generate
from gpt2lab.model.reading import read_language_model
from gpt2lab.study import report
from gpt2lab.study.recipe import Recipe
from gpt2lab.study.run import pretrain
from gpt2lab.study.settings import RunSettings
from gpt2lab.text import tokenizer as tokenizers
from gpt2lab.text.prepare import prepare


def run(recipe: Recipe, out: Path, device: str = "auto", dry_run: bool = False) -> Path | None:
    """The address of the report."""
    _keep_recipe(recipe, out)
    corpus = prepare(recipe.data.source, out / "corpus", recipe.data.tokenizer, recipe.prepare)
    settings = RunSettings(data=str(corpus.folder), device=device, model=recipe.model, train=recipe.train)
    pretrain(settings, out / "runs" / "base", dry_run=dry_run, resume=True)
    if dry_run:
        return None
    _samples(recipe, out / "runs" / "base", device)
    return report.write(out)


def _keep_recipe(recipe: Recipe, out: Path) -> None:
    path = out / "study.json"
    if path.is_file() and files.read_json(path) != recipe.as_dict():
        raise UserError("a study with other settings is here", place=out, way_out="choose another --out")
    if not path.is_file():
        files.write_json(path, recipe.as_dict())


def _samples(recipe: Recipe, run_folder: Path, device: str) -> None:
    path = run_folder / "samples.jsonl"
    if path.is_file():
        return
    console.say("samples")
    model = read_language_model(run_folder, device=hardware.choose_device(device))
    tokenizer = tokenizers.load(run_folder / "model")
    found = [sample for prompt in recipe.prompts for sample in generate(model, tokenizer, prompt, 1, recipe.samples)]
    files.write_text(path, "".join(lines.encode(sample.as_dict()) for sample in found))
