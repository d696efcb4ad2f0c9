"""Greedy text is transformers' token for token, and what a draw is made from is what its processors leave."""

from dataclasses import replace

import pytest
import torch
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st

from gpt2lab.generate.constraints import constrain
from gpt2lab.generate.generate import generate
from gpt2lab.generate.sampling import distribution
from gpt2lab.generate.settings import SamplingSettings
from gpt2lab.model import layout
from gpt2lab.model.config import GPT2Config, to_huggingface
from models import TINY, language_model
from vocabularies import small

END = small().end_of_text
SHAPE = replace(TINY, vocabulary=small().size, context=96, start_of_text=END, end_of_text=END)
SHAPES = {
    "tiny": SHAPE,
    "exact gelu, own head": replace(SHAPE, activation="gelu", tied_head=False, inner=50),
    "odd heads, attention scaled by layer": replace(SHAPE, heads=3, width=27, scale_attention_by_layer=True),
}
PROMPTS = ["The tokenizer", "It", "Numbers such as 1234567 and 3.14 are split too", "Pieces that are frequent"]


def oracle_of(config: GPT2Config, model):
    oracle = transformers.GPT2LMHeadModel(transformers.GPT2Config(**to_huggingface(config)))
    state = {name: layout.take(name, p, config.vocabulary) for name, p in layout.parameters(model).items()}
    oracle.load_state_dict(state, strict=False)
    oracle.tie_weights()
    return oracle.eval()


def their_text(oracle, prompt, **options):
    ids = torch.from_numpy(small().encode(prompt).astype("int64"))[None]
    found = oracle.generate(ids, do_sample=False, pad_token_id=END, attention_mask=torch.ones_like(ids), **options)
    return [number for number in found[0, ids.shape[1] :].tolist() if number != END]


@pytest.mark.parametrize("config", SHAPES.values(), ids=SHAPES.keys())
@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ({}, {}),
        ({"min_new_tokens": 15}, {"min_new_tokens": 15}),
        ({"repetition_penalty": 1.3}, {"repetition_penalty": 1.3}),
        ({"no_repeat_ngram": 2}, {"no_repeat_ngram_size": 2}),
        ({"repetition_penalty": 0.8, "no_repeat_ngram": 3}, {"repetition_penalty": 0.8, "no_repeat_ngram_size": 3}),
    ],
    ids=["plain", "least", "penalty", "runs", "both"],
)
def test_greedy_text_is_theirs_token_for_token_for_ragged_prompts_in_one_batch(config, ours, theirs):
    model = language_model(config)
    oracle = oracle_of(config, model)
    samples = generate(model, small(), PROMPTS, 1, SamplingSettings(temperature=0, max_new_tokens=40, **ours))
    for prompt, sample in zip(PROMPTS, samples):
        assert sample.text == small().decode(their_text(oracle, prompt, max_new_tokens=40, **theirs)), prompt


LOGITS = 4 * torch.randn(3, 97, generator=torch.Generator().manual_seed(5))
IDS = torch.randint(0, 97, (3, 30), generator=torch.Generator().manual_seed(6)).clamp(max=20)
END_HERE = 13


@settings(max_examples=150)
@given(
    temperature=st.sampled_from([0.3, 0.8, 1.0, 1.7]),
    top_k=st.sampled_from([0, 1, 5, 50, 97, 200]),
    top_p=st.sampled_from([1.0, 0.99, 0.9, 0.5, 0.05]),
    min_p=st.sampled_from([0.0, 0.01, 0.2]),
    penalty=st.sampled_from([1.0, 1.4, 0.7]),
    ngram=st.sampled_from([0, 1, 2, 3]),
    least=st.sampled_from([0, 4, 40]),
)
def test_the_distribution_is_what_their_processors_leave_in_their_order(
    temperature, top_k, top_p, min_p, penalty, ngram, least
):
    ours = SamplingSettings(
        temperature=temperature, top_k=top_k, top_p=top_p, min_p=min_p, repetition_penalty=penalty,
        no_repeat_ngram=ngram, min_new_tokens=least,
    )  # fmt: skip
    config = transformers.GenerationConfig(
        do_sample=True, temperature=temperature, top_k=top_k, top_p=top_p, min_p=min_p or None, eos_token_id=END_HERE,
        repetition_penalty=penalty, no_repeat_ngram_size=ngram or None, min_new_tokens=least or None,
    )  # fmt: skip
    model = transformers.GPT2LMHeadModel(
        transformers.GPT2Config(n_layer=1, n_head=1, n_embd=4, vocab_size=97, n_positions=64)
    )
    config._eos_token_tensor = torch.tensor([END_HERE])
    their_steps = model._get_logits_processor(config, input_ids_seq_length=20, device="cpu")
    names = {type(step).__name__ for step in their_steps}
    assert ("TopPLogitsWarper" in names, "MinPLogitsWarper" in names) == (top_p < 1, min_p > 0)
    expected = their_steps(IDS, LOGITS.clone()).softmax(-1)
    left = constrain(LOGITS.clone(), IDS.tolist(), [10, 10, 10], ours, [END_HERE], 97)
    found = distribution(left, ours)
    assert torch.equal(found > 0, expected > 0)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-7)
