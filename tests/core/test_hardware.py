"""The machine as it is; nothing is promised that it cannot do."""

import subprocess
import sys

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


def test_every_known_gpu_is_found_by_its_full_name_and_an_unknown_one_says_unknown(monkeypatch):
    names = {"NVIDIA H100 PCIe": 756e12, "NVIDIA H200": 989e12, "Tesla T4": 65e12, "NVIDIA A100-SXM4-80GB": 312e12}
    names |= {"NVIDIA L40S": 362e12, "NVIDIA L4": 121e12, "NVIDIA A10G": 70e12, "Some New Card": None}
    names |= {"NVIDIA RTX A1000": None, "NVIDIA T400": None, "NVIDIA GeForce RTX 4090 Laptop GPU": None}
    for name, rate in names.items():
        monkeypatch.setattr(hardware, "device_name", lambda device, name=name: name)
        assert hardware.peak_flops(torch.device("cuda")) == rate, name


def test_the_matmul_rate_is_measured():
    assert 1e8 < hardware.matmul_rate(CPU, seconds=0.05) < 1e14


def test_memory_and_cores_are_positive_and_plausible():
    assert hardware.memory() > 2**28
    assert 1 <= hardware.cores() <= 4096
    assert hardware.peak_memory(CPU) > 2**20


def test_peak_memory_is_this_processs_own_and_not_that_of_who_started_it():
    """getrusage hands a parent's peak down to its children: a benchmark once showed 4.0 GB for everyone."""
    held = bytearray(400 * 2**20)
    code = "import torch; from gpt2lab.core import hardware; print(hardware.peak_memory(torch.device('cpu')))"
    bare = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(bare.stdout) < 600 * 2**20
    assert hardware.peak_memory(CPU) > len(held)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux forgets a peak")
def test_a_peak_that_was_forgotten_does_not_count_for_what_comes_after():
    """Trials of a search share a process: the second one's memory is not that of the first."""
    code = """
import torch
from gpt2lab.core import hardware
cpu = torch.device("cpu")
hardware.keep_pages()
blocks = [torch.ones(2**20) for _ in range(100)]
first = hardware.peak_memory(cpu)
del blocks
hardware.forget_peak_memory(cpu)
after = hardware.peak_memory(cpu)
more = torch.ones(50 * 2**20)
print(first, after, hardware.peak_memory(cpu))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    first, after, last = map(int, done.stdout.split())
    assert first - after > 300 * 2**20
    assert 190 * 2**20 < last - after < 250 * 2**20
