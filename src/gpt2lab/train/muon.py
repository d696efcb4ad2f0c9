"""Muon: momentum made orthogonal by a Newton–Schulz iteration. For the matrices of the blocks.

A fused query-key-value matrix is three matrices. Matrices of equal shape go through the iteration together.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence

import torch
from torch import Tensor

ITERATIONS = 5
COEFFICIENTS = (3.4445, -4.7750, 2.0315)  # Jordan 2024: the steepest at 0 that still stays near 1
EPSILON = 1e-7


@torch.no_grad()
def move(
    parameters: Sequence[Tensor],
    gradients: Sequence[Tensor],
    momenta: Sequence[Tensor],
    parts: Sequence[int],
    rate: float,
    weight_decay: float,
    momentum: float,
    keep: Tensor,
) -> None:
    """One step; where `keep` is 0, nothing changes. `parts` says how many matrices lie above one another in each."""
    by_shape = defaultdict(list)
    for index, parameter in enumerate(parameters):
        by_shape[parameter.shape, parts[index]].append(index)
    for (shape, count), members in by_shape.items():
        gradient = torch.stack([gradients[index] for index in members])
        before = torch.stack([momenta[index] for index in members])
        gradient = torch.where(keep.bool(), gradient, torch.zeros_like(gradient))
        after = torch.where(keep.bool(), torch.lerp(before, gradient, 1 - momentum), before)
        nesterov = torch.lerp(gradient, after, momentum)
        rows = shape[0] // count
        directions = orthogonal(nesterov.view(-1, rows, shape[1])).view(len(members), *shape)
        scaled = rate * math.sqrt(max(1.0, rows / shape[1]))
        for place, index in enumerate(members):
            momenta[index].copy_(after[place])
            change = parameters[index] * (rate * weight_decay) + directions[place].to(parameters[index]) * scaled
            parameters[index].sub_(change * keep)


def orthogonal(matrices: Tensor) -> Tensor:
    """Nearly the orthogonal factor of each matrix, in bf16: singular values come close to 1, vectors stay."""
    a, b, c = COEFFICIENTS
    tall = matrices.shape[-2] > matrices.shape[-1]
    x = matrices.bfloat16()
    x = x.mT if tall else x
    x = x / x.norm(dim=(-2, -1), keepdim=True).clamp(min=EPSILON)
    for _ in range(ITERATIONS):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.mT if tall else x
