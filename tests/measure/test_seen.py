"""A model that is measured on its own training text is told so; held-out text passes in silence."""

import json

import pytest

from command_line import gpt2lab, last_json
from corpora import corpus

SHAPE = ["model.layers=1", "model.heads=1", "model.width=16", "model.context=16"]
SHORT = ["train.epochs=none", "train.steps=2", "train.batch_rows=4", "train.precision=fp32"]


def rows(path, count, first=0):
    texts = [
        {"text": f"the {number} lamp is {'lit' if number % 2 else 'dark'}", "label": number % 2}
        for number in range(first, first + count)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in texts))
    return path


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("seen")
    corpus(folder / "corpus")
    base = ["--data", folder / "corpus", "--out", folder / "base", *SHAPE, "train.steps=2", "train.batch_rows=4"]
    assert gpt2lab("pretrain", *base, "train.precision=fp32") == 0
    given = [
        "--base",
        folder / "base",
        "--data",
        rows(folder / "own.jsonl", 60),
        "--method",
        "lora",
        "--task",
        "labels",
    ]
    assert gpt2lab("finetune", *given, "--out", folder / "run", *SHORT, "prepare.validation=0.2") == 0
    rows(folder / "others.jsonl", 20, first=1000)
    return folder


def said(capsys, model, *words):
    capsys.readouterr()
    assert gpt2lab("evaluate", model, *words, "--again", "--json") == 0
    captured = capsys.readouterr()
    return "was trained on" in captured.err, last_json(captured.out)


@pytest.mark.parametrize("model", ["run", "run/model"])
def test_the_file_that_a_classifier_learned_from_is_named_and_so_is_the_way_out(place, capsys, model):
    warned, record = said(capsys, place / model, "--protocol", "labels", "--data", place / "own.jsonl")
    assert warned
    assert record["data"]["trained_on"]


def test_a_copy_of_it_is_the_same(place, capsys):
    (place / "copy.jsonl").write_bytes((place / "own.jsonl").read_bytes())
    assert said(capsys, place / "run", "--protocol", "labels", "--data", place / "copy.jsonl")[0]


def test_what_it_never_saw_passes_in_silence(place, capsys):
    run = json.loads((place / "run" / "run.json").read_text())
    for words in (["--data", place / "others.jsonl"], ["--data", run["corpus_folder"]]):
        warned, record = said(capsys, place / "run", "--protocol", "labels", *words)
        assert not warned
        assert "trained_on" not in record["data"]


def test_who_asks_for_the_training_split_knows_and_the_record_says_it(place, capsys):
    for split, expected in (("train", True), ("validation", False)):
        words = ["--protocol", "perplexity/blocks", "--data", place / "corpus", f"data.split={split}"]
        warned, record = said(capsys, place / "base", *words)
        assert not warned
        assert record["data"].get("trained_on", False) == expected
