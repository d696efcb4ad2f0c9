"""Batches on their way to the device: made one step ahead, cut to micro-batches, pinned where the device is a GPU."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar, overload

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gpt2lab.text.batches import UNSCORED, Batch, by_length

T = TypeVar("T")
STEP_OF_LENGTHS = 16  # for each new shape oneDNN makes a kernel and keeps it: few lengths, little memory


@dataclass(frozen=True)
class Inputs:
    """A micro-batch on the device."""

    ids: Tensor
    targets: Tensor
    mask: Tensor | None = None  # (B, T) what is real, or (B, T, T) who may look at whom
    positions: Tensor | None = None
    labels: Tensor | None = None
    wanted: Tensor | None = None  # the places that go through the head, of all of them flat; all where it is None
    last: Tensor | None = None  # of labelled texts: where each ends, of all places flat


@dataclass(frozen=True)
class Part:
    """A micro-batch in main memory, pinned where the device is a GPU; masks are made on the device."""

    ids: Tensor
    targets: Tensor
    documents: Tensor | None
    positions: Tensor | None  # where several documents share a row
    labels: Tensor | None
    wanted: Tensor | None
    last: Tensor | None

    def to(self, device: torch.device) -> Inputs:
        ids, targets, labels = _sent(self.ids, device), _sent(self.targets, device), _sent(self.labels, device)
        documents, positions = _sent(self.documents, device), _sent(self.positions, device)
        wanted, last = _sent(self.wanted, device), _sent(self.last, device)
        mask = None
        if documents is not None and positions is not None:
            mask = (documents[:, :, None] == documents[:, None, :]) & (documents >= 0)[:, None, :]
        elif documents is not None and device.type == "cpu":
            mask = documents >= 0  # padding is left out there; elsewhere it stands on the right, where nobody looks
        return Inputs(ids, targets, mask, positions, labels, wanted, last)


@dataclass(frozen=True)
class Cut:
    """A batch in micro-batches of so many rows."""

    batch: Batch
    rows: int
    parts: tuple[Part, ...]


def ahead(make: Callable[[int], T], first: int, last: int) -> Iterator[T]:
    """The batches of steps [first, last); while one is used, the next is made."""
    if first >= last:
        return
    with ThreadPoolExecutor(1, "batches") as maker:
        coming = maker.submit(make, first)
        for step in range(first + 1, last):
            batch, coming = coming.result(), maker.submit(make, step)
            yield batch
        yield coming.result()


def cut(batch: Batch, rows: int, device: torch.device, one_shape: bool = False) -> Cut:
    """Into parts of about `rows` full rows each; unequal rows go with their like, without much padding.

    In one shape, for a compiled step, the last part is filled up with rows that have no targets. A training calls this
    in the thread that makes batches: pinning memory waits for the GPU's driver.
    """
    return Cut(batch, rows, tuple(_part(part, device, one_shape) for part in _parted(batch, rows, one_shape)))


def _parted(batch: Batch, rows: int, one_shape: bool) -> Iterator[Batch]:
    if batch.documents is None:
        for start in range(0, len(batch.ids), rows):
            part = batch.part(np.arange(start, min(start + rows, len(batch.ids))))
            yield part.filled(rows) if one_shape else part
        return
    longest = batch.ids.shape[1]
    lengths = np.minimum(-(-(batch.documents >= 0).sum(axis=1) // STEP_OF_LENGTHS) * STEP_OF_LENGTHS, longest)
    for places in by_length(lengths, rows * longest):
        yield batch.part(places, int(lengths[places].max()))


def micro_batches(batch: Batch, rows: int, device: torch.device, one_shape: bool = False) -> Iterator[Inputs]:
    """The parts of a batch, one after the other on the device."""
    return (part.to(device) for part in cut(batch, rows, device, one_shape).parts)


def _part(batch: Batch, device: torch.device, dense: bool) -> Part:
    ids, targets, labels = _held(batch.ids, device), _held(batch.targets, device), _held(batch.labels, device)
    # Found here: a GPU that looked for them would have to be waited for.
    places = np.flatnonzero(batch.targets != UNSCORED)
    wanted = None if dense or len(places) == batch.targets.size else _held(places, device)
    last = None if batch.labels is None else _held(_last(batch), device)
    if batch.documents is None or (batch.documents == 0).all():
        return Part(ids, targets, None, None, labels, wanted, last)
    several = batch.documents.max() > 0
    positions = _held(_positions(batch.documents), device) if several else None
    return Part(ids, targets, _held(batch.documents, device), positions, labels, wanted, last)


def _last(batch: Batch) -> NDArray[np.int64]:
    rows, length = batch.ids.shape
    lengths = np.full(rows, length) if batch.documents is None else (batch.documents >= 0).sum(axis=1)
    return np.arange(rows) * length + np.maximum(lengths, 1) - 1


def _positions(documents: NDArray[np.int64]) -> NDArray[np.int64]:
    """Each document of a packed row counts from 0."""
    places = np.broadcast_to(np.arange(documents.shape[1]), documents.shape)
    begins = np.diff(documents, axis=1, prepend=-2) != 0
    return places - np.maximum.accumulate(np.where(begins, places, 0), axis=1)


def is_gpu(device: torch.device | str | int) -> bool:
    """A device may be given as text, as an object or by its index; comparing it with "cuda" is only right for one."""
    return torch.device(device).type == "cuda"


@overload
def _held(array: NDArray[np.int64], device: torch.device) -> Tensor: ...
@overload
def _held(array: None, device: torch.device) -> None: ...
def _held(array: NDArray[np.int64] | None, device: torch.device) -> Tensor | None:
    """In memory that the device can copy from by itself."""
    if array is None:
        return None
    tensor = torch.from_numpy(array)
    if not is_gpu(device):
        return tensor
    with torch.cuda.device(device):  # a thread begins with the first GPU, whichever is ours
        return tensor.pin_memory()


@overload
def _sent(tensor: Tensor, device: torch.device) -> Tensor: ...
@overload
def _sent(tensor: None, device: torch.device) -> None: ...
def _sent(tensor: Tensor | None, device: torch.device) -> Tensor | None:
    return None if tensor is None else tensor.to(device, non_blocking=is_gpu(device))
