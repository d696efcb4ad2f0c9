"""The memory of this process: its peak, and the pages that it keeps."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from gpt2lab.core import hardware

if TYPE_CHECKING:
    import torch

TRIM_THRESHOLD, TOP_PAD, MMAP_MAX = -1, -2, -4  # malloc.h
HUGEPAGE = 14  # mman.h
LARGE_PAGE = 2 * 2**20


def peak(device: torch.device) -> int:
    """The most bytes this process has held since it began or last forgot, on a GPU or in main memory."""
    import resource

    import torch

    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    with contextlib.suppress(OSError):  # what getrusage says begins with the peak of whoever started this process
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024


def forget_peak(device: torch.device) -> None:
    """From here on the peak is that of what comes, though the process has done other things before. What these have
    left goes back to the system first. Where Linux does not let it, the peak stays that of everything."""
    import torch

    gc.collect()
    if device.type == "cuda":
        if torch.cuda.is_initialized():  # else nothing was held there
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats(device)
        return
    with contextlib.suppress(OSError, AttributeError):  # another system or C library
        ctypes.CDLL(None).malloc_trim(0)
        Path("/proc/self/clear_refs").write_text("5")


def keep_pages() -> None:
    """Memory that tensors give back stays with this process: a step asks for the same again at once.

    By default glibc returns every large block to the system and takes it back page by page, filled with zeros; and
    oneDNN keeps a thousand kernels, of which rows of many lengths fill a gigabyte.
    """
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "512")
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):  # another C library
            c = ctypes.CDLL(None)
            c.mallopt(MMAP_MAX, 0)
            c.mallopt(TRIM_THRESHOLD, -1)
            c.mallopt(TOP_PAD, 64 * 2**20)
            _ask_for_large_pages(c)


def _ask_for_large_pages(c: ctypes.CDLL) -> None:
    """The heap grows by half of the machine's memory, of which nothing is taken before it is used, and asks Linux to
    give it in large pages: to look up small ones takes 2 to 3 % of a training step (benchmarks/NOTES.md)."""
    if not _may_ask():
        return
    c.malloc.restype, c.malloc.argtypes, c.free.argtypes = ctypes.c_void_p, [ctypes.c_size_t], [ctypes.c_void_p]
    c.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    room = hardware.memory() // 2
    if block := c.malloc(room):
        begin = -(-block // LARGE_PAGE) * LARGE_PAGE
        c.madvise(begin, block + room - begin, HUGEPAGE)
        c.free(block)


def _may_ask() -> bool:
    """Not where a heap that grows takes room from others or is written to at once, nor for pages of another size."""
    import resource

    promised = Path("/proc/sys/vm/overcommit_memory").read_text().strip() == "2"
    limited = any(
        resource.getrlimit(kind)[0] != resource.RLIM_INFINITY for kind in (resource.RLIMIT_AS, resource.RLIMIT_DATA)
    )
    size = int(Path("/sys/kernel/mm/transparent_hugepage/hpage_pmd_size").read_text())
    return size == LARGE_PAGE and not (promised or limited or "MALLOC_PERTURB_" in os.environ)
