"""PyTorch's own files, opened without running anything that is inside."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import torch

from gpt2lab.core.errors import UserError


def read_pickle_free(file: Path) -> dict[str, Any]:
    try:
        return torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        if "Unsupported" not in str(error) and "GLOBAL" not in str(error):
            raise damaged(file, error) from error
        raise UserError(
            "the checkpoint holds pickled Python objects, which could run anything, so it is not opened",
            place=file,
            way_out=(
                'if you trust whoever made it, convert it where its code is importable: python -c "import torch; '
                f"c = torch.load('{file}', weights_only=False); torch.save({{'model': c['model'], 'model_args': "
                f"vars(c['config'])}}, '{file.with_suffix('.plain.pt')}')\""
            ),
        ) from error
    except (RuntimeError, EOFError, OSError) as error:
        raise damaged(file, error) from error


def damaged(file: Path, error: Exception) -> UserError:
    first_line = (str(error) or type(error).__name__).splitlines()[0]
    return UserError(
        f"the file is damaged or cut short ({first_line})", place=file, way_out="download or copy it again"
    )
