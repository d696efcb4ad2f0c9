"""Every method on every task: resumed exactly, from any data, with what it cost on record."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from command_line import fresh, gpt2lab, last_json
from gpt2lab.core import files, lines
from gpt2lab.model.reading import read_model
from gpt2lab.study.settings import TuneDataSettings, TuneSettings
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
@pytest.mark.parametrize("name", METHODS)
def test_an_interrupted_tuning_ends_as_one_that_was_not(place, tmp_path, name, task):
    """As if the power had gone between the checkpoint of step 3 and the end."""
    more = ["--task", task, "train.checkpoint_every=3", "model.dropout=0.1"]
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


def test_data_by_name_is_prepared_once_with_the_bases_tokenizer(place, tmp_path, capsys):
    for out in ("one", "two"):
        assert tune(place, tmp_path / out, "partial", "builtin:topics", "--task", "labels") == 0
    assert "already prepared" in capsys.readouterr().out
    (corpus,) = (tmp_path / "home" / "corpora").glob("*/corpus.json")
    base = open_corpus(place / "text").manifest["tokenizer"]["hash"]
    assert files.read_json(corpus)["tokenizer"]["hash"] == base


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
