"""What a GPT-2 must do whatever its batch, its padding and its padded vocabulary."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from gpt2lab.core.errors import UserError
from gpt2lab.model import gpt2, prompt
from gpt2lab.model.gpt2 import GPT2, build, check_ids, initialise
from gpt2lab.model.settings import PromptSettings
from models import TINY, GrowingCache, classifier, language_model, lively, random_ids

LABELLED = replace(TINY, labels=("a", "b", "c"))


def double(model):
    return model.double()


def padded_batch(texts, side):
    """(ids, mask): the padding is id 7, which also stands inside the texts."""
    width = max(map(len, texts)) + 3
    ids, mask = torch.full((len(texts), width), 7), torch.zeros(len(texts), width, dtype=torch.long)
    for row, text in enumerate(texts):
        place = slice(0, len(text)) if side == "right" else slice(width - len(text), width)
        ids[row, place], mask[row, place] = text, 1
    return ids, mask


@pytest.fixture(params=["left out", "masked, as on a GPU"])
def padding(request, monkeypatch):
    if request.param != "left out":
        monkeypatch.setattr(gpt2, "unpadded", lambda *_: None)


TEXTS = [random_ids(1, length, seed=length)[0] for length in (1, 5, 9, 14)]


@pytest.mark.parametrize("side", ["left", "right"])
def test_logits_of_a_text_are_the_same_alone_and_in_a_padded_batch(padding, side):
    model = double(language_model())
    ids, mask = padded_batch(TEXTS, side)
    together = model(ids, mask)
    for row, text in enumerate(TEXTS):
        torch.testing.assert_close(together[row][mask[row].bool()], model(text[None])[0], rtol=0, atol=1e-12)


@pytest.mark.parametrize("side", ["left", "right"])
def test_a_classifier_gives_a_text_the_same_logits_alone_in_any_batch_under_any_padding(padding, side):
    model = double(classifier(LABELLED))
    ids, mask = padded_batch(TEXTS, side)
    alone = torch.cat([model(text[None]) for text in TEXTS])
    torch.testing.assert_close(model(ids, mask), alone, rtol=0, atol=1e-12)
    torch.testing.assert_close(model(ids[1:3], mask[1:3]), alone[1:3], rtol=0, atol=1e-12)


@pytest.mark.parametrize("side", ["left", "right"])
def test_gradients_of_a_padded_batch_are_the_sum_of_those_of_its_texts(padding, side):
    model = double(classifier(LABELLED))
    ids, mask = padded_batch(TEXTS, side)
    F.cross_entropy(model(ids, mask), torch.tensor([0, 1, 2, 0]), reduction="sum").backward()
    together = [parameter.grad.clone() for parameter in model.parameters()]
    model.zero_grad()
    for text, label in zip(TEXTS, (0, 1, 2, 0)):
        F.cross_entropy(model(text[None]), torch.tensor([label]), reduction="sum").backward()
    for parameter, grad in zip(model.parameters(), together):
        torch.testing.assert_close(parameter.grad, grad, rtol=0, atol=1e-12)


@pytest.mark.parametrize("soft", [0, 3])
@pytest.mark.parametrize("side", ["left", "right", "none", "who sees whom"])
def test_the_wanted_places_alone_are_those_places_of_all(padding, side, soft):
    """In values and in gradients, though the last block does nothing else for the others."""
    model = double(language_model())
    if soft:
        prompt.add(model, PromptSettings(tokens=soft), 1, np.array([], np.int64))
        model.requires_grad_(True)
        model.double()
    ids, mask = padded_batch(TEXTS, "right" if side in ("none", "who sees whom") else side)
    real = mask.flatten().nonzero()[:, 0]
    wanted = real[[0, 3, 7, 8, 20, 28]]
    if side == "none":
        mask = None
    elif side == "who sees whom":
        mask = (mask[:, :, None] * mask[:, None, :]).bool()
    found = {}
    for way in ("all", "wanted"):
        if way == "all":
            x_NC = model.transformer(ids, mask).flatten(0, 1)[wanted]
        else:
            x_NC = model.transformer(ids, mask, wanted_N=wanted)
        (x_NC * torch.arange(6.0)[:, None]).square().sum().backward()
        found[way] = [x_NC.detach(), *(p.grad for p in model.transformer.parameters() if p.grad is not None)]
        model.zero_grad()
    for one, other in zip(found["all"], found["wanted"], strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-10)


def test_a_row_that_is_all_padding_is_finite_and_so_are_its_gradients(padding):
    """Attention over nothing is 0/0; one such row used to turn a whole batch into NaN."""
    model = language_model()
    ids, mask = random_ids(2, 6), torch.tensor([[1] * 6, [0] * 6])
    logits = model(ids, mask)[..., : TINY.vocabulary]
    logits.sum().backward()
    assert torch.isfinite(logits).all()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters())


def test_the_loss_does_not_depend_on_the_padding_of_the_vocabulary():
    ids = random_ids(2, 12)
    losses, gradients = [], []
    for multiple in (1, 64, 128):
        model = double(language_model(vocabulary_multiple=multiple))
        loss = F.cross_entropy(model(ids[:, :-1]).flatten(0, 1), ids[:, 1:].flatten())
        loss.backward()
        losses.append(loss.item())
        gradients.append(model.transformer.wte.weight.grad)
    assert losses[1] == pytest.approx(losses[0], abs=1e-12)
    assert losses[2] == pytest.approx(losses[0], abs=1e-12)
    torch.testing.assert_close(gradients[2][: TINY.vocabulary], gradients[0], rtol=0, atol=1e-12)
    assert not gradients[2][TINY.vocabulary :].any()


def test_padded_ids_can_be_neither_sampled_nor_scored():
    logits = language_model(vocabulary_multiple=128)(random_ids(1, 4))
    assert logits.shape[-1] == 128
    assert torch.isinf(logits[..., TINY.vocabulary :]).all()
    assert logits.softmax(-1)[..., TINY.vocabulary :].sum() == 0


@pytest.mark.parametrize("multiple", [1, 64, 128])
def test_initial_weights_do_not_depend_on_the_padding(multiple):
    model = build(GPT2, TINY, multiple)
    initialise(model, 5)
    plain = build(GPT2, TINY, 1)
    initialise(plain, 5)
    for name, parameter in plain.named_parameters():
        assert torch.equal(dict(model.named_parameters())[name][: len(parameter)], parameter), name


def test_initialisation_is_gpt2s_own():
    config = replace(TINY, layers=8, width=256, heads=4, vocabulary=5000, context=512)
    model = build(GPT2, config)
    initialise(model, 1)
    block = model.transformer.h[3]
    residual = 0.02 / math.sqrt(2 * 8)
    for weight, std in [
        (model.transformer.wte.weight[:5000], 0.02),
        (model.transformer.wpe.weight, 0.02),
        (block.attn.c_attn.weight, 0.02),
        (block.mlp.c_fc.weight, 0.02),
        (block.attn.c_proj.weight, residual),
        (block.mlp.c_proj.weight, residual),
    ]:
        assert weight.std().item() == pytest.approx(std, rel=0.02)
    assert not block.attn.c_attn.bias.any()
    assert (block.ln_1.weight == 1).all()


def test_the_loss_of_an_untrained_model_is_near_ln_vocabulary():
    config = replace(TINY, width=64, vocabulary=2000)
    model = build(GPT2, config)
    initialise(model, 1)
    ids = random_ids(8, 24, 2000)
    loss = F.cross_entropy(model(ids[:, :-1]).flatten(0, 1), ids[:, 1:].flatten()).item()
    assert loss == pytest.approx(math.log(2000), rel=0.02)


@pytest.mark.parametrize("pieces", [[1] * 12, [5, 7], [11, 1], [1, 6, 5]])
def test_with_a_cache_any_split_of_the_text_gives_the_same_logits(pieces):
    model, ids = double(language_model()), random_ids(2, 12)
    cache, found, start = GrowingCache(TINY.layers), [], 0
    for length in pieces:
        found.append(model(ids[:, start : start + length], cache=cache))
        start += length
    real = slice(None), slice(None), slice(TINY.vocabulary)
    torch.testing.assert_close(torch.cat(found, 1)[real], model(ids)[real], rtol=0, atol=1e-12)


def test_a_cache_and_left_padding_go_together():
    model = double(language_model())
    ids, mask = padded_batch(TEXTS, "left")
    cache = GrowingCache(TINY.layers)
    model(ids[:, :-1], mask[:, :-1], cache=cache)
    last = model(ids[:, -1:], mask, cache=cache)
    for row, text in enumerate(TEXTS):
        torch.testing.assert_close(last[row, 0], model(text[None])[0, -1], rtol=0, atol=1e-12)


def test_recomputing_activations_changes_no_gradient_even_with_dropout(monkeypatch):
    from gpt2lab.model import gpt2

    recomputed = []
    real = gpt2.checkpoint
    monkeypatch.setattr(gpt2, "checkpoint", lambda *given, **options: recomputed.append(1) or real(*given, **options))
    config = TINY.with_dropout(0.3)
    gradients = []
    for recompute in (False, True):
        model = lively(build(GPT2, config)).train()
        model.transformer.recompute_activations = recompute
        torch.manual_seed(4)
        model.logits(model.transformer(random_ids(2, 10)))[..., : TINY.vocabulary].logsumexp(-1).sum().backward()
        gradients.append([p.grad for p in model.parameters()])
    assert len(recomputed) == config.layers
    for one, other in zip(*gradients):
        torch.testing.assert_close(one, other, rtol=0, atol=0)


def test_a_mask_of_who_sees_whom_keeps_documents_apart():
    """Two texts packed in one row, each blind to the other, score as they do alone."""
    model = double(language_model())
    first, second = TEXTS[1], TEXTS[2]
    documents = torch.tensor([0] * len(first) + [1] * len(second))
    mask = (documents[:, None] == documents[None, :])[None]
    positions = torch.cat([torch.arange(len(first)), torch.arange(len(second))])[None]
    together = model(torch.cat([first, second])[None], mask, positions)[0]
    torch.testing.assert_close(together[: len(first)], model(first[None])[0], rtol=0, atol=1e-12)
    torch.testing.assert_close(together[len(first) :], model(second[None])[0], rtol=0, atol=1e-12)


def test_ids_that_do_not_exist_are_named_although_the_vocabulary_is_padded():
    with pytest.raises(UserError, match="token id 101 does not exist"):
        check_ids(torch.tensor([5, 101]), TINY)
    check_ids(torch.tensor([0, 100]), TINY)


def test_more_tokens_than_the_context_are_refused():
    with pytest.raises(ValueError, match="25 tokens do not fit a context of 24"):
        language_model()(random_ids(1, 25))


def test_a_classifier_needs_two_classes():
    with pytest.raises(UserError, match="at least two classes"):
        classifier(replace(TINY, labels=("only",)))
