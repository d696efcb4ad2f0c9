"""A recipe becomes a study folder: corpus, runs, samples, report. What is finished is not done again."""

from __future__ import annotations

import json
import shlex
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from gpt2lab.core import console, files, hardware, lines, lock
from gpt2lab.core import settings as strict
from gpt2lab.core.errors import INTERRUPTED, Interrupted, UserError
from gpt2lab.generate.generate import generate
from gpt2lab.model.reading import find_model, read_config, read_language_model
from gpt2lab.study import launch, measuring, report, run_folder, stages
from gpt2lab.study.axis import at
from gpt2lab.study.data import refuse_unknown
from gpt2lab.study.pretrain import pretrain
from gpt2lab.study.recipe import (
    BASE,
    Recipe,
    chosen,
    is_untouched,
    needed_searches,
    run_name,
    searched_with,
    seeded,
    seeds_of,
    trained,
    tuning,
    with_seeds,
)
from gpt2lab.study.run_folder import Intent
from gpt2lab.study.search import search
from gpt2lab.study.settings import CorpusSettings, RunSettings, resumed
from gpt2lab.text import tokenizer as tokenizers
from gpt2lab.text.prepare import prepare
from gpt2lab.text.sources import chosen_columns

Point = dict[str, str]


def run(
    recipe: Recipe,
    out: Path,
    device: str = "auto",
    written: str | None = None,
    only: str | None = None,
    seeds: Sequence[int] = (),
) -> Path:
    """The address of the report, which shows the reasons beside the settings of the recipe as it was `written`.

    `only` a variant, or `base` for all that comes before variants; `seeds` in place of the recipe's own.
    """
    variants = chosen(recipe, only)
    for wanted in recipe.measures:
        measuring.settings_of(wanted)
    _refuse_unknown_data(recipe, variants)
    with lock.locked(out / ".lock", wait=True):  # one of several jobs does what all need, and the others find it done
        _keep_recipe(recipe, out, written)
        ready, base = _begun(recipe, out, device)
    best = _searched(ready, variants, base, out, device)
    for variant in variants:
        if is_untouched(recipe, variant):
            _as_it_is(ready, recipe.variants[variant]["base"], out / "runs" / variant, device)
            continue
        for seed in seeds or seeds_of(recipe, variant):
            _tuned(ready, variant, seed, base, best.get(searched_with(recipe, variant) or "", {}), out, device)
    return report.write(out)


def _refuse_unknown_data(recipe: Recipe, variants: Sequence[str]) -> None:
    for name in variants:
        if not is_untouched(recipe, name):
            data = tuning(recipe, name, recipe.base or "").data
            local = Path(data.local) if data.local else None
            for source in (data.source, *data.also):
                refuse_unknown(source, local, chosen_columns(data), f"{recipe.name}, the data of {name}")


def _begun(recipe: Recipe, out: Path, device: str) -> tuple[Recipe, str]:
    """The recipe with the folders of its data, and its base, measured."""
    texts = stages.written(recipe.synthesize, out)
    base = recipe.base or str(_pretrained(recipe, out, device))
    ready = stages.with_places(recipe, texts, base, out)
    if recipe.base is None:
        measuring.measure(ready, base, Path(base), base, device)
    elif recipe.untouched:
        _as_it_is(ready, base, out / "runs" / "untouched", device)
    return ready, base


def commands(
    recipe: Recipe,
    name: str,
    out: Path,
    overrides: Sequence[str],
    device: str = "auto",
    only: str | None = None,
    seeds: Sequence[int] = (),
) -> list[str]:
    """What all variants share first, and then one line a training, in any order and on any machine that sees `out`."""
    recipe, on = with_seeds(recipe, seeds), [] if device == "auto" else ["--device", device]
    begin = ["gpt2lab", "run", name, "--out", str(out), *on, *overrides]
    variants = chosen(recipe, only)
    lines = [] if only in variants else [[*begin, "--only", BASE]]
    for variant in variants:
        each = [] if is_untouched(recipe, variant) else seeds_of(recipe, variant)
        lines += [[*begin, "--only", variant, "--seeds", str(seed)] for seed in each] or [[*begin, "--only", variant]]
    return [shlex.join(line) for line in lines]


def _keep_recipe(recipe: Recipe, out: Path, written: str | None) -> None:
    path = out / "study.json"
    run_folder.refuse_what_else_is_here(out, path.name)
    if path.is_file():
        _refuse_another(_without_seeds(files.read_json(path)), _without_seeds(recipe.as_dict()), out)
    files.write_json(path, recipe.as_dict())
    resolved = yaml.safe_dump(recipe.as_dict(), sort_keys=False, allow_unicode=True)
    files.write_text(out / "resolved.yaml", resolved)  # what was typed after a recipe's name is in it as well
    if written is not None and written != resolved:
        files.write_text(out / "recipe.yaml", written)


def _refuse_another(there: dict[str, Any], wanted: dict[str, Any], out: Path) -> None:
    if changed := strict.differences(there, wanted):
        raise UserError(
            "a study with other settings is here: " + "; ".join(changed), place=out, way_out="choose another --out"
        )


def _without_seeds(values: dict[str, Any]) -> dict[str, Any]:
    """More of them may come later, and other measures: neither changes a training."""
    variants = {
        name: {key: value for key, value in own.items() if key != "seeds"} for name, own in values["variants"].items()
    }
    kept = {key: value for key, value in values.items() if key not in ("seeds", "measures")}
    return {**kept, "variants": variants}


def _pretrained(recipe: Recipe, out: Path, device: str) -> Path:
    local = Path(recipe.data.local) if recipe.data.local else None
    corpus = prepare(
        recipe.data.source, out / "corpus", recipe.data.tokenizer, recipe.prepare, columns=recipe.data, local=local
    )
    assert recipe.model is not None and recipe.train is not None
    settings = RunSettings(
        data=CorpusSettings(source=str(corpus.folder)),
        device=device,
        model=recipe.model,
        train=recipe.train,
        probe=recipe.probe,
    )
    place = out / "runs" / "base"
    pretrain(settings, place, Intent(resume=True))
    _samples(recipe, str(place), place, device)
    return place.resolve()


def _searched(recipe: Recipe, variants: Sequence[str], base: str, out: Path, device: str) -> dict[str, Point]:
    """By the variant that was searched, its best values; searches that no chosen variant needs are left alone."""
    seed = _of_searches(recipe)
    found = {}
    for name, axes in needed_searches(recipe, variants).items():
        console.say(f"search: {', '.join(f'{axis.key} over {axis.text}' for axis in axes)}, for {name}")
        settings = at(tuning(recipe, name, base), {"device": device, "train.seed": str(seed)})
        found[name] = search(settings, axes, recipe.search, out / "searches" / name, wait=True)["best"]["point"]
    return found


def _of_searches(recipe: Recipe) -> int:
    """A seed that no variant has: the winner is compared by others than the one it has won with."""
    seeds = [seed for variant in trained(recipe) for seed in seeds_of(recipe, variant)]
    return max(seeds, default=0) + recipe.search.fresh_seed


def _tuned(recipe: Recipe, variant: str, seed: int, base: str, best: Point, out: Path, device: str) -> None:
    """In a process of its own: its memory is measured alone, and where it fails the study goes on."""
    place, settings = _place(recipe, variant, seed, out / "runs"), tuning(recipe, variant, base)
    name = place.name
    overrides = [*(f"{key}={value}" for key, value in best.items()), f"train.seed={seed}"]
    settings = strict.resolve(type(settings), values={**settings.as_dict(), "device": device}, overrides=overrides)
    written = out / "settings" / f"{name}.yaml"
    files.write_text(written, yaml.safe_dump(settings.as_dict(), sort_keys=False, allow_unicode=True))
    console.say(f"variant {name}: {place}")
    if lock.holder(place / ".lock"):  # of a study that was killed a moment ago, or another machine's
        with lock.locked(place / ".lock", wait=True):
            pass
    goes_on = ["--resume"] if (place / "run.json").is_file() else [str(written)]
    progress = subprocess.DEVNULL if console.is_quiet() else None  # why it failed stands in its last line
    words = ["finetune", *goes_on, "--out", str(place), "--json"]
    done = launch.to_its_end(words, stdout=subprocess.PIPE, stderr=progress)
    if done.returncode == INTERRUPTED:
        raise Interrupted(f"stopped in {name}, saved", shlex.join(["gpt2lab", "run", recipe.name, "--out", str(out)]))
    if done.returncode:
        reason = _why(done)
        console.warn(f"{name} failed, and the study goes on without it: {reason}")
        about = {"variant": variant, "seed": seed, "exit_code": done.returncode, "reason": reason}
        files.write_json(place / "failed.json", about)
        return
    (place / "failed.json").unlink(missing_ok=True)
    _samples(recipe, str(place), place, device)
    measuring.measure(recipe, str(place), place, base, device)


def _place(recipe: Recipe, variant: str, seed: int, runs: Path) -> Path:
    """Where this seed was begun already, when the recipe wanted fewer of them or more; or where it belongs now."""
    for name in (variant, seeded(variant, seed)):
        if (runs / name / "run.yaml").is_file() and resumed(runs / name).train.seed == seed:
            return runs / name
    return runs / run_name(recipe, variant, seed)


def _why(done: subprocess.CompletedProcess[str]) -> str:
    """What the last line of `--json` says, or how the process ended."""
    if done.returncode < 0:
        killed = signal.Signals(-done.returncode).name
        return f"ended by {killed}" + (", as a system does that has no memory left" if killed == "SIGKILL" else "")
    try:
        return str(json.loads(done.stdout.strip().splitlines()[-1])["error"]["cause"])
    except (IndexError, ValueError, KeyError, TypeError):
        return f"exit code {done.returncode}"


def _as_it_is(recipe: Recipe, model: str, place: Path, device: str) -> None:
    _samples(recipe, model, place, device)
    measuring.measure(recipe, model, place, model, device)


def _samples(recipe: Recipe, source: str, place: Path, device: str) -> None:
    path, folder = place / "samples.jsonl", find_model(source)
    if path.is_file() or not recipe.prompts or read_config(folder).labels:
        return
    model = read_language_model(folder, device=hardware.choose_device(device))
    tokenizer = tokenizers.load(folder)
    settings = recipe.samples.model_copy(update={"token_details": True})  # the report shows each token's surprise
    found = generate(model, tokenizer, recipe.prompts, recipe.draws, settings)
    for sample in found:
        console.say(f"sample: {sample.prompt}{sample.text}".replace("\n", " "))
    files.write_text(path, "".join(lines.encode(sample.as_dict()) for sample in found))
