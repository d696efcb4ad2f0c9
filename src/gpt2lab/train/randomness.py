"""All randomness of a step comes from (seed, step, purpose), so that nothing about it has to be saved."""

from __future__ import annotations

import hashlib

import torch


def seed_for(seed: int, step: int, purpose: str) -> int:
    digest = hashlib.sha256(f"{seed}/{step}/{purpose}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def seed_torch(seed: int, step: int, purpose: str) -> None:
    """Every device that is in use; for one that is not, `manual_seed` would note its caller at every step."""
    number = seed_for(seed, step, purpose)
    if torch.cuda.is_initialized() or torch.backends.mps.is_available():
        torch.manual_seed(number)
    else:
        torch.default_generator.manual_seed(number)


def be_deterministic(wanted: bool) -> None:
    """The same kernels in the same order every time; memory that nobody has written to is not worth filling."""
    torch.use_deterministic_algorithms(wanted)
    setattr(torch.utils.deterministic, "fill_uninitialized_memory", False)  # noqa: B010 – made by the module itself
