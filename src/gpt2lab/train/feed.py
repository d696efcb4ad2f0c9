"""Batches on their way to the device: made one step ahead, cut to micro-batches, pinned where the device is a GPU."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gpt2lab.text.batches import UNSCORED, Batch, by_length

STEP_OF_LENGTHS = 16  # for each new shape oneDNN makes a kernel and keeps it: few lengths, little memory


@dataclass(frozen=True)
class Inputs:
    """A micro-batch on the device."""

    ids: Tensor
    targets: Tensor
    mask: Tensor | None = None  # (B, T) what is real, or (B, T, T) who may look at whom
    positions: Tensor | None = None
    labels: Tensor | None = None
    dense: bool = False  # every place goes through the head, whether it has a target or not


def ahead(make: Callable[[int], Batch], first: int, last: int) -> Iterator[Batch]:
    """The batches of steps [first, last); while one is used, the next is made."""
    if first >= last:
        return
    with ThreadPoolExecutor(1, "batches") as maker:
        coming = maker.submit(make, first)
        for step in range(first + 1, last):
            batch, coming = coming.result(), maker.submit(make, step)
            yield batch
        yield coming.result()


def micro_batches(batch: Batch, rows: int, device: torch.device, one_shape: bool = False) -> Iterator[Inputs]:
    """Parts of a batch with about `rows` full rows each; unequal rows go with their like, without much padding.

    In one shape, for a compiled step, the last part is filled up with rows that have no targets.
    """
    if batch.documents is None:
        for start in range(0, len(batch.ids), rows):
            part = batch.part(np.arange(start, min(start + rows, len(batch.ids))))
            yield to_inputs(part.filled(rows) if one_shape else part, device, one_shape)
        return
    longest = batch.ids.shape[1]
    lengths = np.minimum(-(-(batch.documents >= 0).sum(axis=1) // STEP_OF_LENGTHS) * STEP_OF_LENGTHS, longest)
    for places in by_length(lengths, rows * longest):
        yield to_inputs(batch.part(places, int(lengths[places].max())), device)


def to_inputs(batch: Batch, device: torch.device, dense: bool = False) -> Inputs:
    labels = None if batch.labels is None else to_device(batch.labels, device)
    ids, targets = to_device(batch.ids, device), to_device(batch.targets, device)
    dense = dense or bool((batch.targets != UNSCORED).all())
    if batch.documents is None or (batch.documents == 0).all():
        return Inputs(ids, targets, labels=labels, dense=dense)
    documents = to_device(batch.documents, device)
    if batch.documents.max() == 0:
        return Inputs(ids, targets, documents >= 0, labels=labels, dense=dense)
    together = (documents[:, :, None] == documents[:, None, :]) & (documents >= 0)[:, None, :]
    return Inputs(ids, targets, together, to_device(_positions(batch.documents), device), labels, dense)


def _positions(documents: NDArray[np.int64]) -> NDArray[np.int64]:
    """Each document of a packed row counts from 0."""
    places = np.broadcast_to(np.arange(documents.shape[1]), documents.shape)
    begins = np.diff(documents, axis=1, prepend=-2) != 0
    return places - np.maximum.accumulate(np.where(begins, places, 0), axis=1)


def is_gpu(device: torch.device | str | int) -> bool:
    """A device may be given as text, as an object or by its index; comparing it with "cuda" is only right for one."""
    return torch.device(device).type == "cuda"


def to_device(array: NDArray[np.int64], device: torch.device) -> Tensor:
    tensor = torch.from_numpy(array)
    if is_gpu(device):
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)
