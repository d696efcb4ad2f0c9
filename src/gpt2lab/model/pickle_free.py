"""Files of weights, safetensors' and PyTorch's own, opened without running anything that is inside."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from gpt2lab.core.errors import UserError

ADAPTER_WEIGHTS = "adapter_model.safetensors"


def read_safetensors(file: Path) -> Iterator[tuple[str, Tensor]]:
    try:
        with safe_open(file, framework="pt") as opened:
            for name in opened.keys():  # noqa: SIM118 - not a dictionary
                yield name, opened.get_tensor(name)
    except SafetensorError as error:
        raise damaged(file, error) from error


def read_adapter(folder: Path) -> dict[str, Tensor]:
    if not (folder / ADAPTER_WEIGHTS).is_file():
        raise UserError(
            f"the adapter has no {ADAPTER_WEIGHTS}",
            place=folder,
            way_out="download it as well; PEFT makes one of an adapter_model.bin when it saves that again",
        )
    return dict(read_safetensors(folder / ADAPTER_WEIGHTS))


def read_pickle_free(file: Path) -> dict[str, Any]:
    try:
        stored = torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        if "Unsupported global" not in str(error):
            raise damaged(file, error) from error
        raise UserError(
            "the checkpoint holds pickled Python objects, which could run anything, so it is not opened",
            place=file,
            way_out=(
                'if you trust whoever made it, convert it where its code is importable: python -c "import torch; '
                f"c = torch.load('{file}', weights_only=False); torch.save({{'model': c['model'], 'model_args': "
                f"{{**vars(c['config']), 'activation': 'gelu_new'}}}}, '{file.with_suffix('.plain.pt')}')\""
            ),
        ) from error
    except Exception as error:  # a file cut short fails in as many ways as it has parts
        raise damaged(file, error) from error
    if not isinstance(stored, dict):
        raise UserError(f"no checkpoint: it holds a {type(stored).__name__}, not named tensors", place=file)
    return stored


def damaged(file: Path, error: Exception) -> UserError:
    first_line = (str(error) or type(error).__name__).splitlines()[0]
    return UserError(
        f"the file is damaged or cut short ({first_line})", place=file, way_out="download or copy it again"
    )
