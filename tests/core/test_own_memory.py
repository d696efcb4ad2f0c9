"""What a process says of its memory is its own, and what it keeps costs nothing before it is used."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from gpt2lab.core import own_memory

CPU = torch.device("cpu")
LARGE_PAGES = Path("/sys/kernel/mm/transparent_hugepage/enabled")


def said(code: str) -> list[int]:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return [int(word) for word in done.stdout.split()]


def test_peak_memory_is_this_processs_own_and_not_that_of_who_started_it():
    """getrusage hands a parent's peak down to its children: a benchmark once showed 4.0 GB for everyone."""
    held = bytearray(400 * 2**20)
    code = "import torch; from gpt2lab.core import own_memory; print(own_memory.peak(torch.device('cpu')))"
    assert said(code)[0] < 600 * 2**20
    assert own_memory.peak(CPU) > len(held)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux forgets a peak")
def test_a_peak_that_was_forgotten_does_not_count_for_what_comes_after():
    """Trials of a search share a process: the second one's memory is not that of the first."""
    code = """
import torch
from gpt2lab.core import own_memory
cpu = torch.device("cpu")
own_memory.keep_pages()
blocks = [torch.ones(2**20) for _ in range(100)]
first = own_memory.peak(cpu)
del blocks
own_memory.forget_peak(cpu)
after = own_memory.peak(cpu)
more = torch.ones(50 * 2**20)
print(first, after, own_memory.peak(cpu))
"""
    first, after, last = said(code)
    assert first - after > 300 * 2**20
    assert 190 * 2**20 < last - after < 250 * 2**20


@pytest.mark.skipif(
    not LARGE_PAGES.exists() or "[never]" in LARGE_PAGES.read_text() or not own_memory._may_ask(),
    reason="no large pages are given here",
)
def test_tensors_are_in_large_pages_and_what_is_not_used_is_not_taken():
    """Also once a process has given all back, as between the trials of a search."""
    code = """
import torch
from pathlib import Path
from gpt2lab.core import own_memory
def kb(what):
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(what))
before = kb("Rss:")
own_memory.keep_pages()
own_memory.forget_peak(torch.device("cpu"))
own_memory.keep_pages()
unused = kb("Rss:")
held = [torch.ones(2**20) for _ in range(100)]
print(before, unused, kb("Rss:"), kb("AnonHugePages:"))
"""
    before, unused, used, large = (kb * 1024 for kb in said(code))
    assert unused - before < 10 * 2**20
    assert 390 * 2**20 < used - unused < 420 * 2**20
    assert large > 350 * 2**20
