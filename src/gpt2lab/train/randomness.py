"""All randomness of a step comes from (seed, step, purpose), so that nothing about it has to be saved."""

from __future__ import annotations

import hashlib

import torch


def seed_for(seed: int, step: int, purpose: str) -> int:
    digest = hashlib.sha256(f"{seed}/{step}/{purpose}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def seed_torch(seed: int, step: int, purpose: str) -> None:
    torch.manual_seed(seed_for(seed, step, purpose))
