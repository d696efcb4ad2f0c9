"""A result is kept with all that moves it, is found again, and stands beside its like alone."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import safetensors.numpy
import yaml

from command_line import fresh, gpt2lab, last_json
from corpora import SENTENCES, corpus
from gpt2lab.core import files
from gpt2lab.core.errors import UserError
from gpt2lab.measure import comparison, evaluate, published, records
from gpt2lab.measure.bench import Bench
from gpt2lab.measure.settings import DataSettings, EvaluateSettings, Evaluation
from gpt2lab.model.writing import write_model
from models import TINY, classifier, language_model, lively
from vocabularies import small

CONFIG = replace(TINY, vocabulary=small().size)
STORED = {
    "protocol", "value", "interval", "interval_note", "counts", "sum_nll", "settings", "seed", "seconds",
    "circumstances", "items", "model", "data", "asked",
}  # fmt: skip


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("evaluate")
    write_model(folder / "model", language_model(CONFIG), small())
    write_model(folder / "other", lively(language_model(CONFIG), seed=5), small())
    rows = "".join(json.dumps({"text": text}) + "\n" for text in SENTENCES[:15])
    (folder / "rows.jsonl").write_text(rows)
    corpus(folder / "corpus")
    return folder


@pytest.fixture(autouse=True)
def own_results(tmp_path, monkeypatch):
    monkeypatch.setenv("GPT2LAB_HOME", str(tmp_path / "home"))


def measured(place, name="bits-per-byte", model="model", data="rows.jsonl", again=False, columns=None, **given):
    settings = Evaluation(evaluate=EvaluateSettings(**given), data=DataSettings(**(columns or {})))
    return evaluate.evaluate(str(place / model), [name], str(place / data), settings, "cpu", again=again)[0]


def test_everything_that_moves_the_value_is_stored_and_each_document_beside_it(place):
    record = measured(place, context=16)
    (path,) = (files.home() / "results").glob("*/*.json")
    stored = files.read_json(path)
    assert set(stored) >= STORED
    assert stored["settings"] | {"context": 16, "precision": "fp32", "start_token": "end-of-text"} == stored["settings"]
    assert {"device", "peak_memory", "tokens_per_second", "versions"} <= set(stored["circumstances"])
    assert len(stored["model"]["weights"]) == len(stored["data"]["hash"]) == 64
    lines = [json.loads(line) for line in (path.parent / stored["items"]["file"]).read_text().splitlines()]
    assert lines == record["items"]
    assert records.read(path) == record


def test_the_same_question_is_answered_from_what_is_stored(place, capsys, monkeypatch):
    first = measured(place)
    assert "already measured" not in capsys.readouterr().out
    assert measured(place, token_budget=64) == first  # it never changes what is scored
    assert "bits-per-byte: already measured" in capsys.readouterr().out
    again = measured(place, again=True)
    assert again["circumstances"]["seconds"] != first["circumstances"]["seconds"]
    assert again["items"] == first["items"]
    for changed in ({"context": 9}, {"limit": 3}, {"model": "other"}, {"precision": "bf16"}):
        measured(place, **changed)
    (place / "rows.jsonl").write_text((place / "rows.jsonl").read_text() + '{"text": "more"}\n')
    measured(place)
    assert "already" not in capsys.readouterr().out


def test_what_is_found_again_bears_the_names_that_were_typed(place, tmp_path):
    first = measured(place)
    shutil.copytree(place / "model", tmp_path / "copy")
    shutil.copy(place / "rows.jsonl", tmp_path / "same.jsonl")
    again = measured(place, model=tmp_path / "copy", data=tmp_path / "same.jsonl")
    assert (again["model"]["path"], again["data"]["path"]) == (str(tmp_path / "copy"), str(tmp_path / "same.jsonl"))
    assert again["circumstances"] == first["circumstances"]


@pytest.mark.parametrize("name", ["choices", "lambada", "labels"])
def test_the_same_content_is_the_same_data_under_any_name_and_other_content_is_not(place, tmp_path, name):
    model = classifier(replace(CONFIG, labels=("0", "1"), padding=0)) if name == "labels" else language_model(CONFIG)
    write_model(tmp_path / "m", model, small())
    row = {"text": SENTENCES[0], "context": SENTENCES[0], "endings": ["x", "y"], "label": 0}
    for file, rows in (("a", [row, row]), ("b", [row, row]), ("c", [row])):
        files.write_text(tmp_path / f"{file}.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    same, alike, other = (
        measured(place, name, model=tmp_path / "m", data=tmp_path / f"{file}.jsonl")["data"]["hash"] for file in "abc"
    )
    assert same == alike != other


def test_a_changed_config_is_another_model_and_other_words_for_it_are_not(place, tmp_path, capsys):
    write_model(tmp_path / "m", language_model(CONFIG), small())
    about = files.read_json(tmp_path / "m" / "config.json")
    first = measured(place, model=tmp_path / "m")
    files.write_json(tmp_path / "m" / "config.json", {**about, "activation_function": "relu"})
    assert measured(place, model=tmp_path / "m")["value"] != first["value"]
    assert "already measured" not in capsys.readouterr().out
    files.write_json(tmp_path / "m" / "config.json", {**about, "transformers_version": "5.0"})
    assert measured(place, model=tmp_path / "m") == first


def test_an_adapter_is_another_model_with_other_settings_or_another_base(place, tmp_path):
    """As PEFT writes one: its folder names the base and holds no hash of it."""
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    settings = {"base_model_name_or_path": str(tmp_path / "base"), "peft_type": "LORA", "lora_alpha": 8}
    shutil.copytree(place / "model", tmp_path / "base")
    safetensors.numpy.save_file({"lora": np.ones(3)}, adapter / "adapter_model.safetensors")

    def identity(**changed):
        files.write_json(adapter / "adapter_config.json", {**settings, **changed})
        return Bench(str(adapter), "", Evaluation()).identity

    as_it_was = identity()
    assert identity() == as_it_was
    assert identity(lora_alpha=16) != as_it_was
    shutil.copy(place / "other" / "model.safetensors", tmp_path / "base")
    assert identity() != as_it_was


@pytest.mark.parametrize("damage", [".json", ".jsonl"])
def test_a_damaged_result_is_named_and_measured_again(place, capsys, damage):
    first = measured(place)
    path = next(path for path in (files.home() / "results").glob("*/*") if path.suffix == damage)
    path.write_text(path.read_text()[:-30])
    assert measured(place)["items"] == first["items"]
    assert path.name in capsys.readouterr().err
    measured(place)
    assert "already measured" in capsys.readouterr().out


def test_a_model_against_itself_differs_by_nothing_and_another_by_something(place):
    one, other = measured(place), measured(place, model="other")
    same = comparison.compare(one, measured(place, again=True))
    assert same.value == 0
    assert same.wording().startswith("no difference shown")
    apart = comparison.compare(one, other)
    nll = sum(item["nll"] for item in one["items"]) - sum(item["nll"] for item in other["items"])
    assert apart.value == pytest.approx(nll / one["counts"]["bytes"])
    assert apart.value == -comparison.compare(other, one).value


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"name": "perplexity/word"}, "protocol"),
        ({"context": 9}, "settings.context"),
        ({"precision": "bf16"}, "settings.precision"),
        ({"data": "corpus"}, "data.hash"),
    ],
)
def test_what_does_not_compare_is_refused_by_the_field(place, changed, field):
    with pytest.raises(UserError, match=f"do not compare: {field}"):
        comparison.compare(measured(place), measured(place, **changed))


def test_other_denominators_do_not_compare(place):
    one = measured(place, name="perplexity/token-window")
    other = json.loads(json.dumps(one))
    other["items"][3]["tokens"] += 1
    with pytest.raises(UserError, match="the number of tokens of document 3") as refused:
        comparison.compare(one, other)
    assert "bits-per-byte" in refused.value.way_out


def test_published_values_stand_beside_their_own_protocol_form_and_settings_alone():
    settings = {
        "compat": "huggingface", "context": 1024, "stride": 1024, "max_tokens": None, "limit": None,
        "join": "rows by a blank line", "detokenisation": "none",
    }  # fmt: skip
    record = {
        "protocol": "perplexity/token-window@1",
        "settings": settings,
        "data": {"hash": published.WIKITEXT_2_TEST[0]},
    }
    assert [(line.model, line.value) for line in published.beside(record) if line.comparable] == [
        ("gpt2", 29.94),
        ("gpt2-large", 19.44),
    ]
    others = [
        {"settings": {**settings, "stride": 512}},
        {"settings": {**settings, "compat": None}},
        {"settings": {**settings, "join": "as it stands"}},
        {"settings": {**settings, "limit": 3}},
        {"data": {"hash": "another"}},
        {"protocol": "perplexity/blocks@1"},
    ]
    for other in others:
        assert not [line for line in published.beside({**record, **other}) if line.comparable]


@pytest.mark.real_data
def test_the_published_values_know_the_real_wikitext_2(real_data):
    from gpt2lab.measure import texts

    folder = real_data / "wikitext-2"
    set_, file = (
        texts.read("wikitext-2", DataSettings(), folder),
        texts.read(str(folder / "wiki.test.raw.xz"), DataSettings()),
    )
    assert (set_.hash, file.hash) == published.WIKITEXT_2_TEST
    validation = texts.read("wikitext-2", DataSettings(split="validation"), folder)
    assert (validation.hash,) == published.WIKITEXT_2_VALIDATION


def test_the_command_takes_several_protocols_and_models_and_prints_one_list(place, capsys):
    line = ["evaluate", place / "model", place / "other", "--data", place / "rows.jsonl", "--limit", 12]
    assert gpt2lab(*line, "--protocol", "perplexity/word,bits-per-byte", "--json") == 0
    found = last_json(capsys.readouterr().out)
    assert [(record["model"]["path"].rpartition("/")[2], record["protocol"]) for record in found] == [
        ("model", "perplexity/word@2"),
        ("model", "bits-per-byte@1"),
        ("other", "perplexity/word@2"),
        ("other", "bits-per-byte@1"),
    ]
    assert all({"value", "interval", "counts", "data", "settings", "seconds"} <= set(record) for record in found)
    assert found[0]["interval"].keys() >= {"low", "high", "level"}
    assert found[0]["counts"]["documents"] == 12


def test_the_table_says_what_is_better_and_what_comes_next(place, capsys):
    assert gpt2lab("evaluate", place / "model", "--data", place / "corpus") == 0
    said = capsys.readouterr().out
    assert "lower" in said
    assert "no interval: " in said  # six documents are too few
    assert "next: gpt2lab evaluate" in said


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (["--protocol", "perplexity/words"], "did you mean perplexity/word?"),
        (["--protocol", "bits-per-byte", "evaluate.stride=4"], "evaluate.stride has no effect on bits-per-byte"),
        (["--protocol", "choices,harness:x", "--processes", 2], "tasks of lm-evaluation-harness run in one process"),
        (["--protocol", "choices", "data.split=test"], "data.split has no effect on choices"),
        (["--protocol", "bits-per-byte", "quality.tokens=9"], "quality.tokens has no effect on bits-per-byte"),
        (["--protocol", "text-quality", "evaluate.context=9"], "evaluate.context has no effect on text-quality"),
        (["--protocol", "text-quality", "--from", "."], "--from has no effect on text-quality"),
        (["--protocol", "choices", "--tasks-from", "."], "--tasks-from has no effect on choices"),
        (["--protocol", "harness:x"], "--data has no effect on harness:x"),
        (["--protocol", "text-quality", "quality.opening=<LOC>"], "opening and closing go together"),
        (["--protocol", "text-quality", "quality.most_words=9"], "fewest_words is 150, most_words only 9"),
        (["evaluate.context=99"], "this model can see 2 to 24 tokens"),
        (["data.split=test"], "no split 'test' here"),
    ],
)
def test_bad_input_is_one_clear_line(place, capsys, line, said):
    assert gpt2lab("evaluate", place / "model", "--data", place / "rows.jsonl", *line) == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("name", ["choices", "lambada"])
def test_weights_that_are_no_numbers_are_one_clear_line(place, tmp_path, capsys, name):
    model = language_model(CONFIG)
    model.transformer.ln_f.bias.data[0] = float("nan")
    write_model(tmp_path / "m", model, small())
    row = {"text": SENTENCES[0], "context": SENTENCES[0], "endings": ["x", "y"], "label": 0}
    files.write_text(tmp_path / "items.jsonl", json.dumps(row) + "\n")
    assert gpt2lab("evaluate", tmp_path / "m", "--data", tmp_path / "items.jsonl", "--protocol", name) == 1
    assert "the log-likelihood of a token is nan" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["choices", "hellaswag/completion", "lambada"])
def test_bf16_says_how_many_answers_it_changes(place, tmp_path, name):
    rows = [
        {"text": text[:60], "context": text[:20], "ctx": text[:20], "endings": [text[20:30], text[30:40]], "label": 0}
        for text in SENTENCES[:15]
    ]
    files.write_text(tmp_path / "items.jsonl", "".join(json.dumps(row) + "\n" for row in [{}, *rows]))
    exact, rounded = (measured(place, name, data=tmp_path / "items.jsonl", precision=one) for one in ("fp32", "bf16"))
    key = "right" if name == "lambada" else "chosen"
    changed = sum(one[key] != other[key] for one, other in zip(exact["items"], rounded["items"], strict=True))
    assert rounded["counts"]["changed_by_precision"] == {"items": exact["counts"]["items"], "changed": changed}
    assert "changed_by_precision" not in exact["counts"]


def test_a_vocabulary_that_does_not_fit_is_said(place, capsys, tmp_path):
    write_model(tmp_path / "m", language_model(replace(TINY, vocabulary=101)), small())
    assert gpt2lab("evaluate", tmp_path / "m", "--data", place / "rows.jsonl") == 2
    assert "does not exist: the model's ids are 0 to 100" in capsys.readouterr().err


def test_a_task_of_the_harness_is_measured_and_kept_like_any_other(place, tmp_path, capsys):
    """From a folder of task files; its word perplexity is ours."""
    pages = [{"page": text} for text in SENTENCES[:12]]
    files.write_text(tmp_path / "pages.jsonl", "".join(json.dumps(page) + "\n" for page in pages))
    data_files = {"data_files": {"test": str(tmp_path / "pages.jsonl")}}
    task = {
        "task": "own_pages", "dataset_path": "json", "dataset_kwargs": data_files,
        "output_type": "loglikelihood_rolling", "test_split": "test", "doc_to_text": "", "doc_to_target": "{{page}}",
        "metric_list": [{"metric": "word_perplexity"}, {"metric": "bits_per_byte"}], "metadata": {"version": 1.0},
    }  # fmt: skip
    (tmp_path / "own_pages.yaml").write_text(yaml.safe_dump(task))
    line = ["evaluate", place / "model", "--tasks-from", tmp_path, "--limit", 10]
    assert gpt2lab(*line, "--protocol", "harness:own_pages", "--json") == 0
    record = last_json(capsys.readouterr().out)
    assert record["protocol"] == "harness:own_pages@1.0"
    rows = tmp_path / "rows.jsonl"
    files.write_text(rows, "".join(json.dumps({"text": page["page"]}) + "\n" for page in pages))
    settings = ["--protocol", "perplexity/word", "--data", rows, "evaluate.detokenise=none", "--limit", 10, "--json"]
    assert gpt2lab("evaluate", place / "model", *settings) == 0
    ours = last_json(capsys.readouterr().out)
    assert record["metrics"]["word_perplexity"] == pytest.approx(ours["value"], rel=1e-4)
    assert record["metrics"]["bits_per_byte"] == pytest.approx(ours["also"]["bits_per_byte"]["value"], rel=1e-5)


def test_two_processes_score_as_one(place, tmp_path):
    line = ["evaluate", place / "model", "--data", place / "rows.jsonl", "--protocol", "perplexity/word,choices"]
    rows = [
        {"text": text, "context": text[:20], "endings": [text[20:30], "xyz"], "label": 0} for text in SENTENCES[:12]
    ]
    files.write_text(tmp_path / "rows.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    line[3] = tmp_path / "rows.jsonl"
    alone, together = (
        fresh(*line, "--json", "--processes", count, GPT2LAB_HOME=str(tmp_path / f"home-{count}")) for count in (1, 2)
    )
    assert together.returncode == 0, together.stderr
    for one, both in zip(last_json(alone.stdout), last_json(together.stdout), strict=True):
        assert one["value"] == pytest.approx(both["value"], rel=1e-6)
        assert one["counts"] == both["counts"]
    assert list((tmp_path / "home-2").glob("results/*/*.json"))
