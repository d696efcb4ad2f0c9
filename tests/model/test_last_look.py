"""What the last token of a text sees is what attention over the text alone gives it; nothing else is computed."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from gpt2lab.model import block, prompt
from gpt2lab.model.block import Attention
from gpt2lab.model.dropout import Drop, Noise
from gpt2lab.model.last_look import last_look
from gpt2lab.model.settings import PromptSettings
from gpt2lab.model.unpadded import unpadded
from models import TINY, classifier, random_ids

HEADS, WIDTH = 3, 4
NUMBERS = torch.tensor([[0, 0, 0, 1, 1, 1], [0, 0, -1, -1, -1, -1]])
NO_DROP = Drop(0.0, Noise())
DOCUMENTS = (NUMBERS[:, :, None] == NUMBERS[:, None]) & (NUMBERS >= 0)[:, None]  # who may look at whom


def drawn(*shape):
    return torch.randn(
        *shape, generator=torch.Generator().manual_seed(sum(shape)), dtype=torch.float64
    ).requires_grad_()


def texts_of(lengths, width=20):
    """Of these lengths, on the left of their rows, and what says where their last tokens are."""
    lengths = torch.tensor(lengths)
    found = unpadded(torch.arange(width) < lengths[:, None], HEADS)
    return found, found.numbers(torch.arange(len(lengths)) * width + lengths - 1)


def looks(x, real, weight, bias, drop=NO_DROP, heads=HEADS, scale=0.3):
    return last_look(x, real, weight, bias, heads, drop, scale)


def one_by_one(x, real, weight, bias):
    """Attention of whole texts, with keys and values for every token; then the last token of each."""
    found = []
    for text in x[: real.real].split(torch.cat([group.lengths for group in real.groups]).tolist()):
        q, k, v = (part.unflatten(1, (HEADS, -1)).transpose(0, 1) for part in F.linear(text, weight, bias).chunk(3, 1))
        seen = F.scaled_dot_product_attention(q, k, v, is_causal=True, scale=0.3)
        found.append(seen[:, -1].flatten())
    return torch.stack(found)


@given(st.lists(st.integers(1, 20), min_size=1, max_size=9))
def test_values_and_gradients_are_those_of_each_text_alone(lengths):
    real, _ = texts_of(lengths)
    given = drawn(len(real.places), HEADS * WIDTH), drawn(3 * HEADS * WIDTH, HEADS * WIDTH), drawn(3 * HEADS * WIDTH)
    found = []
    for look in (looks, one_by_one):
        y = look(given[0], real, *given[1:])
        found.append((y, *torch.autograd.grad((y * torch.arange(y.numel()).view(y.shape).cos()).sum(), given)))
    torch.testing.assert_close(*found)


def test_texts_whose_scores_are_far_apart_do_not_disturb_each_other():
    real, _ = texts_of([2, 2, 1], width=2)
    x = torch.tensor([[900.0], [1.0], [-900.0], [-1.0], [2.0], *[[0.0]] * 11])
    found = looks(x, real, torch.tensor([[1.0], [1.0], [1.0]]), torch.zeros(3), heads=1, scale=1.0)
    torch.testing.assert_close(found, torch.tensor([[900.0], [-900.0], [2.0]]))


def test_a_text_that_is_not_finite_is_alone_with_it():
    real, _ = texts_of([3, 5, 4])
    x = drawn(len(real.places), HEADS * WIDTH).detach()
    weight, bias = (drawn(*shape).detach() for shape in ((3 * HEADS * WIDTH, HEADS * WIDTH), (3 * HEADS * WIDTH,)))
    first = int(real.last[0])
    x[first] = torch.inf
    found = looks(x, real, weight, bias)
    assert not found[0].isfinite().any()
    assert found[1:].isfinite().all()


@pytest.mark.parametrize(("of_value", "of_bias"), [(1.0, 0.0), (0.0, 1.0)])
def test_dropout_is_of_the_weights_and_keeps_their_mean(of_value, of_bias):
    """Of the shares: so what the bias of values adds varies as well."""
    real, _ = texts_of([4000], width=4000)
    weight, bias = torch.tensor([[0.0], [0.0], [of_value]]), torch.tensor([0.0, 0.0, of_bias])
    x = torch.ones(len(real.places), 1)
    seen = torch.stack([looks(x, real, weight, bias, Drop(0.5, Noise()), heads=1) for _ in range(40)])
    assert seen.mean() == pytest.approx(1, abs=0.02)
    assert 0.008 < seen.std() < 0.03


def test_the_way_back_leaves_out_what_the_way_there_did():
    """Each of several groups has noise of its own."""
    real, _ = texts_of([12, 9, 5, 19, 17, 3, 2])
    assert len(real.groups) > 1
    x, weight, bias = drawn(len(real.places), HEADS * WIDTH), drawn(3 * HEADS * WIDTH, HEADS * WIDTH), drawn(36)

    def again(*given):
        torch.manual_seed(3)
        return looks(given[0], real, *given[1:], Drop(0.5, Noise()))

    assert torch.autograd.gradcheck(again, (x, weight, bias))


def padded(side):
    ids = random_ids(4, 12)
    mask = torch.arange(12) < torch.tensor([12, 3, 7, 1])[:, None]
    return ids, mask.flip(1) if side == "left" else mask


def logits_and_gradients(model, ids, mask):
    y = model(ids, mask)
    model.zero_grad()
    y.square().sum().backward()
    return y.detach(), {name: p.grad for name, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("what", ["full", "prompt", "frozen"])
def test_a_classifier_computes_the_same_with_it_as_without(monkeypatch, side, what):
    model = classifier(replace(TINY.with_dropout(0.0), labels=tuple("abc"))).double().train()
    if what == "prompt":
        prompt.add(model, PromptSettings(tokens=3), 1, np.array([], np.int64))
        model.double()
    model.transformer.requires_grad_(what == "full")
    took = []
    monkeypatch.setattr(block, "last_look", lambda *given: took.append(1) or last_look(*given))
    ours = logits_and_gradients(model, *padded(side))
    assert len(took) == 1  # the last block
    monkeypatch.setattr(Attention, "_last_look", lambda *_: None)
    torch.testing.assert_close(ours, logits_and_gradients(model, *padded(side)))


@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_in_bf16_with_dropout_and_activations_made_again(dropout):
    config = replace(TINY.with_dropout(0.0), attention_dropout=dropout, labels=tuple("abc"))
    model = classifier(config).train()
    exact, _ = logits_and_gradients(model, *padded("right"))
    model.transformer.recompute_activations = True
    found, gradients = logits_and_gradients(model.bfloat16(), *padded("right"))
    assert found.dtype == torch.bfloat16
    assert all(torch.isfinite(gradient).all() for gradient in gradients.values())
    near = torch.allclose(found.float(), exact, rtol=0.1, atol=0.1 * exact.abs().max().item())
    assert near == (dropout == 0)


def test_a_dropout_that_sixteen_bits_cannot_meet_takes_the_other_way(monkeypatch):
    model = classifier(replace(TINY.with_dropout(0.0), attention_dropout=0.999, labels=tuple("abc"))).train()
    monkeypatch.setattr(block, "last_look", None)
    found, _ = logits_and_gradients(model, *padded("right"))
    assert found.isfinite().all()


def test_documents_that_share_a_row_see_only_themselves():
    """Not even where the last token of each row is all that is wanted."""
    found = unpadded(DOCUMENTS, HEADS)
    assert found.whose(found.numbers(torch.tensor([5, 7]))) is None


@pytest.mark.parametrize(
    ("wanted", "whose"),
    [
        ([11, 14], [0, 1]),
        ([14, 11], [1, 0]),
        ([11], None),
        ([10, 14], None),
        ([11, 14, 14], None),
    ],
)
def test_only_where_the_last_token_of_each_text_is_wanted(wanted, whose):
    texts = unpadded(torch.tensor([[0] * 8 + [1] * 4, [1, 1, 1] + [0] * 9]), HEADS)
    found = texts.whose(texts.numbers(torch.tensor(wanted)))
    assert whose == (None if found is None else found.tolist())


def test_nothing_but_padding_has_no_last_token():
    found = unpadded(torch.zeros(2, 5), HEADS)
    assert found.whose(torch.zeros(2, dtype=torch.long)) is None
