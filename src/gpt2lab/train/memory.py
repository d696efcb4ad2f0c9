"""How much memory a training takes, by calculation: to choose a micro-batch and to warn before it is too late."""

from __future__ import annotations

import torch

from gpt2lab.core import hardware
from gpt2lab.model import thrift
from gpt2lab.model.config import GPT2Config, parameter_count
from gpt2lab.train.cross_entropy import CHUNK_BYTES
from gpt2lab.train.settings import TrainSettings

# Numbers that a block keeps for the way back, in widths: what enters it and its MLP, qkv, attention's output, the MLP's
# inner width before its activation. Under autocast, in fp16, what norms and activations make as well.
WIDTHS_A_LAYER = {"fp32": 10, "bf16": 10, "fp16": 16}
WIDTHS_OF_FEW = 16  # on a CPU, of few tokens at once; see `model/thrift.py`
WIDTHS_RECOMPUTED = 1  # only what enters each block
BYTES_PACKED = 0.53  # half a byte, and the scale of a block
SHARE = 0.8  # of the memory that may be planned with
TOKENS_ON_A_CPU = 4096  # at once; more is not faster there


def of_state(config: GPT2Config, trainable: int, settings: TrainSettings, precision: str, packed: int = 0) -> int:
    """Weights, gradients, the optimizer's two numbers a weight, the copies that compute, the running mean.

    `packed` weights are held in four bits, and the largest of their layers is unpacked at a time.
    """
    weights = parameter_count(config) - packed
    unpacked = 6 * config.width * config.inner_width if packed else 0
    copies = 2 * weights if precision == "bf16" else 0
    average = 4 * trainable if settings.average else 0
    return 4 * weights + round(BYTES_PACKED * packed) + unpacked + 12 * trainable + copies + average


def of_saving(trainable: int, settings: TrainSettings, kind: str) -> int:
    """What is copied before it is written, where the state is in main memory."""
    return (12 + (4 if settings.average else 0)) * trainable if kind == "cpu" else 0


def of_activations(config: GPT2Config, tokens: int, settings: TrainSettings, precision: str, kind: str) -> int:
    number = 4 if precision == "fp32" else 2
    few = kind == "cpu" and tokens <= thrift.KEPT_UP_TO
    kept = WIDTHS_OF_FEW if few else WIDTHS_A_LAYER[precision]
    widths = WIDTHS_RECOMPUTED * config.layers + kept if settings.recompute else kept * config.layers
    return tokens * widths * config.width * number


def needed(
    config: GPT2Config,
    trainable: int,
    tokens: int,
    settings: TrainSettings,
    precision: str,
    kind: str,
    packed: int = 0,
) -> int:
    chunk = min(CHUNK_BYTES.get(kind, CHUNK_BYTES["cuda"]), 4 * tokens * config.vocabulary)
    head = 0 if config.labels else 3 * int(chunk)
    state = of_state(config, trainable, settings, precision, packed)
    passing = of_activations(config, tokens, settings, precision, kind) + head
    before_packing = 4 * parameter_count(config) if packed and kind == "cpu" else 0
    return max(before_packing, state + max(passing, of_saving(trainable, settings, kind)))


def micro_batch(
    config: GPT2Config,
    trainable: int,
    block: int,
    rows: int,
    settings: TrainSettings,
    precision: str,
    device: torch.device,
    packed: int = 0,
) -> int:
    """The most rows, halved until they fit by calculation; a trial on the device has the last word on GPUs."""
    room = SHARE * hardware.device_memory(device)
    count = rows
    if device.type == "cpu":
        count = min(rows, max(1, TOKENS_ON_A_CPU // block))
    while count > 1 and needed(config, trainable, count * block, settings, precision, device.type, packed) > room:
        count = -(-count // 2)
    return count
