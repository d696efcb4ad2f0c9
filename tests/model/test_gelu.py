"""GELU that brings its slope with it: PyTorch's values and gradients, of every size, and nothing where it need not."""

import pytest
import torch
import torch.nn.functional as F

from gpt2lab.model import gelu as module
from gpt2lab.model.gelu import gelu

# what a whole piece, the rest of one, and several dimensions are
SHAPES = [(1,), (7, 5), (3, module.PIECE // 2), (2, 3, 4)]


def numbers(shape, dtype):
    """From where it is zero to where it is the number itself."""
    return torch.linspace(-12, 12, torch.Size(shape).numel()).to(dtype).view(shape).requires_grad_()


def value_and_gradient(function, x):
    y = function(x)
    (y * torch.linspace(-1, 2, x.numel()).to(x.dtype).view(x.shape)).sum().backward()
    return y.detach(), x.grad


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_values_and_gradients_are_pytorchs(shape, dtype):
    ours = value_and_gradient(gelu, numbers(shape, dtype))
    theirs = value_and_gradient(lambda x: F.gelu(x, approximate="tanh"), numbers(shape, dtype))
    near = {"rtol": 1e-5, "atol": 2e-6} if dtype == torch.float32 else {"rtol": 2**-7, "atol": 2**-10}
    torch.testing.assert_close(ours, theirs, **near)


@pytest.mark.parametrize("number", [0.0, 1e4, -1e4, 1e12, -1e12])
def test_numbers_beyond_all_measure_stay_finite(number):
    x = torch.tensor([number], requires_grad=True)
    y = gelu(x)
    y.backward()
    assert y.item() == pytest.approx(max(number, 0.0))
    assert x.grad.item() == {0.0: 0.5}.get(number, float(number > 0))


def test_in_bf16_value_and_slope_are_as_exact_as_pytorchs():
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(100_000, generator=generator).mul(2).bfloat16().requires_grad_()
    exact = x.detach().double().requires_grad_()
    truth = F.gelu(exact, approximate="tanh")
    truth.sum().backward()

    def errors(function):
        y = function(x)
        (slope,) = torch.autograd.grad(y.sum(), x)
        return (y.double() - truth).square().mean(), (slope.double() - exact.grad).square().mean()

    for own, plain in zip(errors(gelu), errors(lambda x: F.gelu(x, approximate="tanh"))):
        assert own <= 1.001 * plain


def test_numbers_that_do_not_lie_one_behind_the_other():
    x = torch.randn(6, 4).t().requires_grad_()
    ours, theirs = gelu(x), F.gelu(x, approximate="tanh")
    torch.testing.assert_close(ours, theirs)
    weights = torch.randn(4, 6)
    torch.testing.assert_close(*(torch.autograd.grad((y * weights).sum(), x) for y in (ours, theirs)))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_input_stays_as_it_was_for_whoever_kept_it(dtype):
    x = torch.randn(5, dtype=dtype, requires_grad=True)
    before = x.exp()  # keeps what it gives
    gelu(before).sum().backward()
    assert before._version == 0
    assert torch.isfinite(x.grad).all()


def test_it_computes_in_fp32_whatever_a_program_takes_by_default():
    x = torch.randn(5, dtype=torch.float32, requires_grad=True)
    torch.set_default_dtype(torch.float64)
    try:
        torch.testing.assert_close(gelu(x), F.gelu(x, approximate="tanh"))
    finally:
        torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize("case", ["nothing to learn", "no way back", "doubles"])
def test_where_a_slope_is_not_asked_for_it_is_pytorchs_own(case, monkeypatch):
    monkeypatch.setattr(module, "_Gelu", None)
    x = torch.randn(5, dtype=torch.float64 if case == "doubles" else torch.float32)
    x.requires_grad_(case != "nothing to learn")
    with torch.set_grad_enabled(case != "no way back"):
        assert torch.equal(gelu(x), F.gelu(x, approximate="tanh"))
