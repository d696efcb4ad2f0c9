"""Greedy is the brute force, a sample is the same in any company, and every end is the one that was asked for."""

from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gpt2lab.core.errors import UserError
from gpt2lab.generate.generate import compiles, generate, write
from gpt2lab.generate.settings import SamplingSettings
from gpt2lab.model import prompt as prompt_tuning
from gpt2lab.model.settings import PromptSettings
from models import TINY, language_model
from vocabularies import small

CONFIG = replace(TINY, vocabulary=small().size, context=64)
MODEL = language_model(CONFIG)
PROMPT = "The tokenizer"
PROMPTS = ["The tokenizer", "It", "Numbers such as 1234567 and 3.14 are split too", "Pieces that are frequent", ""]


def ids_of(text):
    return small().encode(text).tolist() or [small().end_of_text]


def brute_force(model, ids, count):
    """Every token from the whole of what is in sight, computed anew; past the window by the rule in the docs."""
    ids, begin, window = list(ids), max(0, len(ids) - model.window), model.window
    first = len(ids)
    with torch.no_grad():
        for _ in range(count):
            if len(ids) - begin > window:
                begin = len(ids) - window // 2
            ids.append(int(model(torch.tensor([ids[begin:]]))[0, -1, : small().size].argmax()))
    return ids[first:]


GREEDY = SamplingSettings(temperature=0, max_new_tokens=20, ignore_eos=True)


def test_greedy_equals_a_brute_force_without_a_cache_also_for_ragged_prompts():
    for rows in (1, 2, 16):
        samples = generate(MODEL, small(), PROMPTS, 1, GREEDY.model_copy(update={"rows": rows}))
        for prompt, sample in zip(PROMPTS, samples):
            assert sample.text == small().decode(brute_force(MODEL, ids_of(prompt), 20))
            assert (sample.finish, sample.tokens, sample.prompt) == ("length", 20, prompt)


def test_past_the_window_the_last_half_is_read_again():
    wanted = GREEDY.model_copy(update={"max_new_tokens": 150})
    for sample in generate(MODEL, small(), PROMPTS, 1, wanted):
        assert sample.text == small().decode(brute_force(MODEL, ids_of(sample.prompt), 150))
        assert sample.window_slides >= 3


def test_a_prompt_longer_than_the_window_keeps_its_end_and_says_so(capsys):
    long = PROMPT * 40
    (sample,) = generate(MODEL, small(), long, 1, GREEDY)
    assert sample.text == small().decode(brute_force(MODEL, ids_of(long), 20))
    assert sample.prompt_tokens_unseen == len(ids_of(long)) - 64
    assert "the model sees its last 64" in capsys.readouterr().err


def test_a_prompt_tuned_model_writes_beside_its_soft_tokens():
    model = language_model(CONFIG)
    prompt_tuning.add(model, PromptSettings(tokens=9), 1, small().encode("Some text").astype("int64"))
    assert model.window == 55
    wanted = GREEDY.model_copy(update={"max_new_tokens": 90})
    for sample in generate(model, small(), PROMPTS, 1, wanted):
        assert sample.text == small().decode(brute_force(model, ids_of(sample.prompt), 90))
    plain = generate(MODEL, small(), PROMPTS, 1, wanted)
    assert [sample.text for sample in plain] != [sample.text for sample in generate(model, small(), PROMPTS, 1, wanted)]


LIVELY = SamplingSettings(max_new_tokens=15, temperature=0.8, top_k=50, seed=3)


@settings(max_examples=10)
@given(st.permutations(PROMPTS), st.integers(1, 7), st.integers(1, 3))
def test_a_sample_is_the_same_alone_and_in_any_company(prompts, rows, samples):
    together = generate(MODEL, small(), prompts, samples, LIVELY.model_copy(update={"rows": rows}))
    assert [(s.prompt, s.sample) for s in together] == [(p, n) for p in prompts for n in range(samples)]
    for sample in together:
        alone = list(write(MODEL, small(), [sample.prompt], 1, LIVELY, first_sample=sample.sample))
        assert alone == [sample]


def test_samples_differ_and_repeat():
    many = generate(MODEL, small(), PROMPT, 4, LIVELY)
    assert len({sample.text for sample in many}) > 1
    assert generate(MODEL, small(), PROMPT, 4, LIVELY) == many
    other = generate(MODEL, small(), PROMPT, 4, LIVELY.model_copy(update={"seed": 4}))
    assert [sample.text for sample in other] != [sample.text for sample in many]


def test_rows_that_are_finished_leave_the_batch():
    sizes = []
    wanted = SamplingSettings(max_new_tokens=40, stop_tokens=("e",), seed=5)
    samples = list(write(MODEL, small(), PROMPTS, 4, wanted, on_step=sizes.append))
    assert sizes[0] == 16
    assert sizes[-1] < 16
    # A row takes a step for each token, and one more for a token that ends it.
    assert sum(sizes) == sum(sample.tokens + (sample.finish != "length") for sample in samples)


def plain_text(seed=7, **given):
    (sample,) = generate(MODEL, small(), PROMPT, 1, SamplingSettings(max_new_tokens=30, seed=seed, **given))
    return sample


def test_a_stop_text_ends_the_sample_and_is_left_out_wherever_it_lies_in_tokens():
    whole = plain_text(ignore_eos=True).text
    for begin in range(1, len(whole) - 4):
        stop = whole[begin : begin + 4]
        if "�" in stop:
            continue
        stopped = plain_text(ignore_eos=True, stop=("never this", stop))
        assert stopped.text == whole[: whole.index(stop)]
        assert stopped.finish == "stop"


def test_a_stop_token_ends_the_sample_by_number_or_by_text():
    whole = plain_text(ignore_eos=True)
    letter = next(character for character in whole.text[1:] if character.isascii() and character.isalpha())
    (number,) = small().encode(letter).tolist()
    by_text, by_number = (plain_text(ignore_eos=True, stop_tokens=(name,)) for name in (letter, str(number)))
    assert by_text == by_number
    assert whole.text.startswith(by_text.text)


def test_end_of_text_ends_a_sample_unless_it_is_ignored_or_comes_too_early():
    model = language_model(CONFIG)
    with torch.no_grad():  # end-of-text is what this model likes best
        model.transformer.ln_f.bias += 1
        model.transformer.wte.weight[small().end_of_text] = 3
    greedy = SamplingSettings(temperature=0, max_new_tokens=6)
    (sample,) = generate(model, small(), PROMPT, 1, greedy)
    assert (sample.text, sample.finish) == ("", "end-of-text")
    (sample,) = generate(model, small(), PROMPT, 1, greedy.model_copy(update={"ignore_eos": True}))
    assert (sample.text, sample.finish) == ("<|endoftext|>" * 6, "length")
    (sample,) = generate(model, small(), PROMPT, 1, greedy.model_copy(update={"min_new_tokens": 4}))
    assert (sample.tokens, sample.finish) == (4, "end-of-text")


@pytest.mark.parametrize(
    ("prompt", "given"),
    [
        *(("", {}), ("", {"ignore_eos": True}), ("e", {"min_new_tokens": 2}), ("e", {})),
        ("e", {"ignore_eos": True, "stop_tokens": (str(small().end_of_text),), "min_new_tokens": 1}),
    ],
)
def test_a_token_that_the_model_does_not_have_neither_begins_a_text_nor_ends_one(prompt, given):
    """The rows that pad the embedding would take it in silence."""
    narrow = language_model(replace(CONFIG, vocabulary=small().size - 1, end_of_text=None, start_of_text=None))
    with pytest.raises(UserError, match=f"the token id {small().end_of_text} does not exist"):
        generate(narrow, small(), prompt, 1, SamplingSettings(max_new_tokens=3, **given))
    assert generate(narrow, small(), "e", 1, SamplingSettings(max_new_tokens=3, ignore_eos=True))


@pytest.mark.parametrize("given", [{"temperature": 0}, {}, {"top_k": 5}, {"top_p": 0.9}, {"min_p": 0.1}])
@pytest.mark.parametrize("damaged", ["transformer.ln_f.weight", "transformer.wte.weight"])
@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_weights_that_are_no_numbers_are_said_and_write_nothing(given, damaged, value):
    model = language_model(CONFIG)
    model.get_parameter(damaged).data[7] = value
    with pytest.raises(UserError, match="the model's answer is no number"):
        generate(model, small(), PROMPT, 1, SamplingSettings(max_new_tokens=3, **given))


def test_where_nothing_is_allowed_any_more_the_sample_ends_and_says_so():
    wanted = SamplingSettings(max_new_tokens=60, no_repeat_ngram=1, ignore_eos=True)
    tokenizer = small()
    model = language_model(replace(CONFIG, vocabulary=tokenizer.size))
    few = [[tokenizer.size - 1 - n for n in range(tokenizer.size - 10)]]
    row = torch.zeros(1, tokenizer.size)
    from gpt2lab.generate.constraints import constrain

    assert (constrain(row, few, [0], wanted, [], tokenizer.size) > -torch.inf).sum() == 10
    sample = generate(model, tokenizer, PROMPT, 1, wanted.model_copy(update={"max_new_tokens": 1000}))[0]
    assert sample.finish == "nothing left"
    assert sample.tokens + len(set(ids_of(PROMPT))) == tokenizer.size


def test_repetitions_become_rare_and_runs_unique():
    repeats = generate(MODEL, small(), PROMPT, 1, GREEDY.model_copy(update={"max_new_tokens": 60}))[0]
    wanted = GREEDY.model_copy(update={"max_new_tokens": 60, "no_repeat_ngram": 2, "token_details": True})
    (sample,) = generate(MODEL, small(), PROMPT, 1, wanted)
    ids = ids_of(PROMPT) + [token["id"] for token in sample.token_details]
    runs = list(pairwise(ids))
    assert len(runs) == len(set(runs))
    penal = generate(MODEL, small(), PROMPT, 1, GREEDY.model_copy(update={"repetition_penalty": 1e6}))[0]
    assert penal.text != repeats.text[: len(penal.text)]


def test_details_are_what_the_model_itself_thought():
    """Not what top-k, temperature and penalties made of it."""
    wanted = SamplingSettings(
        max_new_tokens=8, top_k=3, temperature=0.5, repetition_penalty=1.3, ignore_eos=True, token_details=True
    )
    (sample,) = generate(MODEL, small(), PROMPT, 1, wanted)
    ids = ids_of(PROMPT)
    for token in sample.token_details:
        with torch.no_grad():
            p = MODEL(torch.tensor([ids]))[0, -1, : small().size].double().softmax(-1)
        assert token["probability"] == pytest.approx(float(p[token["id"]]), rel=1e-4)
        assert token["surprise"] == pytest.approx(-float(p[token["id"]].log2()), abs=1e-3)
        assert [other["id"] for other in token["alternatives"]] == p.topk(5).indices.tolist()
        assert token["chance"] > token["probability"]  # three candidates share what all had
        ids.append(token["id"])
    assert "".join(token["token"] for token in sample.token_details) == sample.text
    assert len(sample.token_details) == sample.tokens == 8


def test_what_is_streamed_is_the_text_whole_characters_and_never_the_beginning_of_a_stop():
    whole = plain_text(ignore_eos=True).text
    for begin in range(1, len(whole) - 4):
        pieces: dict[int, list[str]] = {}

        def hear(row, piece, pieces=pieces):
            pieces.setdefault(row, []).append(piece)

        stops = ("never this", whole[begin : begin + 4])
        wanted = SamplingSettings(max_new_tokens=30, ignore_eos=True, stop=stops, seed=7)
        samples = list(write(MODEL, small(), [PROMPT, "It"], 2, wanted, listener=hear))
        assert ["".join(pieces.get(row, [])) for row in range(4)] == [sample.text for sample in samples]
    assert max(map(len, pieces.values())) > 5


def test_samples_come_in_order_and_as_soon_as_they_can():
    made = []
    wanted = SamplingSettings(max_new_tokens=30, ignore_eos=True, rows=2)
    for sample in write(MODEL, small(), PROMPTS, 1, wanted, on_step=made.append):
        made.append(sample.prompt)
    assert [item for item in made if isinstance(item, str)] == PROMPTS
    assert made.index(PROMPTS[1]) < len(made) - 30


def test_bf16_writes_nearly_the_same_distribution():
    exact, rough = (
        generate(MODEL, small(), PROMPT, 1, SamplingSettings(max_new_tokens=1, precision=p, token_details=True))[0]
        for p in ("fp32", "bf16")
    )
    likeliest = [sample.token_details[0]["alternatives"][0] for sample in (exact, rough)]
    assert likeliest[0]["id"] == likeliest[1]["id"]
    assert likeliest[0]["probability"] == pytest.approx(likeliest[1]["probability"], rel=0.1)


def test_a_model_with_fewer_ids_than_its_tokenizer_is_refused():
    with pytest.raises(UserError, match="does not exist: the model's ids are 0 to 100"):
        generate(language_model(TINY), small(), "Pieces that are frequent", 1, SamplingSettings())


@pytest.mark.parametrize("name", ["99999", "two words"])
def test_an_unknown_stop_token_is_named(name):
    with pytest.raises(UserError, match=name):
        generate(MODEL, small(), PROMPT, 1, SamplingSettings(stop_tokens=(name,)))


def test_steps_are_compiled_where_it_pays_or_where_asked_for():
    cpu, gpu = torch.device("cpu"), torch.device("cuda")
    long = SamplingSettings(max_new_tokens=2500)
    assert compiles(gpu, 64, long)
    assert not compiles(gpu, 48, long)
    assert not compiles(cpu, 64, long)
    assert compiles(cpu, 1, SamplingSettings(compile="always"))
    assert not compiles(gpu, 64, long.model_copy(update={"compile": "never"}))
