"""Many trainings that differ in a few settings, and the best of them once more with a fresh seed.

The truth is the run folders: points are drawn the same way every time, and what a folder already answers is not trained
again. So a search that was killed goes on where it was, and ends with the table of one that was not.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gpt2lab.core import console, files, hardware, lines, lock
from gpt2lab.core import settings as strict
from gpt2lab.core.errors import UserError
from gpt2lab.model.config import GPT2Config
from gpt2lab.model.reading import find_model, weight_hash
from gpt2lab.study import methods, run_folder, search_report
from gpt2lab.study.axis import Axis, Point, at
from gpt2lab.study.data import corpus_for
from gpt2lab.study.finetune import config_of, finetune
from gpt2lab.study.job import block_of
from gpt2lab.study.run_folder import Intent
from gpt2lab.study.settings import SearchSettings, TuneSettings, resumed
from gpt2lab.train.loop import Diverged
from gpt2lab.train.watch import is_low_better

LOOKED_AT = "trial.json"  # in a trial's run folder, once it has ended in any way


@dataclass(frozen=True)
class Trial:
    number: int
    point: Point
    run: str
    state: str  # finished, pruned, diverged, out of memory, refused
    best: float | None
    best_step: int | None
    looks: dict[int, float]  # step → what was watched

    def as_dict(self) -> dict[str, Any]:
        return {**self.__dict__, "looks": {str(step): value for step, value in self.looks.items()}}


class Pruned(Exception):
    """A trial that has no chance any more."""


def search(
    settings: TuneSettings, axes: Sequence[Axis], how: SearchSettings, out: Path, wait: bool = False
) -> dict[str, Any]:
    """The table of all trials and the best one's retraining; both also in `out`. Where another process searches there,
    `wait` for it: its trials are then found finished."""
    with lock.locked(out / ".lock", wait), console.one_after_another():
        settings, config = _keep(out, settings, axes, how)
        watched = settings.train.watch
        trials: list[Trial] = []
        for number, point in enumerate(_points(axes, how, trials, is_low_better(watched)), 1):
            chosen = at(settings, point)
            console.say(f"trial {number}: {_worded(point)}")
            trials.append(_trial(number, point, chosen, out, trials, how))
            _say(trials[-1], watched)
            search_report.write(out, axes, watched, [trial.as_dict() for trial in trials])
        finished = [trial for trial in trials if trial.best is not None and trial.state == "finished"]
        if not finished:
            raise UserError("no trial came to its end", place=out, way_out="try lower rates or a smaller micro-batch")
        best = _best(finished, watched)
        found: dict[str, Any] = {
            "watched": watched,
            "trials": [trial.as_dict() for trial in trials],
            "best": best.as_dict(),
        }
        if settings.task == "labels" and watched == "validation_loss":
            found["guessing"] = math.log(len(config.labels))
        if how.retrain:
            found["retrained"] = _retrain(settings, best, how, out)
        files.write_json(out / "result.json", found)
        return found


def _keep(
    out: Path, settings: TuneSettings, axes: Sequence[Axis], how: SearchSettings
) -> tuple[TuneSettings, GPT2Config]:
    """A folder holds one search; every point is checked before the first is trained. Settings as all trials share them,
    and the shape of their model."""
    path = out / "search.json"
    run_folder.refuse_what_else_is_here(out, path.name)
    base = find_model(settings.base)
    with console.announcement("data"):
        corpus = corpus_for(settings, base)
    if settings.train.watch.startswith("validation") and "validation" not in corpus.splits:
        raise UserError(
            f"trials are compared by {settings.train.watch}, and the corpus has no validation split",
            place=corpus.folder,
            way_out="more text, or a larger prepare.validation",
        )
    wanted = {
        "made_of": {"base": weight_hash(base), "corpus": corpus.hash},
        "settings": settings.as_dict(),
        "over": {axis.key: axis.text for axis in axes},
        "search": how.as_dict(),
    }
    if path.is_file():
        _refuse_another(files.read_json(path), wanted, axes, out)
    with console.hushed():
        config = config_of(settings, base, corpus)
    settings = _with_common_rows(settings, axes, config)
    _refuse_points(settings, axes, config)
    files.write_json(path, wanted)
    return settings, config


def _refuse_another(there: dict[str, Any], wanted: dict[str, Any], axes: Sequence[Axis], out: Path) -> None:
    """A search may go on with more values of its grid, or with more draws."""
    over, trials = there["over"], there["search"]["trials"]
    if all(axis.values for axis in axes):
        over = over | {axis.key: axis.text for axis in axes if axis.holds(over.get(axis.key))}
    else:
        trials = max(trials, wanted["search"]["trials"])
    there = {**there, "over": over, "search": {**there["search"], "trials": trials}}
    if changed := strict.differences(there, wanted):
        raise UserError(
            "a search with other settings is here: " + "; ".join(changed),
            place=out,
            way_out="choose another --out; this one goes on with all its values and more",
        )


def _with_common_rows(settings: TuneSettings, axes: Sequence[Axis], config: GPT2Config) -> TuneSettings:
    """Soft tokens take places of the context: where trials have more or fewer, all read what is left to each."""
    if settings.task == "labels" or settings.train.block or {"method", "prompt.tokens"}.isdisjoint(a.key for a in axes):
        return settings
    soft = {methods.soft_tokens(at(settings, point)) for point in _samples(axes)}
    if len(soft) == 1:
        return settings
    block = config.context - max(soft)
    console.say(f"rows of {block:,} tokens for all trials: what {max(soft):,} soft tokens leave of the context")
    return at(settings, {"train.block": str(block)})


def _refuse_points(settings: TuneSettings, axes: Sequence[Axis], config: GPT2Config) -> None:
    """All that cannot be trained, in one message; of a range its ends stand for what lies between."""
    _refuse_unequal_budgets(settings, axes)
    wrong = {}
    every = {at(settings, point).method for point in _samples(axes)}
    for axis in axes:
        if all(methods.is_idle(axis.key, method) for method in every):
            raise UserError(f"{axis.key} has no effect with {' and '.join(sorted(every))}", place="--over")
    for point in _samples(axes):
        try:
            chosen = at(settings, point)
            block_of(chosen, config.context - methods.soft_tokens(chosen))
            methods.parameters(chosen, config)
        except UserError as error:
            wrong.setdefault(str(error), _worded(point))
    if wrong:
        raise UserError(
            "some trials cannot be made:\n" + "\n".join(f"  {point}: {why}" for why, point in wrong.items()),
            place="--over",
        )


def _refuse_unequal_budgets(settings: TuneSettings, axes: Sequence[Axis]) -> None:
    """Of so many steps larger batches are more text, and of minutes a machine makes now more and now fewer steps."""
    if settings.train.minutes is not None:
        raise UserError(
            "minutes are no budget for a search: how many steps they are differs from trial to trial",
            place="train.minutes",
            way_out="train.steps, train.tokens or train.epochs",
        )
    sized = next((axis.key for axis in axes if axis.key in ("train.batch_rows", "train.batch_tokens")), None)
    if sized and settings.train.steps is not None:
        raise UserError(
            f"with so many steps each value of {sized} would read another amount of text",
            place="train.steps",
            way_out="train.tokens or train.epochs, which are the same for all",
        )


def _samples(axes: Sequence[Axis]) -> Iterator[Point]:
    for values in itertools.product(*(axis.samples for axis in axes)):
        yield {axis.key: value for axis, value in zip(axes, values)}


def _worded(point: Point) -> str:
    return ", ".join(f"{key}={value}" for key, value in point.items())


def _points(axes: Sequence[Axis], how: SearchSettings, trials: list[Trial], low: bool) -> Iterator[Point]:
    """All of a grid in its order; else as many as asked for, each chosen in sight of those before it."""
    if all(axis.values for axis in axes):
        for values in itertools.product(*(axis.values for axis in axes)):
            yield {axis.key: value for axis, value in zip(axes, values)}
        return
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    samplers = {"tpe": optuna.samplers.TPESampler, "random": optuna.samplers.RandomSampler}
    study = optuna.create_study(
        sampler=samplers[how.sampler](seed=how.seed), direction="minimize" if low else "maximize"
    )
    for _ in range(how.trials):
        asked = study.ask()
        yield {axis.key: _suggested(asked, axis) for axis in axes}
        done = trials[-1]
        if done.state == "finished":
            study.tell(asked, done.best)
        else:
            states = {"pruned": optuna.trial.TrialState.PRUNED}
            study.tell(asked, state=states.get(done.state, optuna.trial.TrialState.FAIL))


def _suggested(asked: Any, axis: Axis) -> str:
    if axis.values:
        return asked.suggest_categorical(axis.key, list(axis.values))
    low, high = axis.ends
    if axis.whole:
        return str(asked.suggest_int(axis.key, round(low), round(high), log=True))
    return f"{asked.suggest_float(axis.key, low, high, log=True):.4g}"


def _trial(
    number: int, point: Point, settings: TuneSettings, out: Path, before: Sequence[Trial], how: SearchSettings
) -> Trial:
    run = out / "trials" / files.fingerprint(settings.as_dict())[:12]
    if not (run / LOOKED_AT).is_file():
        state = _train(settings, run, before, how)
        files.write_json(run / LOOKED_AT, {"state": state, "point": point})
    looks = _looks(run, settings.train.watch)
    best = _best_look(looks, settings.train.watch)
    return Trial(
        number,
        point,
        str(run.relative_to(out)),
        files.read_json(run / LOOKED_AT)["state"],
        None if best is None else looks[best],
        best,
        looks,
    )


def _train(settings: TuneSettings, run: Path, before: Sequence[Trial], how: SearchSettings) -> str:
    sinks = [_hopeless(run, settings.train.watch, before, how)] if how.prune else []
    try:
        finetune(settings, run, Intent(resume=True), sinks=sinks)
    except Pruned:
        return "pruned"
    except Diverged as error:
        console.warn(str(error))
        return "diverged"
    except UserError as error:
        console.warn(str(error))
        return "diverged" if _came_to_nothing(run, settings.train.watch) else "refused"
    except (RuntimeError, MemoryError) as error:
        if not hardware.is_out_of_memory(error):
            raise
        return "out of memory"
    return "finished" if _looks(run, settings.train.watch) else "diverged"


def _came_to_nothing(run: Path, watched: str) -> bool:
    """Whether the last that a training has said is no number: a short one ends before it is given up."""
    *_, last = [{}, *lines.read(run / "metrics.jsonl")]
    return None in (last.get("loss", 0.0), last.get(watched, 0.0))


def _hopeless(
    run: Path, watched: str, before: Sequence[Trial], how: SearchSettings
) -> Callable[[dict[str, Any]], None]:
    """Ends a trial whose best look so far is worse than what half of the finished ones had at that step."""
    low = is_low_better(watched)
    looks = _looks(run, watched)  # of a trial that goes on, also those before its last checkpoint

    def look(record: dict[str, Any]) -> None:
        value, step = record.get(watched), record["step"]
        if value is None or not math.isfinite(value):
            return
        looks[step] = value
        seen = [looks[then] for then in looks if then <= step]
        others = sorted(
            (min if low else max)(value for then, value in trial.looks.items() if then <= step)
            for trial in before
            if trial.state == "finished" and any(then <= step for then in trial.looks)
        )
        if len(others) < how.prune_after:
            return
        middle = others[len(others) // 2] if low else others[(len(others) - 1) // 2]
        if (min(seen) > middle) if low else (max(seen) < middle):
            raise Pruned

    return look


def _looks(run: Path, watched: str) -> dict[int, float]:
    found = {line["step"]: line.get(watched) for line in lines.read(run / "metrics.jsonl")}
    return {step: value for step, value in found.items() if value is not None and math.isfinite(value)}


def _best_look(looks: dict[int, float], watched: str) -> int | None:
    """The first step with the best value."""
    sign = 1 if is_low_better(watched) else -1
    return min(looks, key=lambda step: (sign * looks[step], step), default=None)


def _best(trials: Sequence[Trial], watched: str) -> Trial:
    sign = 1 if is_low_better(watched) else -1
    return min(trials, key=lambda trial: (sign * (trial.best or 0.0), trial.number))


def edge(axis: Axis, trials: Sequence[dict[str, Any]], best: dict[str, Any]) -> str | None:
    """Whether the best of an axis of numbers is the lowest or the highest that was tried."""
    if not (axis.values and axis.is_number):
        return None
    tried, own = [float(trial["point"][axis.key]) for trial in trials], float(best["point"][axis.key])
    if min(tried) == max(tried):
        return None
    return "lowest" if own == min(tried) else "highest" if own == max(tried) else None


def _retrain(settings: TuneSettings, best: Trial, how: SearchSettings, out: Path) -> dict[str, Any]:
    """Chosen by its luck with one seed, the winner is judged by another."""
    seed = settings.train.seed + how.fresh_seed
    console.say(f"the best is trial {best.number}; once more with seed {seed}")
    chosen = at(settings, {**best.point, "train.seed": str(seed)})
    _make_room(out / "best", chosen)
    state = _train(chosen, out / "best", (), how.model_copy(update={"prune": False}))
    looks = _looks(out / "best", settings.train.watch)
    step = _best_look(looks, settings.train.watch)
    return {"run": "best", "seed": seed, "state": state, "best": looks.get(step) if step else None, "best_step": step}


def _make_room(run: Path, chosen: TuneSettings) -> None:
    """Once a search goes on with more values, an earlier winner may have to step aside."""
    if (run / "run.yaml").is_file() and strict.differences(resumed(run).as_dict(), chosen.as_dict()):
        free = (run.with_name(f"{run.name}-{number}") for number in itertools.count(1))
        aside = next(place for place in free if not place.exists())
        run.rename(aside)
        console.say(f"the best of the trials before is kept as {aside}")


def _say(trial: Trial, watched: str) -> None:
    best = "nothing was looked at" if trial.best is None else f"{watched} {trial.best:.4f} at step {trial.best_step:,}"
    console.say(f"trial {trial.number} {trial.state}: {best}")
