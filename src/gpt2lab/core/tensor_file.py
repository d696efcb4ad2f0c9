"""Tensors to a safetensors file as they lie in memory, hashed on the way.

The library's own writer first makes a copy of everything in memory and holds up the interpreter meanwhile: for a
checkpoint that is written while training goes on, both would be felt. Files are read by the library.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING

from gpt2lab.core import files

if TYPE_CHECKING:
    from torch import Tensor

PIECE = 1 << 24  # bytes written and hashed at a time

NAMES = {
    "float64": "F64",
    "float32": "F32",
    "float16": "F16",
    "bfloat16": "BF16",
    "int64": "I64",
    "int32": "I32",
    "uint8": "U8",
    "bool": "BOOL",
}


def write(path: Path, tensors: dict[str, Tensor], metadata: dict[str, str] | None = None) -> str:
    """The file's SHA-256. Tensors are written one after another, so that only one at a time needs a copy."""
    ordered = sorted(tensors.items(), key=lambda item: (-item[1].element_size(), item[0]))
    header = _header(ordered, metadata)
    digest = hashlib.sha256()
    files.operation("open", path)
    with path.open("wb") as file:
        new = files.NewFile(file, path)
        for data in (len(header).to_bytes(8, "little"), header):
            digest.update(data)
            new.write(data)
        for _, tensor in ordered:
            data = _bytes(tensor)
            for start in range(0, len(data), PIECE):
                digest.update(data[start : start + PIECE])
                new.write(data[start : start + PIECE])
    return digest.hexdigest()


def _header(ordered: list[tuple[str, Tensor]], metadata: dict[str, str] | None) -> bytes:
    entries: dict[str, object] = {"__metadata__": metadata} if metadata else {}
    place = 0
    for name, tensor in ordered:
        end = place + tensor.numel() * tensor.element_size()
        dtype = NAMES[str(tensor.dtype).removeprefix("torch.")]
        entries[name] = {"dtype": dtype, "shape": list(tensor.shape), "data_offsets": [place, end]}
        place = end
    header = json.dumps(entries, separators=(",", ":")).encode()
    return header + b" " * (-len(header) % 8)


def _bytes(tensor: Tensor) -> memoryview:
    import torch

    flat = tensor.detach().cpu().contiguous().reshape(-1)
    return flat.view(torch.uint8).numpy().data if flat.numel() else memoryview(b"")
