"""Every method on every task: resumed exactly, from any data, with what it cost on record."""

import json
import re
import shutil
import sys
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch

from command_line import fresh, gpt2lab, last_json
from gpt2lab.core import files, lines, own_memory
from gpt2lab.model.block import Block
from gpt2lab.model.reading import read_model, with_head
from gpt2lab.study.data import corpus_for
from gpt2lab.study.settings import TuneDataSettings, TuneSettings, resumed
from gpt2lab.study.tasks import text as text_task
from gpt2lab.text.batches import UNSCORED, Documents
from gpt2lab.text.corpus import open_corpus
from gpt2lab.train import checkpoint

SHAPE = ["model.layers=2", "model.heads=2", "model.width=16", "model.context=48", "train.precision=fp32"]
SHORT = ["train.epochs=none", "train.steps=6", "train.batch_rows=8", "train.precision=fp32", "train.learning_rate=1e-2"]
METHODS = {
    "full": [],
    "lora": ["lora.dropout=0.1", "lora.plus=4"],
    "pissa": ["lora.pissa=true", "lora.rank=2", "lora.targets=all"],
    "prompt": ["prompt.tokens=4"],
    "partial": ["partial.top_rate=5"],
}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A base, and corpora of text and of labelled texts with its tokenizer."""
    folder = tmp_path_factory.mktemp("finetune")
    assert (
        gpt2lab(
            "prepare", "builtin:fantasy", "--out", folder / "text", "--tokenizer", "builtin", "prepare.vocabulary=400"
        )
        == 0
    )
    assert gpt2lab("prepare", "builtin:topics", "--out", folder / "labels", "--tokenizer", folder / "text") == 0
    limits = ["train.steps=4", "train.batch_rows=8"]
    assert gpt2lab("pretrain", "--data", folder / "text", "--out", folder / "base", *SHAPE, *limits) == 0
    return folder


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("GPT2LAB_HOME", str(tmp_path / "home"))


def tune(place, out, name, data, *more):
    method = "lora" if name == "pissa" else name
    given = ["--base", place / "base", "--data", data, "--method", method, "--out", out]
    return gpt2lab("finetune", *given, *SHORT, *METHODS[name], *more)


@pytest.mark.parametrize("task", ["text", "labels"])
@pytest.mark.parametrize(("name", "precision"), [*product(METHODS, ["fp32"]), ("full", "bf16"), ("lora", "bf16")])
def test_an_interrupted_tuning_ends_as_one_that_was_not(place, tmp_path, name, task, precision):
    """As if the power had gone between the checkpoint of step 3 and the end."""
    more = ["--task", task, "train.checkpoint_every=3", "model.dropout=0.1", f"train.precision={precision}"]
    for out in ("straight", "stopped"):
        assert tune(place, tmp_path / out, name, place / task, *more) == 0
    stopped = tmp_path / "stopped"
    files.write_json(stopped / "run.json", {**files.read_json(stopped / "run.json"), "state": "unfinished"})
    shutil.rmtree(stopped / "model")
    shutil.rmtree(checkpoint.folder_of(stopped / "checkpoints", 6))
    assert gpt2lab("finetune", "--resume", "--out", stopped) == 0
    straight = tmp_path / "straight"
    assert (stopped / "metrics.jsonl").read_bytes() == (straight / "metrics.jsonl").read_bytes()
    weights = next(path.name for path in (straight / "model").glob("*.safetensors"))
    assert (stopped / "model" / weights).read_bytes() == (straight / "model" / weights).read_bytes()


def test_what_it_cost_is_on_record(place, tmp_path):
    assert tune(place, tmp_path / "run", "prompt", place / "labels", "--task", "labels") == 0
    run = files.read_json(tmp_path / "run" / "run.json")
    classes = len(open_corpus(place / "labels").manifest["labels"])
    assert run["trainable_parameters"] == (4 + classes) * 16
    base = read_model(place / "base")
    assert run["parameters"] == sum(p.numel() for p in base.parameters()) - 112 * 16 + (4 + classes) * 16
    assert run["texts_per_second"] > 0
    assert run["peak_memory"] > 1e6
    assert run["training_seconds"] == pytest.approx(
        sum(line["seconds"] for line in lines.read(tmp_path / "run" / "timings.jsonl"))
    )


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux forgets a peak")
def test_its_peak_of_memory_is_its_own_and_not_that_of_what_the_process_did_before(place, tmp_path):
    """As of the trials of a search, one after another."""
    before = torch.ones(2**28)
    most = own_memory.peak(before.device)
    del before
    assert tune(place, tmp_path / "run", "full", place / "labels", "--task", "labels") == 0
    assert files.read_json(tmp_path / "run" / "run.json")["peak_memory"] < most - 2**29


def test_data_by_name_is_prepared_once_with_the_bases_tokenizer(place, tmp_path, capsys):
    for out in ("one", "two"):
        assert tune(place, tmp_path / out, "partial", "builtin:topics", "--task", "labels") == 0
    assert "already prepared" in capsys.readouterr().out
    (corpus,) = (tmp_path / "home" / "corpora").glob("*/corpus.json")
    base = open_corpus(place / "text").manifest["tokenizer"]["hash"]
    assert files.read_json(corpus)["tokenizer"]["hash"] == base


def test_an_evaluation_set_that_has_changed_makes_another_corpus_of_the_same_data(place, tmp_path):
    (tmp_path / "texts.txt").write_text("Some words of a text.\n\nAnd more of them.\n" * 20)
    compared = {"contamination": [str(tmp_path / "test.txt")]}
    settings = TuneSettings(base="", data={"source": str(tmp_path / "texts.txt")}, method="full", prepare=compared)
    for text in ("A question.", "Another question."):
        (tmp_path / "test.txt").write_text(text)
        corpus_for(settings, place / "text")
    assert len(list((tmp_path / "home" / "corpora").glob("*/corpus.json"))) == 2


def test_sources_are_mixed_by_weight_and_each_is_looked_at(place, tmp_path, capsys):
    mixed = ["data.also=builtin:topics", "prepare.weights=3,1", "train.validate_every=2"]
    assert tune(place, tmp_path / "run", "lora", "builtin:fantasy", *mixed) == 0
    run = files.read_json(tmp_path / "run" / "run.json")
    parts = open_corpus(Path(run["corpus_folder"])).manifest["mixture"]
    assert [part["weight"] for part in parts] == [3, 1]
    assert "no validation split" not in capsys.readouterr().err
    assert len(list((tmp_path / "run" / "results").glob("perplexity-blocks*.json"))) == 2
    given = ["--base", place / "base", "--method", "full", "--out", tmp_path / "no", *SHORT]
    assert gpt2lab("finetune", *given, "--data", place / "text", *mixed) == 2
    assert "cannot be mixed" in capsys.readouterr().err


def test_data_from_a_file_with_named_columns(place, tmp_path):
    rows = [
        {"title": f"title {n}", "body": f"text number {n}", "kind": "even" if n % 2 == 0 else "odd"} for n in range(200)
    ]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    more = ["--task", "labels", "data.text=title,body", "data.label=kind", "prepare.validation=0.2"]
    assert tune(place, tmp_path / "run", "full", tmp_path / "rows.jsonl", *more) == 0
    assert list(read_model(tmp_path / "run").config.labels) == ["even", "odd"]
    looks = [
        line["validation_texts"]
        for line in lines.read(tmp_path / "run" / "metrics.jsonl")
        if "validation_texts" in line
    ]
    assert looks == [40]


def test_classes_are_in_the_column_label_unless_another_is_named(place, tmp_path, capsys):
    rows = [{"text": f"text number {n}", "label": n % 2, "kind": "all"} for n in range(200)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert tune(place, tmp_path / "run", "full", tmp_path / "rows.jsonl", "--task", "labels") == 0
    assert list(read_model(tmp_path / "run").config.labels) == ["0", "1"]
    (tmp_path / "others.jsonl").write_text('{"text": "one", "kind": "even"}\n' * 200)
    capsys.readouterr()
    assert tune(place, tmp_path / "no", "full", tmp_path / "others.jsonl", "--task", "labels") == 2
    said = capsys.readouterr().err
    assert "there is no column 'label'" in said
    assert "data.label=" in said


def test_only_the_completion_is_learned(place, tmp_path):
    rows = [{"q": f"What is {n}?", "a": f"It is a number, {n}."} for n in range(120)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert tune(place, tmp_path / "run", "lora", tmp_path / "rows.jsonl", "data.prompt=q", "data.completion=a") == 0
    corpus = open_corpus(next((tmp_path / "home" / "corpora").iterdir()))
    settings = TuneSettings(base="", data=TuneDataSettings(source=""), method="full")
    task = text_task(settings, corpus, 48, "auto")
    assert isinstance(task.rows, Documents)
    batch = task.rows.batch(np.arange(task.rows.rows))
    tokenizer = corpus.tokenizer()
    for ids, targets in zip(batch.ids, batch.targets):
        learned = tokenizer.decode(targets[targets != UNSCORED])
        assert learned.startswith("It is a number")
        assert "What is" in tokenizer.decode(ids)
    learned = [line["tokens"] for line in lines.read(tmp_path / "run" / "metrics.jsonl")]
    assert max(learned) < 8 * 20  # eight rows a step, and no prompt among the targets


@pytest.mark.parametrize("kind", ["packed", "documents"])
def test_collections_are_read_by_document(place, tmp_path, kind):
    assert tune(place, tmp_path / "run", "full", place / "text", f"data.rows={kind}", "train.validate_every=3") == 0
    looks = [
        line["validation_tokens"]
        for line in lines.read(tmp_path / "run" / "metrics.jsonl")
        if "validation_tokens" in line
    ]
    held_out = open_corpus(place / "text").split("validation")
    assert looks == [held_out.tokens, held_out.tokens]  # every token after an end-of-text, and each document's own end


def test_seeds_really_train_each(place, tmp_path, capsys):
    out = tmp_path / "runs"
    assert gpt2lab("finetune", "--out", out, "--seeds", "1,x") == 2
    capsys.readouterr()
    given = ["--base", place / "base", "--data", place / "labels", "--method", "prompt", "--task", "labels"]
    assert (
        fresh("finetune", *given, "--out", out, *SHORT, "train.validate_every=3", "--seeds", "1,2", "--json").returncode
        == 0
    )
    folders = [read_model(out / f"seed-{seed}") for seed in (1, 2)]
    assert not np.array_equal(*(model.score.weight.detach().numpy() for model in folders))


def test_a_prompt_tuned_base_cannot_be_tuned_further(place, tmp_path, capsys):
    assert tune(place, tmp_path / "soft", "prompt", place / "text") == 0
    given = ["--base", tmp_path / "soft", "--data", place / "text", "--method", "full", "--out", tmp_path / "next"]
    assert gpt2lab("finetune", *given, *SHORT) == 2
    assert "soft tokens cannot become weights" in capsys.readouterr().err


@pytest.mark.parametrize("task", ["text", "labels"])
def test_soft_tokens_go_on_from_where_they_are(place, tmp_path, capsys, task):
    """They stand before the same model as the first ones did."""
    assert tune(place, tmp_path / "soft", "prompt", place / "text") == 0
    given = ["--base", tmp_path / "soft", "--data", place / task, "--task", task, "--method", "prompt"]
    still = [*SHORT, "train.learning_rate=1e-9"]
    assert gpt2lab("finetune", *given, "--out", tmp_path / "wrong", *still, "prompt.tokens=5") == 2
    assert "the base has 4 soft tokens to go on with" in capsys.readouterr().err
    assert gpt2lab("finetune", *given, "--out", tmp_path / "next", *still, "prompt.tokens=4", "prompt.text=x") == 0
    assert "prompt.text has no effect" in capsys.readouterr().err
    first, then = (read_model(tmp_path / name) for name in ("soft", "next"))
    torch.testing.assert_close(first.transformer.prompt.weight, then.transformer.prompt.weight, atol=1e-6, rtol=0)
    assert torch.equal(first.transformer.wte.weight, then.transformer.wte.weight)
    on = [files.read_json(tmp_path / name / "model" / "adapter_config.json") for name in ("soft", "next")]
    assert on[0]["base_model_name_or_path"] == on[1]["base_model_name_or_path"]


def test_a_dry_run_of_a_tuning_says_what_moves(place, tmp_path, capsys):
    assert tune(place, tmp_path / "run", "partial", place / "labels", "--task", "labels", "--dry-run", "--json") == 0
    facts = last_json(capsys.readouterr().out)
    moving = sum(facts["trainable"].values())
    assert 0 < moving < facts["parameters"]
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["prompt.tokens=48"], "no room for text"),
        (["train.block=47", "prompt.tokens=4"], "the model sees 44 tokens of text"),
        (["data.rows=sideways"], "data.rows"),
        (["data.label=kind", "prompt.tokens=4"], None),
    ],
)
def test_bad_input_is_one_line_before_training(place, tmp_path, capsys, more, message):
    code = tune(place, tmp_path / "run", "prompt", place / "text", *more)
    assert code == (2 if message else 0)
    if message:
        assert message in capsys.readouterr().err
        assert not (tmp_path / "run" / "run.json").exists()


def test_a_base_that_changed_at_its_path_is_noticed(place, tmp_path, capsys):
    base, out = tmp_path / "base", tmp_path / "run"
    shutil.copytree(place / "base" / "model", base)
    given = ["--data", place / "text", "--method", "lora", "--out", out, *SHORT]
    assert gpt2lab("finetune", "--base", base, *given) == 0
    assert gpt2lab("finetune", "--base", base, *given) == 0
    assert "already finished" in capsys.readouterr().out
    elsewhere = ["--data", tmp_path / "nowhere.txt", *given[2:]]
    assert gpt2lab("finetune", "--base", base, *elsewhere) == 2  # data that cannot be what they were
    shutil.rmtree(base)
    assert gpt2lab("finetune", "--base", base, *given) == 0  # gone, it cannot have changed
    other = gpt2lab(
        "pretrain", "--data", place / "text", "--out", tmp_path / "other", *SHAPE, "train.steps=1", "train.seed=2"
    )
    assert other == 0
    shutil.copytree(tmp_path / "other" / "model", base)
    run = files.read_json(out / "run.json")
    for state in ("finished", "unfinished"):
        files.write_json(out / "run.json", {**run, "state": state})
        assert gpt2lab("finetune", "--out", out, "--resume") == 2
        assert "the base has changed since the run began" in capsys.readouterr().err


def test_steps_that_were_asked_for_are_all_trained(place, tmp_path):
    """Three epochs are what is trained where nobody says for how long, and no limit beside one that was given."""
    given = ["--base", place / "base", "--data", place / "labels", "--task", "labels", "--method", "full"]
    rows = len(open_corpus(place / "labels").split("train").starts)
    assert gpt2lab("finetune", *given, "--out", tmp_path / "steps", "train.steps=5", f"train.batch_rows={rows}") == 0
    assert files.read_json(tmp_path / "steps" / "run.json")["steps"] == 5
    assert gpt2lab("finetune", *given, "--out", tmp_path / "epochs", f"train.batch_rows={rows}") == 0
    assert files.read_json(tmp_path / "epochs" / "run.json")["steps"] == 3


@pytest.mark.parametrize(
    ("method", "rate", "decay"), [("full", 5e-5, 0.01), ("qlora", 2e-4, 0.01), ("prompt", 5e-3, 0.0)]
)
def test_each_method_has_defaults_of_its_own_wherever_settings_come_from(method, rate, decay):
    source = TuneDataSettings(source="")
    train = TuneSettings(base="", data=source, method=method).train
    assert (train.learning_rate, train.weight_decay, train.epochs, train.batch_rows) == (rate, decay, 3, 16)
    train = TuneSettings(base="", data=source, method=method, train={"learning_rate": 1.0, "batch_tokens": 64}).train
    assert (train.learning_rate, train.batch_rows, train.batch_tokens) == (1.0, None, 64)


def test_seeds_without_validation_end_with_a_table(place, tmp_path):
    rows = [json.dumps({"text": text, "label": label}) for text, label in (("one", "a"), ("two", "b"))]
    (tmp_path / "few.jsonl").write_text("\n".join(rows))
    given = ["--base", place / "base", "--data", tmp_path / "few.jsonl", "--method", "full", "--task", "labels"]
    done = fresh(
        "finetune", *given, "--out", tmp_path / "runs", *SHORT, "prepare.validation=0", "--seeds", "1,2", "--json"
    )
    assert done.returncode == 0, done.stderr
    assert [run["best"] for run in last_json(done.stdout)["runs"]] == [None, None]


def test_what_the_classes_are_is_said_before_training(place, tmp_path, capsys):
    labels = ["good", "bad", "good", "bad", "bad", "-1"]
    rows = [json.dumps({"text": f"text number {number}", "label": label}) for number, label in enumerate(labels)]
    (tmp_path / "some.jsonl").write_text("\n".join(rows))
    given = ["--base", place / "base", "--data", tmp_path / "some.jsonl", "--method", "full", "--task", "labels"]
    assert gpt2lab("finetune", *given, "--out", tmp_path / "run", *SHORT, "prepare.validation=0") == 0
    said = capsys.readouterr()
    assert "classes, with their texts to train on: -1 1, bad 3, good 2" in said.out
    assert "of 3 classes 1 have fewer than two texts to learn from, such as -1" in said.err
    (tmp_path / "one.jsonl").write_text("\n".join(rows[1:2]))
    given[3] = tmp_path / "one.jsonl"
    assert gpt2lab("finetune", *given, "--out", tmp_path / "other", *SHORT, "prepare.validation=0") == 2
    said = capsys.readouterr().err
    assert "every text is of the class 'bad'" in said
    assert "one.jsonl" in said


def test_a_class_number_out_of_range_is_one_line(place, tmp_path, capsys):
    shutil.copytree(place / "labels", tmp_path / "labels")
    path = next((tmp_path / "labels").rglob("train.labels.npy"))
    labels = np.load(path)
    labels[3] = 9
    np.save(path, labels)
    given = ["--base", place / "base", "--data", tmp_path / "labels", "--method", "full", "--task", "labels"]
    assert gpt2lab("finetune", *given, "--out", tmp_path / "run", *SHORT) == 2
    assert "a text has class 9, and there are 4, counted from 0" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_other_classes_than_the_bases_get_a_new_head_and_that_is_said(place, tmp_path, capsys):
    assert tune(place, tmp_path / "first", "full", place / "labels", "--task", "labels") == 0
    rows = [json.dumps({"text": f"text {number}", "label": "ab"[number % 2]}) for number in range(8)]
    (tmp_path / "two.jsonl").write_text("\n".join(rows))
    given = ["--base", tmp_path / "first", "--data", tmp_path / "two.jsonl", "--method", "full", "--task", "labels"]
    capsys.readouterr()
    assert gpt2lab("finetune", *given, "--out", tmp_path / "second", *SHORT) == 0
    assert "these are other classes, so it gets a new head" in capsys.readouterr().err


def test_documents_and_prompts_that_do_not_fit_are_counted_and_said(place, tmp_path, capsys):
    long = "a town by the sea " * 60
    rows = [
        {"question": long, "answer": "yes"},
        {"question": "and?", "answer": long},
        {"question": "so?", "answer": "no"},
    ]
    (tmp_path / "asked.jsonl").write_text("\n".join(map(json.dumps, rows)))
    given = [
        "--base",
        place / "base",
        "--data",
        tmp_path / "asked.jsonl",
        "--method",
        "full",
        *SHORT,
        "prepare.validation=0",
    ]
    columns = ["data.prompt=question", "data.completion=answer"]
    assert gpt2lab("finetune", *given, *columns, "--out", tmp_path / "run") == 0
    said = capsys.readouterr().err
    assert "longer than 48 tokens, and cut into rows blind to what came before: 2 of 3 documents" in said
    assert "prompts that fill a row, so that what follows is learned without them: 1 of 3 documents" in said


def test_a_decay_of_ones_own_does_not_thaw_what_partial_tuning_freezes(place, tmp_path):
    rule = 'train.groups=[{"match": "*", "weight_decay": 0}]'
    assert tune(place, tmp_path / "plain", "partial", place / "text") == 0
    assert tune(place, tmp_path / "own", "partial", place / "text", rule) == 0
    moving = [files.read_json(tmp_path / name / "run.json")["trainable_parameters"] for name in ("plain", "own")]
    assert moving[0] == moving[1]


def test_texts_and_their_tokens_a_second_are_recorded(place, tmp_path):
    assert tune(place, tmp_path / "run", "full", place / "labels", "--task", "labels") == 0
    record = files.read_json(tmp_path / "run" / "run.json")
    (line, *_) = lines.read(tmp_path / "run" / "metrics.jsonl")
    assert record["tokens_per_second"] > record["texts_per_second"] > 0
    assert line["texts"] == 8 < line["tokens"] <= 8 * 48


def test_a_time_to_train_for_is_said_as_such_and_then_as_steps(place, tmp_path, capsys):
    line = [
        "pretrain",
        "--data",
        place / "text",
        "--out",
        tmp_path / "run",
        *SHAPE,
        "train.minutes=0.5",
        "--dry-run",
        "--json",
    ]
    assert gpt2lab(*line) == 0
    said = capsys.readouterr()
    facts = last_json(said.out)
    assert "as many steps as there is time for in 0.5 minutes" in said.err
    assert facts["steps"] > 1
    assert f"training: {facts['steps']:,} steps" in said.err


def test_rows_of_many_lengths_are_not_compiled_one_by_one(place, tmp_path, capsys):
    """A compiler makes a step for each length, gives up after eight of them, and each takes it a minute."""
    assert tune(place, tmp_path / "run", "full", place / "labels", "--task", "labels", "train.compile=true") == 0
    assert "train.compile is left out: it is for blocks" in capsys.readouterr().err
    assert files.read_json(tmp_path / "run" / "run.json")["decided"]["compile"] is False


def test_a_dry_run_of_several_seeds_is_that_of_one(place, tmp_path, capsys):
    given = ["--base", place / "base", "--data", place / "labels", "--method", "full", "--task", "labels"]
    assert gpt2lab("finetune", *given, "--out", tmp_path / "runs", "--seeds", "4,5", *SHORT, "--dry-run", "--json") == 0
    assert last_json(capsys.readouterr().out)["parameters"] > 0
    assert not (tmp_path / "runs").exists()


def test_paths_in_a_file_of_settings_are_kept_whole(place, tmp_path, monkeypatch):
    """So that the run resumes, and its adapter opens, from anywhere."""
    monkeypatch.chdir(place)
    settings = {"base": "base", "data": {"source": "text"}, "method": "lora"}
    (tmp_path / "set.yaml").write_text(json.dumps(settings))
    assert gpt2lab("finetune", tmp_path / "set.yaml", "--out", tmp_path / "run", *SHORT) == 0
    stored = resumed(tmp_path / "run")
    assert (stored.base, stored.data.source) == (str(place / "base"), str(place / "text"))
    adapter = files.read_json(tmp_path / "run" / "model" / "adapter_config.json")
    assert adapter["base_model_name_or_path"] == str(place / "base" / "model")


def test_what_is_missing_is_named_as_it_is_typed(tmp_path, capsys):
    assert gpt2lab("finetune", "--base", "gpt2", "--out", tmp_path / "run") == 2
    assert "--data DATA and --method full, lora, qlora, prompt or partial must be given" in capsys.readouterr().err


def test_a_recipe_is_no_file_of_settings(tmp_path, capsys):
    (tmp_path / "study.yaml").write_text("question: which?\nvariants: {}\n")
    assert gpt2lab("finetune", tmp_path / "study.yaml", "--out", tmp_path / "run") == 2
    assert "gpt2lab run" in capsys.readouterr().err


def test_help_says_the_defaults_of_tunings(capsys):
    assert gpt2lab("finetune", "--help") == 0
    said = capsys.readouterr().out
    assert "train.learning_rate=5e-05" in said
    assert "train.validate_every=epoch" in said


def test_a_setting_of_another_method_is_said_to_have_no_effect(place, tmp_path, capsys):
    assert tune(place, tmp_path / "run", "full", place / "text", "lora.rank=4") == 0
    assert "lora.rank has no effect with --method full" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["lora", "prompt", "partial"])
def test_the_best_step_is_what_is_written_of_adapters_too(place, tmp_path, name):
    """At a rate that only does harm the first look is the best, and patience ends the training."""
    more = ["train.validate_every=2", "train.steps=40", "train.patience=2", "train.learning_rate=0.5", "train.warmup=0"]
    more += ["train.schedule=constant", "train.clip=none", "train.keep=99"]
    assert tune(place, tmp_path / "run", name, place / "labels", "--task", "labels", *more) == 0
    run = files.read_json(tmp_path / "run" / "run.json")
    assert run["best_step"] < run["steps"] < 40
    best = checkpoint.opened(checkpoint.folder_of(tmp_path / "run" / "checkpoints", run["best_step"])).weights()
    written = dict(read_model(tmp_path / "run").named_parameters())
    assert torch.equal(best["score.weight"], written["score.weight"])


def test_seeds_go_on_where_some_have_not_begun(place, tmp_path):
    """Each of them in a process of its own."""
    given = ["--base", place / "base", "--data", place / "labels", "--task", "labels", "--method", "full", *SHORT]
    first = ["gpt2lab", "finetune", *given, "--out", tmp_path / "runs", "--seeds"]
    assert fresh(*first[1:], "1").returncode == 0
    done = fresh(*first[1:], "1,2", "--resume")
    assert done.returncode == 0, done.stderr
    assert {path.name for path in (tmp_path / "runs").iterdir()} >= {"seed-1", "seed-2"}


def test_seeds_with_other_settings_than_those_that_are_there_are_refused(place, tmp_path, capsys):
    """Or a mean would be of different trainings."""
    given = ["--base", place / "base", "--data", place / "text", "--method", "lora", *SHORT, "train.steps=1"]
    out = tmp_path / "runs"
    for seed in (1, 2):
        assert gpt2lab("finetune", *given, "lora.rank=2", f"train.seed={seed}", "--out", out / f"seed-{seed}") == 0
    run = files.read_json(out / "seed-2" / "run.json")
    files.write_json(out / "seed-2" / "run.json", {**run, "state": "unfinished"})
    for more in (["1,2"], ["2"], ["1,2,3", "--resume"]):
        capsys.readouterr()
        assert gpt2lab("finetune", *given, "--out", out, "--seeds", *more) == 2
        assert "lora.rank: 2 there, 8 asked for" in capsys.readouterr().err
    done = fresh("finetune", "--out", out, "--seeds", "1,2", "--resume")  # as they were begun
    assert done.returncode == 0, done.stderr
    assert [resumed(out / f"seed-{seed}").lora.rank for seed in (1, 2)] == [2, 2]
    assert not (out / "seed-3").exists()


@pytest.mark.parametrize("how", ["--resume", "--extend"])
def test_a_file_of_settings_counts_where_a_run_goes_on_too(place, tmp_path, capsys, how):
    """Its later end prolongs, and what would change the run is named."""
    path, out = tmp_path / "set.yaml", tmp_path / "run"
    train = {"epochs": None, "steps": 1, "batch_rows": 8, "precision": "fp32"}
    begun = {"base": str(place / "base"), "data": {"source": str(place / "text")}, "method": "lora", "train": train}
    path.write_text(json.dumps(begun))
    assert gpt2lab("finetune", path, "--out", out) == 0
    path.write_text(json.dumps({**begun, "method": "full"}))
    assert gpt2lab("finetune", path, how, "--out", out) == 2
    assert "method: lora there, full asked for" in capsys.readouterr().err
    path.write_text(json.dumps({**begun, "train": {**train, "steps": 3}}))
    assert gpt2lab("finetune", path, how, "--out", out) == (0 if how == "--extend" else 2)
    assert files.read_json(out / "run.json")["steps"] == (3 if how == "--extend" else 1)


def test_a_tuning_does_not_enter_the_run_of_a_pretraining(place, capsys):
    assert tune(place, place / "base", "full", place / "text") == 2
    assert "a pretrain run is here" in capsys.readouterr().err


def test_the_same_classes_in_another_order_keep_their_head(place, tmp_path, capsys):
    for name, order in (("first", ("odd", "even")), ("second", ("even", "odd"))):
        rows = [{"text": f"text number {n}", "label": order[n % 2]} for n in range(100)]
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert tune(place, tmp_path / "run", "full", tmp_path / "first.jsonl", "--task", "labels") == 0
    model = read_model(tmp_path / "run")
    head = dict(zip(model.config.labels, model.score.weight.detach().clone()))
    turned = with_head(model, tuple(reversed(model.config.labels)))
    assert turned.config.labels == turned.transformer.config.labels == tuple(reversed([*head]))
    for name, weights in zip(turned.config.labels, turned.score.weight):
        assert torch.equal(weights, head[name])


def test_texts_that_are_cut_are_counted_and_said(place, tmp_path, capsys):
    rows = [{"text": f"{n} " * (200 if n % 5 == 0 else 3), "label": n % 2} for n in range(100)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    more = ["--task", "labels", "prepare.validation=0.2"]
    assert tune(place, tmp_path / "run", "full", tmp_path / "rows.jsonl", *more) == 0
    found = re.findall(r"cut there: (\d+) texts? of (\d+) (to train on|of validation)", capsys.readouterr().err)
    assert [(int(count), which) for _, count, which in found] == [(80, "to train on"), (20, "of validation")]
    assert sum(int(cut) for cut, *_ in found) == 20


@pytest.mark.parametrize("task", ["text", "labels"])
def test_what_partial_tuning_freezes_is_not_passed_on_the_way_back(place, tmp_path, monkeypatch, task):
    """No gradient is asked of what leaves a frozen block."""
    asked = {}

    def noted(block, _, out):
        if block.training:
            asked[block.attn.layer] = out.requires_grad

    monkeypatch.setattr(Block, "__init__", lambda self, *given, _begin=Block.__init__: (
        _begin(self, *given), self.register_forward_hook(noted), None)[-1])  # fmt: skip
    assert tune(place, tmp_path / "run", "partial", place / task, "--task", task) == 0
    assert asked == {0: False, 1: True}
    before, after = read_model(place / "base"), dict(read_model(tmp_path / "run").named_parameters())
    for name, weights in before.named_parameters():
        if name in after:
            assert torch.equal(weights, after[name]) == name.startswith(("transformer.w", "transformer.h.0.")), name
