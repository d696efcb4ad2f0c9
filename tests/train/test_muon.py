"""Muon against PyTorch's own, and what PyTorch's does not do: fused matrices, batches of equal ones, masked steps."""

import pytest
import torch

from gpt2lab.train import muon

KEEP, MASK = torch.tensor(1.0), torch.tensor(0.0)


def matrices(*shapes, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(shape, generator=generator) for shape in shapes]


def ours(parameters, gradients, steps=3, parts=1, keep=KEEP):
    momenta = [torch.zeros_like(p) for p in parameters]
    for step in range(steps):
        scaled = [gradient * (1 + step) for gradient in gradients]
        muon.move(parameters, scaled, momenta, [parts] * len(parameters), 0.02, 0.1, 0.95, keep)
    return momenta


@pytest.mark.parametrize("shape", [(16, 16), (32, 8), (8, 32)], ids=["square", "tall", "wide"])
def test_moves_like_pytorchs_muon(shape):
    mine, theirs, gradient = matrices(shape, shape, shape)
    theirs.copy_(mine)
    theirs = torch.nn.Parameter(theirs)
    reference = torch.optim.Muon([theirs], lr=0.02, weight_decay=0.1, momentum=0.95, adjust_lr_fn="original")
    for step in range(3):
        theirs.grad = gradient * (1 + step)
        reference.step()
    ours([mine], [gradient])
    torch.testing.assert_close(mine, theirs.detach(), rtol=0, atol=1e-3)  # bf16 inside; a step is 0.02 and more


def test_a_fused_matrix_moves_as_its_three_parts_would_alone():
    parts = matrices(*[(8, 8)] * 3)
    gradients = matrices(*[(8, 8)] * 3, seed=1)
    fused, fused_gradient = torch.cat(parts), torch.cat(gradients)
    ours(parts, gradients)
    ours([fused], [fused_gradient], parts=3)
    torch.testing.assert_close(fused, torch.cat(parts), rtol=1e-3, atol=1e-4)


def test_equal_matrices_move_together_as_they_would_alone():
    alone, together = matrices((8, 16), (8, 16), (4, 4)), matrices((8, 16), (8, 16), (4, 4))
    gradients = matrices((8, 16), (8, 16), (4, 4), seed=1)
    for parameter, gradient in zip(alone, gradients):
        ours([parameter], [gradient])
    ours(together, gradients)
    for a, b in zip(alone, together):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-4)


def test_the_direction_is_nearly_orthogonal():
    singular = torch.linalg.svdvals(muon.orthogonal(matrices((12, 30))[0][None])[0].float())
    assert singular.min() > 0.5
    assert singular.max() < 1.4


def test_a_masked_step_changes_neither_weights_nor_momentum():
    (parameter,) = matrices((8, 8))
    before = parameter.clone()
    (momentum,) = ours([parameter], [torch.full((8, 8), torch.nan)], keep=MASK)
    assert torch.equal(parameter, before)
    assert torch.equal(momentum, torch.zeros(8, 8))
