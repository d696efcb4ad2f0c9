"""The chunked head and loss: the value and the gradients of the plain one, whatever the chunks."""

import math

import pytest
import torch
import torch.nn.functional as F

from gpt2lab.train import cross_entropy


def case(rows, dtype, seed=0):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(rows, 24, generator=generator).to(dtype).requires_grad_()
    weight = torch.randn(64, 24, generator=generator).requires_grad_()
    bias = torch.zeros(64)
    bias[50:] = -math.inf
    return x, weight, bias, torch.randint(0, 50, (rows,), generator=generator)


def plain(x, weight, bias, targets):
    return F.cross_entropy(F.linear(x.float(), weight, bias), targets, reduction="sum")


@pytest.mark.parametrize("rows", [0, 1, 7, 40])
@pytest.mark.parametrize("chunk", [1, 3, 1000])
def test_value_and_gradients_are_those_of_the_plain_loss(monkeypatch, rows, chunk):
    monkeypatch.setitem(cross_entropy.CHUNK_BYTES, "cpu", 4 * 64 * chunk)
    ours, theirs = case(rows, torch.float32), case(rows, torch.float32)
    (cross_entropy.summed_nll(*ours) * 0.5).backward()
    (plain(*theirs) * 0.5).backward()
    torch.testing.assert_close(cross_entropy.summed_nll(*ours), plain(*theirs), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(ours[0].grad, theirs[0].grad, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(ours[1].grad, theirs[1].grad, rtol=1e-4, atol=1e-5)


def test_in_bf16_gradients_of_the_fp32_weight_stay_close():
    ours, theirs = case(40, torch.bfloat16), case(40, torch.bfloat16)
    cross_entropy.summed_nll(*ours).backward()
    plain(*theirs).backward()
    assert ours[1].grad.dtype == torch.float32
    torch.testing.assert_close(ours[1].grad, theirs[1].grad, rtol=0.05, atol=0.05)


def test_rows_without_a_target_count_for_nothing():
    ours, theirs = case(10, torch.float32), case(10, torch.float32)
    ours[3][2:6] = theirs[3][2:6] = -100
    cross_entropy.summed_nll(*ours).backward()
    plain(*theirs).backward()
    torch.testing.assert_close(ours[0].grad, theirs[0].grad, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(ours[1].grad, theirs[1].grad, rtol=1e-4, atol=1e-5)


def test_a_frozen_head_gets_no_gradient_and_costs_none():
    x, weight, bias, targets = case(9, torch.float32)
    weight.requires_grad_(False)
    cross_entropy.summed_nll(x, weight, bias, targets).backward()
    assert weight.grad is None
    assert x.grad is not None


def test_each_tokens_loss_is_the_plain_one(monkeypatch):
    monkeypatch.setitem(cross_entropy.CHUNK_BYTES, "cpu", 4 * 64 * 3)
    x, weight, bias, targets = case(10, torch.float32)
    expected = F.cross_entropy(F.linear(x, weight, bias), targets, reduction="none")
    torch.testing.assert_close(cross_entropy.token_nll(x, weight, bias, targets), expected)
