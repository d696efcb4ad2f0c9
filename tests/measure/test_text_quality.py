"""The protocol `text-quality`: scores put together by sample and prompt, and compared only when made alike."""

import json
from dataclasses import replace

import numpy as np
import pytest

from command_line import gpt2lab, last_json
from corpora import SENTENCES, corpus
from gpt2lab.core.errors import UserError
from gpt2lab.measure import form, repetition, text_quality
from gpt2lab.measure import samples as generated
from gpt2lab.measure.settings import QualitySettings
from gpt2lab.model.writing import write_model
from models import TINY, language_model
from vocabularies import SAMPLE, small

BASE = language_model(replace(TINY, vocabulary=small().size, context=64))
SETTINGS = QualitySettings(tokens=5, pooled_tokens=40, opening="The", closing=".", fewest_words=2, most_words=9)


def rows(texts=None, **changes):
    """Three samples of each of four prompts."""
    texts = texts or [SAMPLE[start : start + 40 + start] for start in range(0, 120, 10)]
    decoding = {"seed": 1, "temperature": 0.8, "max_new_tokens": 40, "stop": ["x"], "rows": 16, **changes}
    about = {"seed": decoding["seed"], "tokens": 9, "finish": "length", "settings": decoding}
    return [
        {"prompt": SENTENCES[number // 3][:20], "text": text, "sample": number % 3, **about}
        for number, text in enumerate(texts)
    ]


def read(folder, made, name="samples.jsonl"):
    path = folder / name
    path.write_text("".join(json.dumps(row) + "\n" for row in made), "utf-8")
    return generated.read(path)


def measured(samples, train=None, settings=SETTINGS):
    return text_quality.measure(samples, BASE, small(), settings, base_weights="base", train=train)


def test_every_score_stands_by_sample_and_its_mean_by_prompt(tmp_path):
    samples = read(tmp_path, rows())
    record = measured(samples)
    for item, sample in zip(record["items"], samples, strict=True):
        ids = small().encode(sample.text).tolist()
        assert item["rep_2"] == repetition.repeated(ids, 2)
        assert item["distinct_1"] == repetition.distinct([ids], 1, 5)
        assert item["fits"] == form.of(sample.prompt + sample.text, "The", ".", 2, 9).fits
    for number, prompt in enumerate(record["prompts"]):
        own = record["items"][3 * number : 3 * number + 3]
        assert prompt["samples"] == 3
        for name in ("relevance", "floor", "drift", "self_bleu", "rep_3", "longest_repeated_run"):
            assert prompt["scores"][name] == pytest.approx(np.mean([item[name] for item in own]))
            assert record["scores"][name]["samples"] == 12
    assert record["value"] == record["scores"]["relevance"]["value"]
    assert record["scores"]["relevance"]["value"] == pytest.approx(np.mean([i["relevance"] for i in record["items"]]))
    assert "copied_8" not in record["scores"]


def test_copied_passages_are_marked_in_characters(tmp_path):
    train = corpus(tmp_path / "c")
    copied = " Naïve 日本語 " + SENTENCES[6] + " and then something else"
    samples = read(tmp_path, rows([copied, "Nothing of the kind stands there, 987 654!", ""] * 4))
    record = measured(samples, train)
    item = record["items"][0]
    (passage,) = item["passages"]
    marked = copied[passage["start"] : passage["stop"]]
    assert marked in copied and len(marked) > 60 and marked.strip(" ")[:60] in SENTENCES[6]
    assert item["longest_copied"] == passage["tokens"]
    document = train.split("train").starts[passage["document"]]
    inside = train.split("train").read(int(document), int(document) + 120).tolist()
    assert marked.strip()[:30] in small().decode(inside)
    assert record["items"][2]["relevance"] is record["items"][2]["copied_8"] is None
    assert record["counts"]["empty"] == 4


def test_two_results_of_the_same_prompts_and_draws_compare_by_prompt(tmp_path):
    one = measured(read(tmp_path, rows()))
    other = measured(read(tmp_path, rows([SAMPLE[start : start + 50] for start in range(0, 240, 20)]), "b.jsonl"))
    found = text_quality.compare(one, other, "rep_2")
    assert found.value == pytest.approx(
        np.mean([a["scores"]["rep_2"] - b["scores"]["rep_2"] for a, b in zip(one["prompts"], other["prompts"])])
    )
    itself = text_quality.compare(one, one, "relevance")
    assert itself.value == 0
    assert itself.wording().startswith("no difference shown")


@pytest.mark.parametrize(
    ("changes", "named"),
    [({"seed": 2}, "seeds"), ({"temperature": 1.0}, "decoding"), ({"max_new_tokens": 50}, "decoding")],
)
def test_other_seeds_decoding_or_budget_refuse_to_compare(tmp_path, changes, named):
    one, other = (measured(read(tmp_path, rows(**changed))) for changed in ({}, changes))
    with pytest.raises(UserError, match=f"differ in their conditions: .*{named}"):
        text_quality.compare(one, other, "rep_2")


def test_how_many_were_written_side_by_side_does_not_matter(tmp_path):
    one, other = (measured(read(tmp_path, rows(**changed))) for changed in ({}, {"rows": 4}))
    assert text_quality.compare(one, other, "rep_2").value == 0


def test_other_prompts_settings_or_bases_refuse_to_compare(tmp_path):
    samples = read(tmp_path, rows())
    one = measured(samples)
    with pytest.raises(UserError, match="conditions: prompts, samples, draws"):
        text_quality.compare(one, measured(samples[:6]), "rep_2")
    with pytest.raises(UserError, match="settings: pooled_tokens"):
        text_quality.compare(one, measured(samples, settings=SETTINGS.model_copy(update={"pooled_tokens": 9})), "rep_2")
    with pytest.raises(UserError, match="differ in their base"):
        text_quality.compare(one, {**one, "base": "other"}, "rep_2")
    with pytest.raises(UserError, match="no prompt has the score"):
        text_quality.compare(one, one, "beauty")


def test_where_there_is_no_interval_prompts_are_called_prompts(tmp_path):
    samples = read(tmp_path, rows())
    record = measured(samples)
    assert record["counts"]["prompts"] < 10
    assert record["interval_note"] == f"{record['counts']['prompts']} prompts, and an interval needs at least 10"
    assert text_quality.compare(record, record, "rep_2").note == record["interval_note"]


def test_the_order_of_samples_changes_no_mean(tmp_path):
    samples = read(tmp_path, rows())
    before, after = measured(samples), measured(samples[::-1])
    assert before["conditions"] == after["conditions"]
    for name, found in before["scores"].items():
        assert after["scores"][name]["value"] == pytest.approx(found["value"], abs=1e-5)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("", "there are no samples"),
        ("no json", "not a JSON object"),
        ('{"prompt": "x"}', "a sample needs a text"),
        ('{"prompt": "x", "text": 3}', "a sample needs a text"),
        ('{"prompt": "x", "text": "y", "settings": 3}', "a sample needs a settings object"),
        ('{"prompt": "x", "text": "y", "sample": [1]}', "a sample needs a sample that is a whole number"),
        ('{"prompt": "x", "text": "y", "seed": "x"}', "a sample needs a seed that is a whole number"),
        ('{"prompt": "x", "text": "y", "sample": 0}\n{"prompt": "x", "text": "z", "sample": 0}', "stands 2 times"),
    ],
)
def test_what_are_no_samples_is_one_clear_line(tmp_path, line, message):
    path = tmp_path / "s.jsonl"
    path.write_text(line)
    with pytest.raises(UserError, match=message):
        generated.read(path)


def test_the_command_measures_what_generate_prints(tmp_path, capsys):
    write_model(tmp_path / "base", BASE, small())
    lines = []
    for prompt in SENTENCES[:2]:
        assert gpt2lab("generate", tmp_path / "base", "--prompt", prompt[:15], "--samples", 2,
                       "--max-new-tokens", 20, "--ignore-eos", "--json") == 0  # fmt: skip
        lines.append(capsys.readouterr().out)
    (tmp_path / "samples.jsonl").write_text("".join(lines), "utf-8")
    made = corpus(tmp_path / "c").folder
    line = ["evaluate", tmp_path / "base", "--protocol", "text-quality", "--data", tmp_path / "samples.jsonl"]
    assert gpt2lab(*line, "--base", tmp_path / "base", "--train", made, "--json") == 0
    found = last_json(capsys.readouterr().out)
    assert found["protocol"] == "text-quality@1"
    assert found["counts"]["samples"] == 4
    assert {"relevance", "floor", "drift", "rep_4", "self_bleu", "copied_8", "copied_13"} <= set(found["scores"])
    assert gpt2lab(*line) == 2
    assert "--base MODEL" in capsys.readouterr().err
