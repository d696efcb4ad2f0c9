"""Gradients travel between processes in few large messages, each in one of them, in the same order every time."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gpt2lab.core.errors import UserError
from gpt2lab.train import processes

SIZES = st.lists(st.tuples(st.integers(0, 40), st.sampled_from([torch.float32, torch.float64])), max_size=30)


@given(SIZES)
def test_every_tensor_is_in_one_bucket_in_order_and_none_is_too_full(sizes):
    tensors = [torch.zeros(count, dtype=dtype) for count, dtype in sizes]
    limit, processes.BUCKET_BYTES = processes.BUCKET_BYTES, 100
    try:
        found = list(processes.buckets(tensors))
    finally:
        processes.BUCKET_BYTES = limit
    assert [id(tensor) for bucket in found for tensor in bucket] == [id(tensor) for tensor in tensors]
    for bucket in found:
        assert len({tensor.dtype for tensor in bucket}) == 1
        assert len(bucket) == 1 or sum(tensor.nbytes for tensor in bucket) <= 100


def test_the_gradients_of_124m_weights_take_few_messages():
    """One message a tensor were 148 of them."""
    widths = [(50304, 768), (1024, 768)] + [(2304, 768), (768, 768), (3072, 768), (768, 3072), (768,), (768,)] * 12
    with torch.device("meta"):
        tensors = [torch.empty(shape) for shape in widths]
    assert len(list(processes.buckets(tensors))) <= 20


def test_one_of_several_that_does_not_know_its_gpu_says_so(monkeypatch):
    """All would take the first one."""
    for name, value in (("WORLD_SIZE", "2"), ("RANK", "1")):
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    with pytest.raises(UserError, match="which GPU is its own"):
        processes.own_device(torch.device("cuda"))
    assert processes.own_device(torch.device("cuda:1")).index == 1
    assert processes.own_device(torch.device("cpu")).type == "cpu"
