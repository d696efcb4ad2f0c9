"""What this machine is and can do: device, memory, cores, number formats, matmul rate."""

from __future__ import annotations

import contextlib
import os
import platform
import re
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from gpt2lab.core.console import counted
from gpt2lab.core.errors import UserError

if TYPE_CHECKING:
    import torch

Precision = Literal["auto", "fp32", "bf16", "fp16"]

# Dense tensor-core TFLOP/s (bf16; fp16 on the T4 and V100, which have no bf16), from NVIDIA's data sheets.
# Where the sheet gives the figure with sparsity it is halved. Names are matched from the top: longer ones come first.
KNOWN_GPUS = {
    "GH200": 989,
    "H200 NVL": 835,
    "H200": 989,
    "H100 NVL": 835,
    "H100 PCIe": 756,
    "H100": 989,
    "B200": 2250,
    "A100": 312,
    "A10G": 70,
    "A10": 125,
    "L40S": 362,
    "L40": 181,
    "L4": 121,
    "V100": 125,
    "T4": 65,
    "RTX 4090": 165,
    "RTX 3090": 71,
}


def choose_device(wanted: str = "auto") -> torch.device:
    """`auto`, `cpu`, `cuda`, `cuda:1` or `mps`, checked against what is here."""
    import torch

    if wanted == "auto":
        wanted = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        device = torch.device(wanted)
    except RuntimeError as error:
        raise UserError(f"there is no device named {wanted!r}", way_out="use auto, cpu, cuda, cuda:0 or mps") from error
    present = {
        "cpu": True,
        "cuda": torch.cuda.is_available() and (device.index or 0) < torch.cuda.device_count(),
        "mps": torch.backends.mps.is_available(),
    }
    if not present.get(device.type, False):
        raise UserError(f"the device {wanted!r} is not on this machine", way_out="gpt2lab doctor shows what is here")
    if device.type == "cuda":
        _set_up_cuda()
    return device


def _set_up_cuda() -> None:
    """What counts from the first product on. cuDNN's attention makes a plan for each new shape, and with a mask its
    gradients may be NaN (pytorch#196678); a training of blocks takes it where it is good."""
    import torch

    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # or no later training can be deterministic
    torch.backends.cuda.enable_cudnn_sdp(False)


def choose_precision(wanted: Precision, device: torch.device) -> Literal["fp32", "bf16", "fp16"]:
    """`auto` takes bf16 where the hardware multiplies in it, fp16 on older GPUs, else fp32."""
    if wanted == "auto":
        return "bf16" if has_bf16(device) else "fp16" if device.type == "cuda" else "fp32"
    if wanted == "fp16" and device.type == "cpu":
        raise UserError(
            "fp16 on a CPU is not offered: its matrix products run at about 1 GFLOP/s",
            way_out="use precision bf16 or fp32",
        )
    return wanted


def has_bf16(device: torch.device) -> bool:
    import torch

    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    return device.type == "cpu" and bool({"avx512_bf16", "amx_bf16"} & cpu_flags())


def cpu_flags() -> set[str]:
    """The processor's abilities, in Linux' names. Apple's are not read: bf16 there is left to the user."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("flags"):
                return set(line.partition(":")[2].split())
    return set()


def cpu_name() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        return subprocess.run(
            ["sysctl", "-n", "machdep.cpu.brand_string"], capture_output=True, text=True, check=True, timeout=2
        ).stdout.strip()
    return platform.processor() or platform.machine()


def cores() -> int:
    """Cores this process may use: its affinity, and the container's quota."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    with contextlib.suppress(OSError, ValueError):
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        allowed = min(allowed, max(1, round(int(quota) / int(period))))
    return allowed


def memory() -> int:
    """Bytes of main memory this process may use."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    with contextlib.suppress(OSError, ValueError):
        total = min(total, int(Path("/sys/fs/cgroup/memory.max").read_text()))
    return total


def device_memory(device: torch.device) -> int:
    import torch

    if device.type == "mps":
        return torch.mps.recommended_max_memory()
    return torch.cuda.get_device_properties(device).total_memory if device.type == "cuda" else memory()


def is_out_of_memory(error: BaseException) -> bool:
    """PyTorch has a name for a GPU's; for others only a text, and on Windows another one."""
    import torch

    texts = ("can't allocate memory", "not enough memory", "MPS backend out of memory")
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or any(text in str(error) for text in texts)


def device_name(device: torch.device) -> str:
    import torch

    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{cpu_name()}, {counted(cores(), 'core')}" if device.type == "cpu" else cpu_name()


def peak_flops(device: torch.device, precision: str = "bf16") -> float | None:
    """A known GPU's data-sheet rate in half precision; None where we know none, and measuring is the honest way."""
    if device.type != "cuda" or precision == "fp32":
        return None
    name = device_name(device)
    if "Laptop" in name:  # a smaller chip under the same name
        return None
    known = (rate for known, rate in KNOWN_GPUS.items() if re.search(rf"(?<!\w){re.escape(known)}(?!\w)", name))
    return next((rate * 1e12 for rate in known), None)


def matmul_rate(device: torch.device, precision: str = "fp32", seconds: float = 0.5) -> float:
    """FLOP/s that a large matrix product reaches here: the median of several."""
    import torch

    size = 8192 if device.type == "cuda" else 1024
    dtype = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[precision]
    left = torch.randn(size, size, device=device).to(dtype)
    right = torch.randn(size, size, device=device).to(dtype)
    left @ right
    times = []
    end = time.perf_counter() + seconds
    while len(times) < 3 or time.perf_counter() < end:
        synchronise(device)
        start = time.perf_counter()
        left @ right
        synchronise(device)
        times.append(time.perf_counter() - start)
    return 2 * size**3 / sorted(times)[len(times) // 2]


def give_back_memory(device: torch.device) -> None:
    """What PyTorch keeps of a GPU's memory for later."""
    import torch

    if device.type == "cuda":
        torch.cuda.empty_cache()
    elif device.type == "mps":
        torch.mps.empty_cache()


def synchronise(device: torch.device) -> None:
    import torch

    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()
