"""Checkpoints of other GPT-2 trainers: nanoGPT's `ckpt.pt` and llm.c's `.bin`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gpt2lab.core import console
from gpt2lab.core.errors import UserError
from gpt2lab.model import layout
from gpt2lab.model.config import GPT2_VOCABULARY, GPT2Config
from gpt2lab.model.pickle_free import read_pickle_free

Tensors = Iterator[tuple[str, Tensor]]

LLMC_MAGIC = 20240326
LLMC_HEADER = 256  # int32s
LLMC_DTYPES = {3: torch.float32, 5: torch.bfloat16}
NANOGPT_PADDED_VOCABULARY = 50304
NANOGPT_ARGUMENTS = ("n_layer", "n_head", "n_embd", "block_size", "vocab_size")
WITHOUT_BIAS = ("wte.weight", "wpe.weight", "lm_head.weight")


def read(file: Path) -> tuple[GPT2Config, Tensors]:
    with file.open("rb") as opened:
        start = opened.read(4)
    if len(start) == 4 and int.from_bytes(start, "little") == LLMC_MAGIC:
        return _read_llmc(file)
    if file.suffix in (".pt", ".pth", ".bin"):
        return _read_nanogpt(file)
    raise UserError(
        "not a model: neither a folder nor a nanoGPT or llm.c checkpoint", place=file, way_out="name a model folder"
    )


def _read_nanogpt(file: Path) -> tuple[GPT2Config, Tensors]:
    stored = read_pickle_free(file)
    if not {"model", "model_args"} <= set(stored):
        raise UserError("not a nanoGPT checkpoint: it holds no `model` and `model_args`", place=file)
    state, arguments = stored["model"], stored["model_args"]
    if missing := [name for name in NANOGPT_ARGUMENTS if not isinstance(arguments.get(name), int)]:
        raise UserError(f"not a nanoGPT checkpoint: model_args lacks {', '.join(missing)}", place=file)
    vocabulary = arguments["vocab_size"]
    if vocabulary == NANOGPT_PADDED_VOCABULARY:
        vocabulary = GPT2_VOCABULARY
        console.say(f"{file.name}: its vocabulary of 50,304 is GPT-2's 50,257 padded; the 47 unused rows are left out")
    end = GPT2_VOCABULARY - 1 if vocabulary == GPT2_VOCABULARY else None
    config = GPT2Config(
        layers=arguments["n_layer"],
        heads=arguments["n_head"],
        width=arguments["n_embd"],
        context=arguments["block_size"],
        vocabulary=vocabulary,
        activation=arguments.get("activation", "gelu"),  # nanoGPT uses the exact one
        start_of_text=end,
        end_of_text=end,
    ).with_dropout(arguments.get("dropout", 0.0))
    return config, _nanogpt_tensors(state, config)


def _nanogpt_tensors(state: dict[str, Any], config: GPT2Config) -> Tensors:
    rows: dict[str, int] = {}
    for stored_name, tensor in state.items():
        name = layout.canonical(stored_name)
        if name is None:
            continue
        rows[name] = len(tensor)
        real = tensor[: config.vocabulary] if name.endswith(layout.PADDED) else tensor
        yield name, real.t() if layout.is_turned(name) else real
    for name, count in rows.items():  # a model trained with `bias=False` stores none; zeros compute the same
        bias = f"{name.removesuffix('weight')}bias"
        if name.endswith("weight") and not name.endswith(WITHOUT_BIAS) and bias not in rows:
            yield bias, torch.zeros(count)


def _read_llmc(file: Path) -> tuple[GPT2Config, Tensors]:
    header = np.fromfile(file, dtype="<i4", count=LLMC_HEADER)
    if len(header) < LLMC_HEADER:
        raise UserError("the file is cut short: its header is incomplete", place=file)
    version, context, vocabulary, layers, heads, width, padded = (int(value) for value in header[1:8])
    if version not in LLMC_DTYPES:
        raise UserError(f"llm.c checkpoint version {version} is not known", place=file, way_out="write version 3 or 5")
    end = vocabulary - 1 if vocabulary == GPT2_VOCABULARY else None
    config = GPT2Config(layers, heads, width, context, vocabulary, start_of_text=end, end_of_text=end)
    shapes = _llmc_shapes(config, padded)
    expected = LLMC_HEADER * 4 + sum(int(np.prod(s)) for _, s in shapes) * LLMC_DTYPES[version].itemsize
    if file.stat().st_size != expected:
        raise UserError(
            f"the file is damaged or cut short: {file.stat().st_size:,} bytes instead of {expected:,}", place=file
        )
    return config, _llmc_tensors(file, config, shapes, LLMC_DTYPES[version])


def _llmc_shapes(config: GPT2Config, padded: int) -> list[tuple[str, tuple[int, ...]]]:
    """llm.c writes one kind after another, each for all layers; matrices as (out, in)."""
    layers, width, inner = config.layers, config.width, config.inner_width
    return [
        ("wte.weight", (padded, width)),
        ("wpe.weight", (config.context, width)),
        ("ln_1.weight", (layers, width)),
        ("ln_1.bias", (layers, width)),
        ("attn.c_attn.weight", (layers, 3 * width, width)),
        ("attn.c_attn.bias", (layers, 3 * width)),
        ("attn.c_proj.weight", (layers, width, width)),
        ("attn.c_proj.bias", (layers, width)),
        ("ln_2.weight", (layers, width)),
        ("ln_2.bias", (layers, width)),
        ("mlp.c_fc.weight", (layers, inner, width)),
        ("mlp.c_fc.bias", (layers, inner)),
        ("mlp.c_proj.weight", (layers, width, inner)),
        ("mlp.c_proj.bias", (layers, width)),
        ("ln_f.weight", (width,)),
        ("ln_f.bias", (width,)),
    ]


def _llmc_tensors(
    file: Path, config: GPT2Config, shapes: list[tuple[str, tuple[int, ...]]], dtype: torch.dtype
) -> Tensors:
    offset = LLMC_HEADER * 4
    for name, shape in shapes:
        count = int(np.prod(shape))
        values = torch.from_file(str(file), size=offset // dtype.itemsize + count, dtype=dtype)
        tensor = values[offset // dtype.itemsize :].view(shape)
        offset += count * dtype.itemsize
        if name == "wte.weight":
            yield f"transformer.{name}", tensor[: config.vocabulary]
        elif name.startswith(("wpe", "ln_f")):
            yield f"transformer.{name}", tensor
        else:
            for layer in range(config.layers):
                yield f"transformer.h.{layer}.{name}", tensor[layer].t() if layout.is_turned(name) else tensor[layer]
