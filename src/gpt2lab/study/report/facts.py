"""What a study's folder holds, read once: runs by variant and seed, and what is missing from it."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from gpt2lab.core import files, lines
from gpt2lab.core.errors import UserError
from gpt2lab.core.settings import read_yaml, resolve
from gpt2lab.measure import records
from gpt2lab.study import recipe as recipes

SEEDED = re.compile(r"(.+)-seed-(\d+)")
BASES = recipes.BASES  # the first of them that there is, is what the others are compared with


@dataclass(frozen=True)
class Run:
    name: str
    variant: str
    seed: int | None
    folder: Path
    about: dict[str, Any]  # run.json; nothing for a model that was only measured
    settings: dict[str, Any]
    metrics: list[dict[str, Any]]
    records: list[dict[str, Any]]
    samples: list[dict[str, Any]]
    problem: str | None = None  # why it has no results, or not all


@dataclass(frozen=True)
class Facts:
    folder: Path
    name: str
    question: str
    recipe: dict[str, Any]
    runs: tuple[Run, ...]
    searches: dict[str, dict[str, Any]] = field(default_factory=dict)  # by the variant that was searched
    corpus: dict[str, Any] | None = None
    missing: tuple[str, ...] = ()
    commands: tuple[str, ...] = field(default=())

    @property
    def variants(self) -> dict[str, list[Run]]:
        """Their runs by seed, bases first, then as the recipe lists them."""
        names = list(dict.fromkeys(run.variant for run in self.runs))
        return {name: [run for run in self.runs if run.variant == name] for name in names}


def of_study(study: Path) -> Facts:
    if not (study / "study.json").is_file():
        raise UserError("no study is here", place=study, way_out="name the folder that gpt2lab run made")
    recipe = files.read_json(study / "study.json")
    wanted = list(recipe.get("variants") or ())
    folders = [folder for folder in sorted((study / "runs").glob("*")) if folder.is_dir()]
    missing: list[str] = []
    runs = [_run(folder, *_variant_and_seed(folder, recipe), missing) for folder in folders]
    order = {name: place for place, name in enumerate([*BASES, *wanted])}
    runs.sort(key=lambda run: (order.get(run.variant, len(order)), run.variant, run.seed or 0, run.name))
    found = {run.variant for run in runs}
    missing += [f"{name}: has not been trained" for name in wanted if name not in found]
    name = str(recipe.get("name", study.name))
    return Facts(
        study,
        name,
        str(recipe.get("question") or name),
        recipe,
        tuple(runs),
        {path.parent.name: files.read_json(path) for path in sorted((study / "searches").glob("*/result.json"))},
        _json(study / "corpus" / "corpus.json"),
        tuple(missing),
        tuple(_commands(study, recipe, runs)),
    )


def of_runs(folders: Sequence[Path]) -> Facts:
    """Runs from anywhere; the first is what the others are compared with. Seeds of one training lie in one folder."""
    missing: list[str] = []
    found: list[tuple[Path, str, int | None]] = []
    for folder in folders:
        seeds = sorted(folder.glob("seed-*/run.json"), key=lambda path: path.parent.name)
        if not seeds and not (folder / "run.json").is_file() and not (folder / "results").is_dir():
            raise UserError("no run is here", place=folder, way_out="name folders that pretrain or finetune made")
        found += [(path.parent, folder.name, _seed(path.parent)) for path in seeds]
        found += [] if seeds else [(folder, *_variant_and_seed(folder, {}))]
    _refuse_same_names(found)
    runs = tuple(_run(folder, variant, seed, missing) for folder, variant, seed in found)
    names = list(dict.fromkeys(run.variant for run in runs))
    question = f"How do {', '.join(names[:-1])} and {names[-1]} compare?"
    return Facts(Path(), "comparison", question, {}, runs, missing=tuple(missing))


def _refuse_same_names(found: Sequence[tuple[Path, str, int | None]]) -> None:
    names = [(variant, seed) for _, variant, seed in found]
    if twice := [place for place, variant, seed in found if names.count((variant, seed)) > 1]:
        raise UserError(
            "two runs have the same name", place=twice[-1], way_out="give them folders of different names, or each once"
        )
    if len({variant for variant, _ in names}) < 2:
        raise UserError("one variant is no comparison", way_out="name at least two runs")


def _run(folder: Path, variant: str, seed: int | None, missing: list[str]) -> Run:
    about = _json(folder / "run.json") or {}
    problem = _problem(folder, about)
    if problem:
        missing.append(f"{folder.name}: {problem}")
    gaps = _json(folder / "unmeasured.json") or {}
    missing += [f"{folder.name}: {protocol} was not measured: {why}" for protocol, why in gaps.items()]
    return Run(
        folder.name,
        variant,
        seed,
        folder,
        about,
        _settings(folder),
        list(lines.read(folder / "metrics.jsonl")),
        list(_records(folder, missing)),
        list(lines.read(folder / "samples.jsonl")),
        problem,
    )


def _settings(folder: Path) -> dict[str, Any]:
    return read_yaml(folder / "run.yaml")[0] if (folder / "run.yaml").is_file() else {}


def _records(folder: Path, missing: list[str]) -> Iterator[dict[str, Any]]:
    for path in sorted((folder / "results").glob("*.json")):
        try:
            yield records.read(path)
        except UserError as error:
            missing.append(f"{folder.name}: a result is left out: {error.cause} ({Path(str(error.place)).name})")


def _problem(folder: Path, about: dict[str, Any]) -> str | None:
    failed = _json(folder / "failed.json")
    if failed is not None:
        reason = failed.get("reason") or (f"exit code {failed['exit_code']}" if "exit_code" in failed else None)
        return f"failed: {reason or 'no reason was kept'}"
    if about and about.get("state") != "finished":
        return "has not come to its end"
    return None


def _variant_and_seed(folder: Path, recipe: dict[str, Any]) -> tuple[str, int | None]:
    """A variant may itself be called `x-seed-1`: then it is one."""
    variants = recipe.get("variants") or {}
    if folder.name in variants:
        seeds = variants[folder.name].get("seeds") or recipe.get("seeds") or [None]
        wanted = seeds[0] if isinstance(seeds, list) else seeds
        return folder.name, _settings(folder).get("train", {}).get("seed", wanted)
    named = SEEDED.fullmatch(folder.name)
    return (named[1], int(named[2])) if named else (folder.name, None)


def _seed(folder: Path) -> int | None:
    number = folder.name.removeprefix("seed-")
    return int(number) if number.isdecimal() else None


def _commands(study: Path, recipe: dict[str, Any], runs: Sequence[Run]) -> Iterator[str]:
    """The whole study, and each tuning by itself."""
    yield f"gpt2lab {_again(study, recipe)} --out STUDY"
    for run in runs:
        if (study / "settings" / f"{run.name}.yaml").is_file():
            settings, out = shlex.quote(f"STUDY/settings/{run.name}.yaml"), shlex.quote(f"STUDY/runs/{run.name}")
            yield f"gpt2lab finetune {settings} --out {out}"


def _again(study: Path, recipe: dict[str, Any]) -> str:
    """By the shipped recipe or the one kept with the study where they say the same, else by what came of them."""
    name, kept, shipped = str(recipe.get("name")), study / "recipe.yaml", recipes.shipped()
    if name in shipped and _says(shipped[name], recipe):
        return f"run {name}"
    if name in shipped and not kept.is_file():
        from gpt2lab.study import rehearsal

        if rehearsal.is_one(recipe):
            return f"rehearse {name}"
    if (study / "resolved.yaml").is_file() and not (kept.is_file() and _says(kept.read_text("utf-8"), recipe)):
        return "run STUDY/resolved.yaml"
    return "run STUDY/recipe.yaml"


def _says(text: str, recipe: dict[str, Any]) -> bool:
    try:
        return resolve(recipes.Recipe, values=yaml.safe_load(text)).as_dict() == recipe
    except (UserError, yaml.YAMLError):
        return False


def _json(path: Path) -> Any:
    return files.read_json(path) if path.is_file() else None
