"""Batches are made one step ahead, and pinned for GPUs however the device is named."""

import threading

import numpy as np
import pytest
import torch

from gpt2lab.text.batches import Batch
from gpt2lab.train.feed import ahead, is_gpu, to_device


def made(number):
    return Batch(np.array([[number]]), np.array([[number]]))


@pytest.mark.parametrize(("first", "last"), [(0, 0), (0, 1), (3, 9)])
def test_every_step_gets_its_batch_in_order(first, last):
    assert [int(batch.ids[0, 0]) for batch in ahead(made, first, last)] == list(range(first, last))


def test_the_next_batch_is_made_while_one_is_used():
    asked = [threading.Event() for _ in range(3)]

    def make(number):
        asked[number].set()
        return made(number)

    batches = ahead(make, 0, 3)
    next(batches)
    assert asked[1].wait(5)
    assert not asked[2].is_set()
    batches.close()


def test_a_failure_while_making_a_batch_is_not_lost():
    def fail(number):
        raise RuntimeError("shard gone")

    with pytest.raises(RuntimeError, match="shard gone"):
        list(ahead(fail, 0, 2))


@pytest.mark.parametrize("device", ["cuda", "cuda:0", torch.device("cuda"), torch.device("cuda", 1)])
def test_a_gpu_is_recognised_as_text_as_object_and_with_an_index(device):
    """`device == "cuda"` is false for torch.device("cuda:0"), and pinned memory then never engages."""
    assert is_gpu(device)


def test_a_bare_index_means_an_accelerator_and_cpu_is_none(monkeypatch):
    monkeypatch.setattr(torch, "device", lambda device: type("Device", (), {"type": "cuda" if device == 0 else "cpu"}))
    assert is_gpu(0)
    assert not is_gpu("cpu")


def test_on_a_gpu_memory_is_pinned_before_the_copy(monkeypatch):
    pinned = []
    monkeypatch.setattr("gpt2lab.train.feed.is_gpu", lambda device: True)
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda self: pinned.append(True) or self)
    to_device(np.array([1]), torch.device("cpu"))
    assert pinned == [True]
