"""The verbs of the command line as functions. What went wrong by a user's mistake is a UserError, with a way out."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike, fspath
from pathlib import Path
from typing import Any, Literal, overload

from gpt2lab.core.errors import UserError
from gpt2lab.python.keywords import address, overrides, resolved
from gpt2lab.python.objects import Corpus, Model, Report, Run

Place = str | PathLike[str]


def load(model: Place, device: str = "auto", *, tokenizer: str | None = None) -> Model:
    """A model folder, a run, an adapter or a Hub id, in memory and ready to use.

    >>> model = gpt2lab.load("runs/tiny")
    >>> model.module.config.layers
    2
    """
    from gpt2lab.core import hardware
    from gpt2lab.model.reading import find_model, read_model, tokenizer_of

    place = find_model(_source(model))
    module = read_model(place, device=hardware.choose_device(device))
    return Model(_source(model), module, tokenizer_of(place, tokenizer))


def generate(
    model: Model | Place, prompts: str | Sequence[str] = "", samples: int = 1, *, device: str = "auto", **settings: Any
) -> list[dict[str, Any]]:
    """So many continuations of each prompt, in order; an empty prompt begins a text.

    Settings are those of `gpt2lab generate --help`, such as `temperature=0.8, top_k=50, max_new_tokens=100, seed=1`.

    >>> texts = gpt2lab.generate("runs/tiny", "The module", samples=2, max_new_tokens=5)
    >>> [(text["sample"], text["tokens"]) for text in texts]
    [(0, 5), (1, 5)]
    """
    from gpt2lab.generate import generate as writing
    from gpt2lab.generate.settings import SamplingSettings
    from gpt2lab.model.gpt2 import GPT2Classifier

    chosen = resolved(SamplingSettings, {}, settings)
    loaded = model if isinstance(model, Model) else load(model, device)
    if isinstance(loaded.module, GPT2Classifier):
        raise UserError("this is a classifier, and a language model is needed", place=loaded.source)
    found = writing.generate(loaded.module, loaded.tokenizer, prompts, samples, chosen)
    return [sample.as_dict() for sample in found]


@overload
def evaluate(
    model: Place, data: Place | None = None, protocol: str = "perplexity/token-window", **settings: Any
) -> dict[str, Any]: ...
@overload
def evaluate(model: Place, data: Place | None, protocol: Sequence[str], **settings: Any) -> list[dict[str, Any]]: ...
def evaluate(
    model: Place,
    data: Place | None = None,
    protocol: str | Sequence[str] = "perplexity/token-window",
    *,
    device: str = "auto",
    local: Place | None = None,
    tokenizer: str | None = None,
    base: Place | None = None,
    train: Place | None = None,
    tasks_from: Place | None = None,
    again: bool = False,
    **settings: Any,
) -> dict[str, Any] | list[dict[str, Any]]:
    """The record of a measurement: value, interval, everything that moves it, and what each item gave. Kept, and not
    measured twice. With several protocols, a list of them.

    `model` is a folder, a run or a Hub id: what is measured is what lies there.

    >>> record = gpt2lab.evaluate("runs/tiny", "corpora/docs", "perplexity/blocks", **{"data.split": "test"})
    >>> record["protocol"]
    'perplexity/blocks@1'
    """
    from gpt2lab.measure import evaluate as measuring
    from gpt2lab.measure.settings import Evaluation

    names = [protocol] if isinstance(protocol, str) else list(protocol)
    if data is None and not all(name.startswith(measuring.HARNESS) for name in names):
        raise UserError("what to measure on is missing", way_out="give data: a file, a corpus, a named set")
    chosen = resolved(Evaluation, {}, settings)
    found = measuring.evaluate(
        _source(model),
        names,
        "" if data is None else fspath(data),
        chosen,
        device,
        tokenizer=tokenizer,
        local=_path(local),
        tasks_from=_path(tasks_from),
        base=None if base is None else _source(base),
        train=None if train is None else fspath(train),
        again=again,
    )
    return found[0] if isinstance(protocol, str) and len(found) == 1 else found


def prepare(
    data: Place | Sequence[Place],
    out: Place,
    tokenizer: Place = "gpt2",
    *,
    local: Place | None = None,
    workers: int | None = None,
    strict: bool = False,
    **settings: Any,
) -> Corpus:
    """Text becomes a corpus: built-in text, a named set, a file, a folder or a glob; several are mixed.

    >>> shares = {"validation": 0.05, "test": 0.05}
    >>> corpus = gpt2lab.prepare("builtin:docs", "corpora/docs", tokenizer="builtin", prepare=shares)
    >>> sorted(corpus.manifest["splits"])
    ['test', 'train', 'validation']
    """
    from gpt2lab.text import mixture
    from gpt2lab.text import prepare as preparation
    from gpt2lab.text.settings import Preparation

    chosen = resolved(Preparation, {}, settings)
    several = [data] if isinstance(data, str | PathLike) else list(data)
    options: dict[str, Any] = {"columns": chosen.data, "local": _path(local), "workers": workers, "strict": strict}
    sources = [fspath(source) for source in several]
    if len(sources) > 1:
        mixture.prepare_mixture(sources, Path(out), fspath(tokenizer), chosen.prepare, **options)
    else:
        preparation.prepare(sources[0], Path(out), fspath(tokenizer), chosen.prepare, **options)
    return Corpus(Path(out))


def pretrain(
    data: Place,
    out: Place,
    *,
    size: Literal["small", "medium", "large", "xl"] | None = None,
    device: str = "auto",
    **settings: Any,
) -> Run:
    """A corpus and a size become a model, trained from random weights.

    >>> shape = {"layers": 2, "heads": 2, "width": 32, "context": 64}
    >>> run = gpt2lab.pretrain("corpora/docs", "runs/tiny", model=shape, train={"steps": 3, "batch_rows": 4})
    >>> run.record["state"], len(run.metrics)
    ('finished', 3)
    """
    from gpt2lab.study import pretrain as pretraining
    from gpt2lab.study.run_folder import Intent
    from gpt2lab.study.settings import RunSettings

    given = {"data": {"source": address(data)}, "device": device, "model": {"size": size} if size else {}}
    pretraining.pretrain(resolved(RunSettings, given, settings), Path(out), Intent())
    return Run(Path(out))


def finetune(
    base: Place,
    data: Place,
    out: Place,
    *,
    method: Literal["full", "lora", "qlora", "prompt", "partial"] = "lora",
    task: Literal["text", "labels"] = "text",
    local: Place | None = None,
    device: str = "auto",
    **settings: Any,
) -> Run:
    """A model and data become a tuned model, or an adapter.

    >>> few = {"steps": 2, "batch_rows": 4}
    >>> run = gpt2lab.finetune("runs/tiny", "corpora/docs", "runs/lora", train=few, **{"lora.rank": 4})
    >>> run.settings["lora"]["rank"]
    4
    """
    from gpt2lab.study import finetune as tuning
    from gpt2lab.study.run_folder import Intent
    from gpt2lab.study.settings import TuneSettings

    given = {
        "base": address(_source(base)),
        "data": {"source": address(data), "local": None if local is None else address(local)},
        "method": method,
        "task": task,
        "device": device,
    }
    tuning.finetune(resolved(TuneSettings, given, settings), Path(out), Intent())
    return Run(Path(out))


def resume(run: Run, extend: bool, allow_different: bool, settings: dict[str, Any]) -> Run:
    """What `Run.resume` does."""
    from gpt2lab.study import finetune as tuning
    from gpt2lab.study import pretrain as pretraining
    from gpt2lab.study.run_folder import Intent
    from gpt2lab.study.settings import TuneSettings, resumed

    before = resumed(run.path)
    chosen = resolved(type(before), before.as_dict(), settings)
    intent = Intent(True, extend, allow_different)
    if isinstance(chosen, TuneSettings):
        tuning.finetune(chosen, run.path, intent)
    else:
        pretraining.pretrain(chosen, run.path, intent)
    return run


def run(
    recipe: Place,
    out: Place,
    *,
    device: str = "auto",
    only: str | None = None,
    seeds: Sequence[int] = (),
    **settings: Any,
) -> Report:
    """A recipe becomes a study with a report, which a notebook shows in place. What is finished is not done again.

    `only` a variant, or "base" for all that comes before them; `seeds` in place of the recipe's own.

    >>> report = gpt2lab.run("quickstart", "studies/first", only="base", train={"steps": 2})
    >>> report.page.is_file(), len(report.runs) >= 1
    (True, True)
    """
    from gpt2lab.study import recipe as recipes
    from gpt2lab.study import study

    written = recipes.find(fspath(recipe)).read_text("utf-8")
    study.run(recipes.read(fspath(recipe), overrides(settings)), Path(out), device, written, only, seeds)
    return Report(Path(out))


def _source(model: Place) -> str:
    return fspath(model)


def _path(place: Place | None) -> Path | None:
    return None if place is None else Path(place)
