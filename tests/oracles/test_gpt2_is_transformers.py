"""Our GPT-2 is transformers' GPT-2, in both directions: logits and gradients."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
import transformers

from gpt2lab.model import layout
from gpt2lab.model.config import GPT2Config, to_huggingface
from gpt2lab.model.gpt2 import GPT2, build
from gpt2lab.model.reading import fill
from models import TINY, classifier, language_model, random_ids

SHAPES = {
    "tiny": TINY,
    "one layer, one head, odd sizes": GPT2Config(layers=1, heads=1, width=7, context=5, vocabulary=13),
    "odd heads": GPT2Config(layers=2, heads=3, width=27, context=17, vocabulary=257),
    "inner width, exact gelu, own head": replace(TINY, inner=50, activation="gelu", tied_head=False),
    "attention unscaled": replace(TINY, scale_attention=False),
    "attention scaled by layer": replace(TINY, scale_attention_by_layer=True),
    "epsilon": replace(TINY, norm_epsilon=1e-3),
}


def theirs(config: GPT2Config, model, kind=transformers.GPT2LMHeadModel):
    oracle = kind(transformers.GPT2Config(**to_huggingface(config), attn_implementation="eager"))
    state = {name: layout.take(name, p, config.vocabulary) for name, p in layout.parameters(model).items()}
    missing, unexpected = oracle.load_state_dict(state, strict=False)
    assert unexpected == []
    assert set(missing) <= {"lm_head.weight"}
    oracle.tie_weights()
    return oracle.to(next(model.parameters()).dtype).eval()


@pytest.mark.parametrize("config", SHAPES.values(), ids=SHAPES.keys())
def test_logits_and_gradients_agree_to_1e_9_in_float64(config):
    ours = language_model(config).double()
    oracle = theirs(config, ours)
    ids = random_ids(3, config.context, config.vocabulary)
    mine, his = ours(ids)[..., : config.vocabulary], oracle(ids).logits
    assert (mine - his).abs().max() < 1e-9
    for logits in (mine, his):
        F.cross_entropy(logits[:, :-1].flatten(0, 1), ids[:, 1:].flatten()).backward()
    expected = dict(oracle.named_parameters())
    for name, parameter in layout.parameters(ours).items():
        gradient = layout.take(name, parameter.grad, config.vocabulary)
        assert (gradient - expected[name].grad).abs().max() < 1e-9, name


@pytest.mark.parametrize("config", SHAPES.values(), ids=SHAPES.keys())
def test_logits_agree_to_1e_5_of_the_largest_in_fp32(config):
    ours = language_model(config)
    ids = random_ids(3, config.context, config.vocabulary)
    his = theirs(config, ours)(ids).logits
    assert (ours(ids)[..., : config.vocabulary] - his).abs().max() <= 1e-5 * his.abs().max()


@pytest.mark.parametrize("config", SHAPES.values(), ids=SHAPES.keys())
def test_their_weights_in_our_model(config):
    torch.manual_seed(1)
    oracle = transformers.GPT2LMHeadModel(transformers.GPT2Config(**to_huggingface(config))).double().eval()
    ours = build(GPT2, config)
    fill(ours, iter(oracle.state_dict().items()), "memory")
    ids = random_ids(2, config.context, config.vocabulary)
    assert (ours.double()(ids)[..., : config.vocabulary] - oracle(ids).logits).abs().max() < 1e-6


@pytest.mark.parametrize("side", ["left", "right"])
def test_padded_batches_agree(side):
    ours = language_model().double()
    oracle = theirs(TINY, ours)
    ids, lengths = random_ids(4, 12), (12, 1, 7, 4)
    mask = torch.zeros(4, 12, dtype=torch.long)
    for row, length in enumerate(lengths):
        mask[row, :length] = 1
    mask = mask if side == "right" else mask.flip(1)
    positions = (mask.cumsum(1) - 1).clamp(min=0)
    his = oracle(ids, attention_mask=mask, position_ids=positions).logits
    mine = ours(ids, mask)[..., : TINY.vocabulary]
    assert (mine - his)[mask.bool()].abs().max() < 1e-9


@pytest.mark.parametrize("rate", ["embedding_dropout", "attention_dropout", "residual_dropout"])
def test_dropout_rates_reach_the_same_places(rate):
    """With everything dropped at one place, nothing random is left, and both models become the same function."""
    config = replace(TINY, **{rate: 1.0})
    ours = language_model(config).double()
    oracle = theirs(config, ours)
    ids = random_ids(2, 8)
    mine, his = ours.train()(ids)[..., : TINY.vocabulary], oracle.train()(ids).logits
    assert (mine - his).abs().max() < 1e-9
    assert (ours.eval()(ids)[..., : TINY.vocabulary] - his).abs().max() > 1e-3


LABELLED = replace(TINY, labels=("a", "b", "c"), padding=100)


def test_a_classifier_agrees_on_texts_padded_to_the_right():
    ours = classifier(LABELLED).double()
    oracle = theirs(LABELLED, ours, transformers.GPT2ForSequenceClassification)
    ids, mask = random_ids(3, 9, 100), torch.ones(3, 9, dtype=torch.long)
    mask[1, 4:], mask[2, 1:] = 0, 0
    ids[mask == 0] = 100
    mine, his = ours(ids, mask), oracle(ids, attention_mask=mask).logits
    assert (mine - his).abs().max() < 1e-9
    mine[:, 0].sum().backward()
    his[:, 0].sum().backward()
    assert (ours.score.weight.grad - oracle.score.weight.grad).abs().max() < 1e-9


def test_where_transformers_differs_a_text_that_ends_in_the_padding_id():
    """transformers reads the class before a real last token that happens to be the padding id; ours does not."""
    ours = classifier(LABELLED).double()
    oracle = theirs(LABELLED, ours, transformers.GPT2ForSequenceClassification)
    ids = random_ids(1, 6, 100)
    ids[0, -1] = 100
    mask = torch.ones_like(ids)
    # What transformers pools from is a choice of its version; that ours is the true last token is the promise.
    expected = oracle.score(oracle.transformer(ids, attention_mask=mask).last_hidden_state)[:, -1]
    assert (ours(ids, mask) - expected).abs().max() < 1e-9
    assert (oracle(ids, attention_mask=mask).logits - expected).abs().max() > 1e-3
