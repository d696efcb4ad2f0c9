"""The gradient's norm, by which it is clipped, is right to the last digits however many numbers it has."""

import pytest
import torch

from gpt2lab.train.step import _size


def test_the_norm_is_that_of_exact_sums():
    generator = torch.Generator().manual_seed(1)
    gradients = [torch.randn(shape, generator=generator) for shape in [(20_000, 800), (800, 32), (800,)]]
    exact = sum(gradient.double().square().sum() for gradient in gradients).sqrt().item()
    assert _size(gradients).item() == pytest.approx(exact, rel=1e-6)
    assert torch.nn.utils.get_total_norm(gradients).item() != pytest.approx(exact, rel=1e-4)  # why it is our own


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_one_number_that_is_none_spoils_it(number):
    assert not torch.isfinite(_size([torch.ones(3, 2), torch.tensor([1.0, number])]))
