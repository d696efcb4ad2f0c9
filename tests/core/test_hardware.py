"""The machine as it is; nothing is promised that it cannot do."""

import os

import pytest
import torch

from gpt2lab.core import hardware
from gpt2lab.core.errors import UserError

CPU = torch.device("cpu")


def test_fp16_on_a_cpu_is_refused_with_the_way_out():
    with pytest.raises(UserError, match="fp16 on a CPU"):
        hardware.choose_precision("fp16", CPU)


def test_auto_precision_follows_the_hardware(monkeypatch):
    monkeypatch.setattr(hardware, "cpu_flags", lambda: {"avx512_bf16"})
    assert hardware.choose_precision("auto", CPU) == "bf16"
    monkeypatch.setattr(hardware, "cpu_flags", lambda: {"avx2"})
    assert hardware.choose_precision("auto", CPU) == "fp32"


@pytest.mark.parametrize("name", ["cuda:99", "quantum", "mps"])
def test_a_device_that_is_not_here_is_named(name):
    if name == "mps" and torch.backends.mps.is_available():
        assert hardware.choose_device(name).type == "mps"
        return
    with pytest.raises(UserError, match=name):
        hardware.choose_device(name)


def test_a_gpu_is_set_up_before_its_first_product(monkeypatch):
    """cuBLAS looks once whether it may be asked to be deterministic; cuDNN's attention is switched off."""
    switched = []
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.backends.cuda, "enable_cudnn_sdp", switched.append)
    for wanted in ("auto", "cuda", "cuda:0"):
        assert hardware.choose_device(wanted).type == "cuda"
    assert os.environ.pop("CUBLAS_WORKSPACE_CONFIG") == ":4096:8"
    assert switched == [False] * 3


@pytest.mark.parametrize(
    ("error", "is_one"),
    [
        (torch.OutOfMemoryError("CUDA out of memory"), True),
        (MemoryError(), True),
        (
            RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried 9 bytes"),
            True,
        ),
        (RuntimeError("MPS backend out of memory (MPS allocated: 8 GB)"), True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
    ],
)
def test_out_of_memory_has_many_names(error, is_one):
    assert hardware.is_out_of_memory(error) == is_one


def test_every_known_gpu_is_found_by_its_full_name_and_an_unknown_one_says_unknown(monkeypatch):
    names = {"NVIDIA H100 PCIe": 756e12, "NVIDIA H200": 989e12, "Tesla T4": 65e12, "NVIDIA A100-SXM4-80GB": 312e12}
    names |= {"NVIDIA L40S": 362e12, "NVIDIA L4": 121e12, "NVIDIA A10G": 70e12, "Some New Card": None}
    names |= {"NVIDIA RTX A1000": None, "NVIDIA T400": None, "NVIDIA GeForce RTX 4090 Laptop GPU": None}
    for name, rate in names.items():
        monkeypatch.setattr(hardware, "device_name", lambda device, name=name: name)
        assert hardware.peak_flops(torch.device("cuda")) == rate, name
        assert hardware.peak_flops(torch.device("cuda"), "fp32") is None, "data sheets tell of half precision"


def test_the_matmul_rate_is_measured():
    assert 1e8 < hardware.matmul_rate(CPU, seconds=0.05) < 1e14


def test_memory_and_cores_are_positive_and_plausible():
    assert hardware.memory() > 2**28
    assert 1 <= hardware.cores() <= 4096
