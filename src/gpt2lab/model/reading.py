"""A model folder becomes a model: safetensors whole or in shards, or PyTorch's old `.bin`, never a pickle."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gpt2lab.core import console, files, hub
from gpt2lab.core.errors import UserError
from gpt2lab.model import checkpoints, layout, lora, prompt, quantised
from gpt2lab.model.config import GPT2Config, from_huggingface, to_huggingface
from gpt2lab.model.gpt2 import GPT2, VOCABULARY_MULTIPLE, GPT2Classifier, build
from gpt2lab.model.pickle_free import ADAPTER_WEIGHTS, read_pickle_free, read_safetensors
from gpt2lab.model.writing import ABOUT
from gpt2lab.text import tokenizer as tokenizers
from gpt2lab.text.tokenizer import Tokenizer

WEIGHT_FILES = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
    ADAPTER_WEIGHTS,
)
SIDE_FILES = ("config.json", "generation_config.json", *tokenizers.FILES)
ADAPTER_FILES = ("adapter_config.json", ABOUT)
EMBEDDING = "transformer.wte.weight"
ADAPTERS = {"LORA": lora.load, "PROMPT_TUNING": prompt.load}
# Where the four names have lived since 2024; the short ones only redirect there.
HUB_NAMES = {name: f"openai-community/{name}" for name in ("gpt2", "gpt2-medium", "gpt2-large", "gpt2-xl")}


def read_model(
    source: str | Path,
    *,
    device: torch.device | str = "cpu",
    vocabulary_multiple: int = VOCABULARY_MULTIPLE,
    dropout: float | None = None,
    into_original: bool = False,
) -> GPT2 | GPT2Classifier:
    """A model folder, a run folder, a nanoGPT or llm.c checkpoint, or a Hub id, in fp32 and ready to evaluate.

    An adapter trained on quantised weights is put on what those stand for, so that the model is the one that was
    trained; with `into_original`, on the weights as they were before.
    """
    place = find_model(source)
    if (place / "adapter_config.json").is_file():
        model = read_with_adapter(place, vocabulary_multiple, dropout, into_original)
        lora.merge(model)
        return model.to(device).eval()
    if place.is_file():
        config, tensors = checkpoints.read(place)
    else:
        config, tensors = read_config(place), read_tensors(place)
    if dropout is not None:
        config = config.with_dropout(dropout)
    kind: Any = GPT2Classifier if config.labels else GPT2
    model = build(kind, config, vocabulary_multiple)
    fill(model, tensors, place)
    return model.to(device).eval()


def read_with_adapter(
    folder: Path,
    vocabulary_multiple: int = VOCABULARY_MULTIPLE,
    dropout: float | None = None,
    into_original: bool = False,
) -> GPT2 | GPT2Classifier:
    """The base, its head where the adapter has one, and the adapter beside its weights."""
    config = read_config(folder)
    base = read_model(base_of(folder), vocabulary_multiple=vocabulary_multiple, dropout=dropout)
    model = with_head(base, config.labels) if config.labels else base
    kind = _adapter_config(folder).get("peft_type")
    if kind not in ADAPTERS:
        raise UserError(
            f"an adapter of type {kind} cannot be read", place=folder, way_out=f"{' or '.join(ADAPTERS)} can"
        )
    packed = _about(folder).get("quantised")
    if packed and not into_original:
        quantised.quantise(model, quantised.settings_of(packed, folder / ABOUT))
        quantised.dequantise(model)
    ADAPTERS[kind](model, folder)
    return model.eval()


def is_quantised(adapter: Path) -> bool:
    """Whether it was tuned on four bits."""
    return bool(_about(adapter).get("quantised"))


def _about(folder: Path) -> dict[str, Any]:
    """What our own file in an adapter's folder says; nothing where another program wrote the adapter."""
    return files.read_json(folder / ABOUT) if (folder / ABOUT).is_file() else {}


def base_of(folder: Path) -> str | Path:
    """What an adapter stands on: where our own file says, checked by its hash; else where PEFT's says."""
    about = _about(folder)
    if not about:
        return _base_in_peft(folder)
    base = about["base"] if about.get("on_hub") else folder / about["base"]
    if isinstance(base, Path) and not base.exists():
        raise UserError(
            "the base that this adapter stands on is not where it was",
            place=f"{folder}, made on {os.path.normpath(base)}",
            way_out="put it back there, or write its new place, as seen from the adapter, into gpt2lab.json as `base`",
        )
    if weight_hash(place := find_model(base)) != about["base_weights"]:
        former = _former_model(place, about["base_weights"])
        raise UserError(
            "the adapter's base has other weights than the one it was tuned on",
            place=os.path.normpath(base),
            way_out=f"those are in {os.path.normpath(former)}: write this place, as seen from the adapter, into "
            f"{folder / ABOUT} as `base`"
            if former
            else "put the base back that it was tuned on, or tune again",
        )
    return base


def _base_in_peft(folder: Path) -> str:
    name = _adapter_config(folder).get("base_model_name_or_path")
    if not isinstance(name, str) or not name:
        raise UserError(
            "the adapter does not say which model it stands on",
            place=folder / "adapter_config.json",
            way_out="write that model's folder or Hub id into it as base_model_name_or_path",
        )
    return name


def _adapter_config(folder: Path) -> dict[str, Any]:
    stored = files.read_json(folder / "adapter_config.json")
    if not isinstance(stored, dict):
        raise UserError("these are no settings of an adapter", place=folder / "adapter_config.json")
    return stored


def _former_model(model: Path, weights: str) -> Path | None:
    """Of a run that was prolonged since, the model with these weights."""
    return next((former for former in model.parent.glob("model-before-*") if weight_hash(former) == weights), None)


def with_head(base: GPT2 | GPT2Classifier, labels: tuple[str, ...], seed: int = 0) -> GPT2Classifier:
    """A classifier with this body; one with the same classes, in any order, keeps its head; others get a new one."""
    if isinstance(base, GPT2Classifier) and sorted(base.config.labels) == sorted(labels):
        return _in_order(base, labels)
    config = replace(base.config, labels=labels, padding=base.config.end_of_text, tied_head=True)
    multiple = len(base.transformer.wte.weight)  # as padded as the base is
    model = build(GPT2Classifier, config, multiple)
    model.transformer.prompt = base.transformer.prompt
    model.transformer.load_state_dict(base.transformer.state_dict())
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        model.score.weight.normal_(0.0, config.initial_std, generator=generator)
    return model


def _in_order(model: GPT2Classifier, labels: tuple[str, ...]) -> GPT2Classifier:
    """The same classifier, whose classes are numbered as these are."""
    places = [model.config.labels.index(label) for label in labels]
    model.score.weight.data = model.score.weight.data[places]
    model.config = model.transformer.config = replace(model.config, labels=labels)
    return model


def read_language_model(source: str | Path, **options: Any) -> GPT2:
    model = read_model(source, **options)
    if isinstance(model, GPT2Classifier):
        raise UserError("this is a classifier, and a language model is needed", place=source)
    return model


def find_model(source: str | Path) -> Path:
    """Where the files are: a local place as it is, a Hub id after its download."""
    path = Path(source)
    if (path / "run.json").is_file():
        if not (path / "model").is_dir():
            kind = files.read_json(path / "run.json").get("kind", "pretrain")
            raise UserError("this run has no model yet", place=path, way_out=f"gpt2lab {kind} --resume --out {path}")
        return path / "model"
    if path.exists():
        return path
    name = str(source)
    if path.parent != Path() and (meant := files.like(path)):  # a folder here rather than someone's on the Hub
        raise UserError("there is no such model folder", place=path, way_out=meant)
    if not hub.looks_like_repository(name):
        raise UserError("there is no such model folder", place=path, way_out="check the path, or name a Hub model")
    repository = HUB_NAMES.get(name, name)
    with hub.not_a_folder(name):
        return hub.fetch(repository, [*SIDE_FILES, *ADAPTER_FILES, *_weights_on_hub(repository)])


def read_config(folder: Path) -> GPT2Config:
    path = folder / "config.json"
    if not path.is_file() and (folder / "adapter_config.json").is_file():
        return _config_of_adapter(folder)
    if not path.is_file():
        found = ", ".join(sorted(entry.name for entry in folder.iterdir())[:8]) or "nothing"
        raise UserError(
            f"no config.json here (found: {found})", place=folder, way_out="name a model folder, a run or a Hub id"
        )
    return from_huggingface(files.read_json(path), path)


def _config_of_adapter(folder: Path) -> GPT2Config:
    """Our own file says it; of an adapter that PEFT wrote the base does, and the head how many classes there are."""
    if stored := _about(folder).get("config"):
        return from_huggingface(stored, folder / ABOUT)
    config = read_config(find_model(base_of(folder)))
    if _adapter_config(folder).get("task_type") != "SEQ_CLS" or config.labels:
        return config
    heads = [len(tensor) for name, tensor in read_tensors(folder) if name.endswith("score.weight")]
    return replace(config, labels=tuple(f"LABEL_{number}" for number in range(heads[0] if heads else 2)))


def read_tensors(folder: Path) -> Iterator[tuple[str, Tensor]]:
    """(name, tensor) one after another, so that no more than the model and one tensor are in memory."""
    for file in weight_files(folder):
        yield from read_safetensors(file) if file.suffix == ".safetensors" else read_pickle_free(file).items()


def weight_files(folder: Path) -> list[Path]:
    for name in WEIGHT_FILES:
        path = folder / name
        if path.is_file():
            return _shards(path) if name.endswith(".index.json") else [path]
    raise UserError(
        f"no weights here: none of {', '.join(WEIGHT_FILES)}", place=folder, way_out="download the weights as well"
    )


def fill(model: GPT2 | GPT2Classifier, tensors: Iterator[tuple[str, Tensor]], place: Path) -> None:
    """Copy every tensor to its parameter; what is missing, misshapen or left over is named.

    A stored head that differs from the embedding is the model's own, as in transformers, whatever config.json ties.
    """
    wanted = layout.parameters(model)
    missing, unknown = set(wanted), set()
    stored_head = None
    for stored_name, stored in tensors:
        name = layout.canonical(stored_name)
        if name is None:
            continue
        if name == "lm_head.weight" and name not in wanted:
            stored_head = stored
        elif name not in wanted:
            unknown.add(stored_name)
        else:
            _put(name, wanted[name], stored, model.config, place)
            missing.discard(name)
    if stored_head is not None and missing == {EMBEDDING}:  # tied weights may be stored under either name
        _put(EMBEDDING, wanted[EMBEDDING], stored_head, model.config, place)
        missing.clear()
    if missing:
        raise UserError(
            f"{console.counted(len(missing), 'tensor')} missing: {_some(missing)}", place=place, way_out=_WHOLE
        )
    if unknown:
        console.warn(
            f"{console.counted(len(unknown), 'tensor')} without a place in this model left out: {_some(unknown)}"
        )
    if stored_head is not None and isinstance(model, GPT2):
        _own_head(model, stored_head, place)


def _own_head(model: GPT2, stored: Tensor, place: Path) -> None:
    """A tied model gets this head for its own, unless it is the embedding once more."""
    embedding = model.transformer.wte.weight
    _check("lm_head.weight", embedding, stored, model.config, place)
    if torch.equal(stored.float(), embedding[: len(stored)]):
        return
    console.warn(
        f"the stored head differs from the embedding, so they are not tied, whatever config.json says: {place}"
    )
    model.lm_head.weight = torch.nn.Parameter(torch.empty_like(embedding))
    layout.put("lm_head.weight", model.lm_head.weight, stored)
    model.config = model.transformer.config = replace(model.config, tied_head=False)


def weight_hash(place: Path) -> str:
    """One hash for the weights of a model folder, however many files hold them, or of a checkpoint file."""
    if place.is_file():
        return files.sha256(place)
    folder = place
    return files.fingerprint({file.name: files.sha256(file) for file in weight_files(folder)})


def config_hash(place: Path) -> str:
    """One hash for what decides, beside a folder's weights, what they compute: config, an adapter's own, its base."""
    if place.is_file():  # a checkpoint holds its config
        return weight_hash(place)
    parts: list[Any] = [to_huggingface(read_config(place))]
    if (place / "adapter_config.json").is_file():
        adapter, base = files.read_json(place / "adapter_config.json"), find_model(base_of(place))
        adapter.pop("base_model_name_or_path", None)  # where it lies
        parts += [adapter, _about(place).get("quantised"), weight_hash(base), config_hash(base)]
    return files.fingerprint(parts)


_WHOLE = "the folder must hold the whole model; download or export it again"


def _shards(index: Path) -> list[Path]:
    stored = files.read_json(index)
    weight_map = stored.get("weight_map") if isinstance(stored, dict) else None
    if not isinstance(weight_map, dict):
        raise UserError("the index has no weight_map", place=index)
    shards = sorted({index.parent / str(name) for name in weight_map.values()})
    if absent := [shard.name for shard in shards if not shard.is_file()]:
        raise UserError(
            f"{len(absent)} of {len(shards)} shards are missing: {_some(absent)}", place=index, way_out=_WHOLE
        )
    return shards


def _weights_on_hub(repository: str) -> list[str]:
    """Safetensors where there are any; never both forms."""
    names = {file.path for file in hub.list_files(repository, kind="model")}
    for name in WEIGHT_FILES:
        if name in names:
            stem, _, ending = name.removesuffix(".index.json").rpartition(".")
            return [name, f"{stem}-*.{ending}"] if name.endswith(".index.json") else [name]
    raise UserError("the repository holds no weights that can be read", place=repository)


def _put(name: str, parameter: Tensor, stored: Tensor, config: GPT2Config, place: Path) -> None:
    _check(name, parameter, stored, config, place)
    layout.put(name, parameter, stored)


def _check(name: str, parameter: Tensor, stored: Tensor, config: GPT2Config, place: Path) -> None:
    if not isinstance(stored, Tensor) or not stored.is_floating_point():
        raise UserError(f"{name} holds no floating-point weights", place=place)
    expected = layout.file_shape(name, parameter, config.vocabulary)
    if tuple(stored.shape) != expected:
        raise UserError(f"{name} has the shape {tuple(stored.shape)}, config.json says {expected}", place=place)


def _some(names: set[str] | list[str]) -> str:
    shown = ", ".join(sorted(names)[:3])
    return f"{shown}, …" if len(names) > 3 else shown


def tokenizer_of(place: Path, wanted: str | None = None) -> Tokenizer:
    """The one asked for, else the model's own; checkpoints of other programs bring none, and mean GPT-2's."""
    if wanted:
        return tokenizers.load(wanted)
    is_adapter = (place / "adapter_config.json").is_file()
    if is_adapter and not any((place / name).is_file() for name in tokenizers.FILES):
        return tokenizer_of(find_model(base_of(place)))  # PEFT keeps none
    return tokenizers.load("gpt2" if place.is_file() else place)
