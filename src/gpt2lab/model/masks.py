"""Where tokens stand in their text and whom they may look at, where a batch says which tokens are real."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def positions(mask: Tensor | None, past: int, length: int, device: torch.device) -> Tensor:
    """Counted from each text's first real token."""
    if mask is None or mask.dim() != 2:
        return torch.arange(past, past + length, device=device)
    return (mask.long().cumsum(dim=-1) - 1).clamp(min=0)[:, past:]


def attention_mask(mask: Tensor | None, past: int, length: int, device: torch.device) -> tuple[Tensor | None, bool]:
    """(the mask as attention takes it, whether attention may make the causal one itself)."""
    if mask is None and past == 0:
        return None, True
    if mask is None and length == 1:
        return None, False
    total = past + length
    causal_TS = torch.ones(length, total, dtype=torch.bool, device=device).tril(past)
    if mask is None:
        return causal_TS, False
    mask_BTS = mask.bool()[:, None, :] if mask.dim() == 2 else mask.bool()
    # A padding token may see itself: a row that sees nothing would be NaN and poison what it is summed with.
    itself_TS = torch.eye(length, dtype=torch.bool, device=device)
    itself_TS = F.pad(itself_TS, (past, 0))
    return ((mask_BTS & causal_TS) | itself_TS)[:, None], False
