"""What a run is, as its `run.yaml` says it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import ModelWrapValidatorHandler, model_validator

from gpt2lab.core.errors import UserError
from gpt2lab.core.settings import (
    AtCommas,
    NaturalFloat,
    Positive,
    PositiveFloat,
    Probability,
    Seed,
    Settings,
    Share,
    read_yaml,
    resolve,
)
from gpt2lab.generate.settings import SamplingSettings
from gpt2lab.model.settings import (
    DropoutSettings,
    LoraSettings,
    ModelSettings,
    PartialSettings,
    PromptSettings,
    QloraSettings,
)
from gpt2lab.text.settings import ColumnSettings, PrepareSettings
from gpt2lab.train.settings import Every, TrainSettings

Method = Literal["full", "lora", "qlora", "prompt", "partial"]
Task = Literal["text", "labels"]
# Where nothing else is said: rates that published recipes for GPT-2 use for each method.
RATES = {"full": 5e-5, "lora": 2e-4, "qlora": 2e-4, "partial": 5e-5, "prompt": 5e-3}


class TrackSettings(Settings):
    sinks: Annotated[tuple[Literal["tensorboard", "wandb"], ...], AtCommas] = ()
    """Where training curves go as well: `tensorboard`, `wandb`, or both. They cannot hurt the run."""
    project: str = "gpt2lab"
    """Of W&B."""


class SampleSettings(SamplingSettings):
    prompts: tuple[str, ...] = ()
    """Texts that the model continues while it is trained; the samples stand in `metrics.jsonl`."""
    every: Every = 0
    """Steps between samples, or `epoch`; 0 samples at the end alone."""


class ProbeSettings(Settings):
    protocols: Annotated[tuple[str, ...], AtCommas] = ()
    """Measured while the model is trained, such as hellaswag/completion; the values stand in `metrics.jsonl`."""
    data: str | None = None
    """What they are measured on: DATA as `gpt2lab evaluate` takes it."""
    local: str | None = None
    """The folder that holds a named set's files."""
    every: Every = 0
    """Steps between looks, or `epoch`; 0 looks at the end alone."""
    limit: Positive | None = None
    """The first so many items or documents alone."""


class CorpusSettings(Settings):
    source: str
    """The corpus folder."""


class TuneDataSettings(ColumnSettings):
    source: str
    """A corpus folder; or built-in data, a named set, a file, a folder or a glob, which is prepared on the way."""
    also: tuple[str, ...] = ()
    """More of them, mixed in as often as prepare.weights says: one weight for the source and one for each of these."""
    local: str | None = None
    """The folder that holds a named set's files."""
    rows: Literal["auto", "blocks", "packed", "documents"] = "auto"
    """What a row of running text is: `blocks` of the stream, whole documents `packed` side by side and blind to each
    other, or one of the `documents`. `auto` takes documents where there are prompts, and blocks elsewhere."""


class RunSettings(Settings):
    kind: Literal["pretrain"] = "pretrain"
    """What the run does."""
    data: CorpusSettings
    device: str = "auto"
    """auto, cpu, cuda, cuda:1 or mps."""
    model: ModelSettings = ModelSettings()
    train: TrainSettings = TrainSettings()
    sample: SampleSettings = SampleSettings()
    probe: ProbeSettings = ProbeSettings()
    track: TrackSettings = TrackSettings()


class TuneTrainSettings(TrainSettings):
    """A training where tunings have defaults of their own."""

    epochs: PositiveFloat | None = None
    """Times that every row is seen; 3 unless this, steps, tokens or minutes is given."""
    batch_tokens: Positive | None = None
    """Tokens of the global batch, rounded down to whole rows."""
    batch_rows: Positive | None = None
    """Rows of the global batch, the other way to give it; 16 unless one of the two is given."""
    learning_rate: PositiveFloat = RATES["full"]
    """The highest rate; unless given 2e-4 for lora and qlora, and 5e-3 for prompt."""
    floor: Share = 0.0
    """The last rate, as a share of the highest."""
    warmup: NaturalFloat = 0.1
    """Steps over which the rate rises: a share below 1, a number of steps from 1 on."""
    weight_decay: NaturalFloat = 0.01
    """On matrices only; unless given 0 for prompt: soft tokens have no place that they should be drawn to."""
    beta2: Probability = 0.999
    """AdamW's memory of their squares."""
    validate_every: Every = "epoch"
    """Steps between validations, or `epoch`; 0 validates at the end alone."""

    @model_validator(mode="before")
    @classmethod
    def _ends_and_has_batches(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            return given
        lasts = any(given.get(limit) for limit in ("steps", "tokens", "epochs", "minutes"))
        has_size = given.get("batch_rows") or given.get("batch_tokens")
        return {**given, **({} if lasts else {"epochs": 3.0}), **({} if has_size else {"batch_rows": 16})}


def wanted_by(method: Method) -> dict[str, float]:
    """What a method trains with, unless something else is said."""
    decay = 0.0 if method == "prompt" else TuneTrainSettings.model_fields["weight_decay"].default
    return {"learning_rate": RATES[method], "weight_decay": decay}


class TuneSettings(Settings):
    kind: Literal["finetune"] = "finetune"
    """What the run does."""
    base: str
    """The model to begin from."""
    data: TuneDataSettings
    method: Method
    """What moves."""
    task: Task = "text"
    """What is learned."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:1 or mps."""
    prepare: PrepareSettings = PrepareSettings()
    model: DropoutSettings = DropoutSettings()
    train: TuneTrainSettings = TuneTrainSettings()
    lora: LoraSettings = LoraSettings()
    qlora: QloraSettings = QloraSettings()
    prompt: PromptSettings = PromptSettings()
    partial: PartialSettings = PartialSettings()
    sample: SampleSettings = SampleSettings()
    probe: ProbeSettings = ProbeSettings()
    track: TrackSettings = TrackSettings()

    @model_validator(mode="wrap")
    @classmethod
    def _as_the_method_wants(cls, given: Any, validated: ModelWrapValidatorHandler[Self]) -> Self:
        method, train = (given.get("method"), given.get("train", {})) if isinstance(given, dict) else (None, None)
        if not isinstance(train, dict) or not isinstance(method, str) or method not in RATES:
            return validated(given)
        wanted = wanted_by(method)
        made = validated({**given, "train": {**wanted, **train}})
        made.train.model_fields_set.difference_update(wanted.keys() - train.keys())  # these nobody has said
        return made


class SearchSettings(Settings):
    trials: Positive = 10
    """How many points are drawn from ranges; a grid is tried whole."""
    sampler: Literal["tpe", "random"] = "tpe"
    """How points are drawn: in sight of those before, by Optuna's estimator, or blindly."""
    seed: Seed = 1
    """Of the draws; the trials' own is train.seed, the same for all."""
    prune: bool = False
    """End a trial that is worse than half of the finished ones were at the same step."""
    prune_after: Positive = 3
    """Finished trials that it takes to judge another."""
    retrain: bool = True
    """Train the best once more, with a fresh seed."""
    fresh_seed: Positive = 1000
    """What is added to train.seed for that."""


AnySettings = RunSettings | TuneSettings
KINDS: dict[str, type[RunSettings] | type[TuneSettings]] = {"pretrain": RunSettings, "finetune": TuneSettings}


def resumed(run: Path) -> AnySettings:
    """Of a run that has begun, as they were stored."""
    path = run / "run.yaml"
    if not path.is_file():
        raise UserError("there is no run here to resume", place=run, way_out="start it without --resume")
    return resolve(KINDS[read_yaml(path)[0].get("kind", "pretrain")], file=path)
