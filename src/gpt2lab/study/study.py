"""A recipe becomes a study folder: corpus, runs, samples, report. What is finished is not done again."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from gpt2lab.core import console, files, hardware, lines
from gpt2lab.core import settings as strict
from gpt2lab.core.console import counted
from gpt2lab.core.errors import INTERRUPTED, Interrupted, UserError
from gpt2lab.generate.generate import generate
from gpt2lab.model.config import GPT2Config, flops_per_token
from gpt2lab.model.reading import find_model, read_config, read_language_model
from gpt2lab.study import facts, measuring, report
from gpt2lab.study.pretrain import pretrain
from gpt2lab.study.recipe import Recipe, tuning
from gpt2lab.study.run_folder import Intent
from gpt2lab.study.search import search
from gpt2lab.study.settings import Axis, CorpusSettings, RunSettings
from gpt2lab.text import tokenizer as tokenizers
from gpt2lab.text.prepare import prepare

Point = dict[str, str]


def run(recipe: Recipe, out: Path, device: str = "auto", written: str | None = None, only: str | None = None) -> Path:
    """The address of the report, which shows the reasons beside the settings of the recipe as it was `written`."""
    if only is not None and only not in recipe.variants:
        raise UserError(
            f"there is no variant {only!r}", place="--only", way_out=f"one of: {', '.join(recipe.variants) or 'none'}"
        )
    for wanted in recipe.measures:
        measuring.settings_of(wanted)
    _keep_recipe(recipe, out)
    if written is not None:
        files.write_text(out / "recipe.yaml", written)
    base = recipe.base or str(_pretrained(recipe, out, device))
    if recipe.base is None:
        measuring.measure(recipe, base, Path(base), base, device)
    elif recipe.untouched:
        _untouched(recipe, base, out, device)
    best = _searched(recipe, base, out, device)
    for variant in [only] if only else recipe.variants:
        for seed in recipe.seeds:
            _tuned(recipe, variant, seed, base, best, out, device)
    return report.write(out)


def plan(recipe: Recipe, device: str = "auto") -> dict[str, Any]:
    """What the recipe would do, as far as it follows from its settings; nothing is written."""
    config = facts.config_of(recipe)
    described, parameters = facts.describe_config(config)
    found: dict[str, Any] = {
        "data": recipe.data.source,
        "tokenizer": recipe.data.tokenizer,
        "base": recipe.base,
        "parameters": parameters,
        "seeds": list(recipe.seeds),
        "published": recipe.published,
    }
    if recipe.base is None:
        console.say(f"prepare {recipe.data.source} with the tokenizer {recipe.data.tokenizer}")
        console.say(f"pretrain: {described}")
        found |= _plan_of_pretraining(recipe, config, device)
    else:
        console.say(f"base {recipe.base}: {described}; data {recipe.data.source}")
    if recipe.over:
        console.say("search: " + "; ".join(f"{key} over {values}" for key, values in recipe.over.items()))
        found["over"] = recipe.over
    if recipe.variants:
        console.say(f"tune {counted(len(recipe.variants), 'variant')}:")
        found["variants"] = {name: facts.of_variant(recipe, name, config) for name in recipe.variants}
        for name, about in found["variants"].items():
            facts.say(name, about, len(recipe.seeds))
    if recipe.measures:
        console.say(
            "measure: "
            + "; ".join(f"{wanted.protocol} on {wanted.data or recipe.data.source}" for wanted in recipe.measures)
        )
    for what, said in recipe.published.items():
        console.say(f"published: {what}: {said}")
    return found


def _plan_of_pretraining(recipe: Recipe, config: GPT2Config, device: str) -> dict[str, Any]:
    found = facts.pretraining(recipe, config)
    if "tokens" in found:
        found["at_least_seconds"] = _at_least(recipe, config, found["tokens"], found["tokens_a_row"], device)
        console.say(
            f"   {counted(found['steps'], 'step')} of {counted(found['rows_a_step'], 'row')} of "
            f"{found['tokens_a_row']} tokens: {found['tokens']:,} tokens, "
            f"at least {console.duration(found['at_least_seconds'])} here"
        )
    return found


def _at_least(recipe: Recipe, config: GPT2Config, tokens: int, block: int, wanted: str) -> float:
    """Seconds, if this machine did nothing but the matrix products, at the rate it reaches alone."""
    assert recipe.train is not None
    device = hardware.choose_device(wanted)
    precision = recipe.train.precision if recipe.train.precision != "fp16" or device.type == "cuda" else "bf16"
    rate = hardware.matmul_rate(device, hardware.choose_precision(precision, device))
    return tokens * flops_per_token(config, block) / rate


def _keep_recipe(recipe: Recipe, out: Path) -> None:
    path = out / "study.json"
    if (out / "run.json").is_file():
        raise UserError("a run is here, not a study", place=out, way_out="choose another --out")
    wanted = {key: value for key, value in recipe.as_dict().items() if key != "seeds"}  # more may come later
    if path.is_file() and (changed := strict.differences(files.read_json(path), wanted)):
        raise UserError(
            "a study with other settings is here: " + "; ".join(changed), place=out, way_out="choose another --out"
        )
    files.write_json(path, recipe.as_dict())


def _pretrained(recipe: Recipe, out: Path, device: str) -> Path:
    local = Path(recipe.data.local) if recipe.data.local else None
    corpus = prepare(
        recipe.data.source, out / "corpus", recipe.data.tokenizer, recipe.prepare, columns=recipe.data, local=local
    )
    assert recipe.model is not None and recipe.train is not None
    settings = RunSettings(
        data=CorpusSettings(source=str(corpus.folder)), device=device, model=recipe.model, train=recipe.train
    )
    place = out / "runs" / "base"
    pretrain(settings, place, Intent(resume=True))
    _samples(recipe, str(place), place, device)
    return place.resolve()


def _searched(recipe: Recipe, base: str, out: Path, device: str) -> Point:
    """The best values of what is searched; nothing where nothing is."""
    if not recipe.over:
        return {}
    first = tuning(recipe, next(iter(recipe.variants)), base).model_copy(update={"device": device})
    axes = [Axis(key, values) for key, values in recipe.over.items()]
    return search(first, axes, recipe.search, out / "search")["best"]["point"]


def _tuned(recipe: Recipe, variant: str, seed: int, base: str, best: Point, out: Path, device: str) -> None:
    """In a process of its own: its memory is measured alone, and where it fails the study goes on."""
    name = variant if len(recipe.seeds) == 1 else f"{variant}-seed-{seed}"
    place, settings = out / "runs" / name, tuning(recipe, variant, base)
    overrides = [*(f"{key}={value}" for key, value in best.items()), f"train.seed={seed}"]
    settings = strict.resolve(type(settings), values={**settings.as_dict(), "device": device}, overrides=overrides)
    written = out / "settings" / f"{name}.yaml"
    files.write_text(written, yaml.safe_dump(settings.as_dict(), sort_keys=False, allow_unicode=True))
    console.say(f"variant {name}: {place}")
    goes_on = ["--resume"] if (place / "run.json").is_file() else [str(written)]
    command = [sys.executable, "-m", "gpt2lab", "finetune", *goes_on, "--out", str(place)]
    code = subprocess.run(command, stdout=subprocess.DEVNULL, check=False).returncode
    if code == INTERRUPTED:
        raise Interrupted(f"stopped in {name}, saved", f"gpt2lab run {recipe.name} --out {out}")
    if code:
        console.warn(f"{name} failed, and the study goes on without it")
        files.write_json(place / "failed.json", {"variant": variant, "seed": seed, "exit_code": code})
        return
    (place / "failed.json").unlink(missing_ok=True)
    _samples(recipe, str(place), place, device)
    measuring.measure(recipe, str(place), place, base, device)


def _untouched(recipe: Recipe, base: str, out: Path, device: str) -> None:
    place = out / "runs" / "untouched"
    _samples(recipe, base, place, device)
    measuring.measure(recipe, base, place, base, device)


def _samples(recipe: Recipe, source: str, place: Path, device: str) -> None:
    path, folder = place / "samples.jsonl", find_model(source)
    if path.is_file() or not recipe.prompts or read_config(folder).labels:
        return
    model = read_language_model(folder, device=hardware.choose_device(device))
    tokenizer = tokenizers.load(folder)
    found = generate(model, tokenizer, recipe.prompts, 1, recipe.samples)
    for sample in found:
        console.say(f"sample: {sample.prompt}{sample.text}".replace("\n", " "))
    files.write_text(path, "".join(lines.encode(sample.as_dict()) for sample in found))
