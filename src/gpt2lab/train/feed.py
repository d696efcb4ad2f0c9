"""Batches on their way to the device: made one step ahead, pinned where the device is a GPU."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gpt2lab.text.batches import Batch


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


def is_gpu(device: torch.device | str | int) -> bool:
    """A device may be given as text, as an object or by its index; comparing it with "cuda" is only right for one."""
    return torch.device(device).type == "cuda"


def to_device(array: NDArray[np.int64], device: torch.device) -> Tensor:
    tensor = torch.from_numpy(array)
    if is_gpu(device):
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)
