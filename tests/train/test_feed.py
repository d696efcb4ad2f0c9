"""Batches are made one step ahead, and pinned for GPUs however the device is named."""

import contextlib
import threading
from dataclasses import replace

import numpy as np
import pytest
import torch

from gpt2lab.model import prompt
from gpt2lab.model.settings import PromptSettings
from gpt2lab.text.batches import UNSCORED, Batch
from gpt2lab.train import feed
from gpt2lab.train.feed import ahead, is_gpu
from gpt2lab.train.objectives import classification, language_modelling
from models import TINY, classifier, language_model


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


@pytest.mark.parametrize("device", ["cuda", "cuda:1", torch.device("cuda"), torch.device("cuda", 1)])
def test_on_a_gpu_memory_is_pinned_in_the_thread_that_makes_batches(monkeypatch, device):
    """Pinning waits for the driver: in the main thread it once held up every micro-batch."""
    pinned, entered = [], []
    monkeypatch.setattr(torch.cuda, "device", lambda given: entered.append(given) or contextlib.nullcontext())
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda self: pinned.append(threading.current_thread().name) or self)
    batch = Batch(np.arange(6).reshape(3, 2), np.arange(6).reshape(3, 2))
    cuts = list(ahead(lambda _: feed.cut(batch, 2, device), 0, 2))
    assert [len(cut.parts) for cut in cuts] == [2, 2]
    assert len(pinned) == 2 * 2 * 2  # ids and targets of two parts of two batches
    assert all(name.startswith("batches") for name in pinned)
    assert set(entered) == {device}  # a thread begins with the first GPU


def test_on_a_cpu_nothing_is_pinned(monkeypatch):
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda self: pytest.fail("there is no GPU"))
    assert len(feed.cut(made(1), 1, torch.device("cpu")).parts) == 1


def test_a_cut_batch_holds_every_row_once_and_in_order():
    ids = np.arange(35).reshape(7, 5)
    parts = feed.cut(Batch(ids, ids + 1), 3, torch.device("cpu")).parts
    assert [len(part.ids) for part in parts] == [3, 3, 1]
    assert np.array_equal(torch.cat([part.ids for part in parts]).numpy(), ids)
    assert np.array_equal(torch.cat([part.targets for part in parts]).numpy(), ids + 1)


def documents(*lengths):
    longest = max(lengths)
    numbers = np.array([[0] * length + [-1] * (longest - length) for length in lengths])
    ids = np.where(numbers == 0, np.arange(numbers.size).reshape(numbers.shape) % 50, 0)
    return ids, np.where(numbers == 0, ids, UNSCORED), numbers


def test_but_on_a_cpu_padding_on_the_right_needs_no_mask():
    """Nobody looks there; and a mask keeps a GPU from its fastest attention."""
    (part,) = feed.cut(Batch(*documents(3, 5, 2)), 3, torch.device("cpu")).parts
    assert part.to(torch.device("cpu")).mask is not None
    assert part.to(torch.device("meta")).mask is None
    ids, targets, numbers = documents(4, 4)
    numbers[:, 2:] = 1
    (packed,) = feed.cut(Batch(ids, targets, numbers), 2, torch.device("cpu")).parts
    assert packed.to(torch.device("meta")).mask.shape == (2, 4, 4)


@pytest.mark.parametrize("soft", [0, 3])
@pytest.mark.parametrize("kind", ["text", "labels"])
def test_without_a_mask_the_loss_is_the_same(kind, soft):
    labels = np.array([0, 2, 1]) if kind == "labels" else None
    config = TINY.with_dropout(0.0)
    model = classifier(replace(config, labels=("a", "b", "c"))) if kind == "labels" else language_model(config)
    if soft:
        prompt.add(model, PromptSettings(tokens=soft), 1, np.array([], np.int64))
    objective = classification if kind == "labels" else language_modelling
    (part,) = feed.cut(Batch(*documents(3, 6, 2), labels), 3, torch.device("cpu")).parts
    inputs = part.to(torch.device("cpu"))
    expected = objective(model, inputs)
    torch.testing.assert_close(objective(model, replace(inputs, mask=None)), expected)
    torch.testing.assert_close(objective(model, replace(inputs, last=None)), expected)
