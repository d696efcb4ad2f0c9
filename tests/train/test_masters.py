"""Gradients of bf16 copies reach their fp32 masters whole, each its own."""

import torch
from torch import nn

from gpt2lab.train.masters import Masters


def with_vectors(*lengths):
    model = nn.Module()
    model.vectors = nn.ParameterList(nn.Parameter(torch.zeros(length)) for length in lengths)
    return model, Masters(model, torch.bfloat16)


def test_vectors_go_over_together_and_are_added_up():
    _, masters = with_vectors(3, 5, 3, 4, 1)
    expected = {name: torch.zeros_like(master) for name, master in masters.parameters.items()}
    for turn in range(3):
        for place, (name, copy) in enumerate(masters.copies.items()):
            if place == 3 or (turn == 0 and place == 1):  # one that has none, and one that has none at first
                continue
            copy.grad = torch.randn_like(copy)
            expected[name] += copy.grad.float()
        masters.take_over_vectors()
        assert all(copy.grad is None for copy in masters.copies.values())
    for name, master in masters.parameters.items():
        if name == "vectors.3":
            assert master.grad is None
        else:
            torch.testing.assert_close(master.grad, expected[name], rtol=0, atol=0)
            assert master.grad.dtype == torch.float32


def test_without_any_gradient_there_is_nothing_to_take_over():
    _, masters = with_vectors(2, 2)
    masters.take_over_vectors()
    assert all(master.grad is None for master in masters.parameters.values())
