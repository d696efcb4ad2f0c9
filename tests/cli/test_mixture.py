"""Several sources in one corpus, mixed by weight, from the command line."""

import json
import shutil

import numpy as np
import pytest

from command_line import gpt2lab, last_json
from gpt2lab.core import lines
from gpt2lab.text.batches import PATTERN, Blocks, Mixture
from gpt2lab.text.corpus import open_corpus

SHAPE = ["model.layers=1", "model.heads=1", "model.width=16", "model.context=16", "train.precision=fp32"]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mixture")
    for name in ("red", "blue"):
        rows = [json.dumps({"text": f"The {name} text number {n} says {name} {n} times."}) for n in range(300)]
        (folder / f"{name}.jsonl").write_text("\n".join(rows))
    return folder


def prepare(place, *more):
    return gpt2lab(
        "prepare", place / "red.jsonl", place / "blue.jsonl", "--out", place / "mixed", "--tokenizer", "own",
        "prepare.vocabulary=400", *more,
    )  # fmt: skip


@pytest.fixture(scope="module")
def mixed(place):
    assert prepare(place, "prepare.weights=3,1") == 0
    return place / "mixed"


def test_each_source_stays_a_plain_corpus_with_the_tokenizer_of_all(mixed):
    corpus = open_corpus(mixed)
    assert corpus.weights == [3, 1]
    hashes = {source.manifest["tokenizer"]["hash"] for source in corpus.sources}
    assert hashes == {corpus.manifest["tokenizer"]["hash"], corpus.tokenizer().hash}
    texts = [corpus.tokenizer().decode(source.split("train").read(0, 200)) for source in corpus.sources]
    assert "red" in texts[0] and "blue" not in texts[0]
    assert "blue" in texts[1] and "red" not in texts[1]


def test_training_draws_by_weight_and_measures_each_source(mixed, place, capsys):
    run = place / "run"
    assert gpt2lab("pretrain", "--data", mixed, "--out", run, *SHAPE, "train.tokens=800", "train.batch_rows=10") == 0
    assert len(list(lines.read(run / "metrics.jsonl"))) == 5
    assert len(list((run / "results").glob("*.json"))) == 2
    sources = [Blocks(source.split("train"), 16) for source in open_corpus(mixed).sources]
    red, blue = 50 * 0.75 / sources[0].rows, 50 * 0.25 / sources[1].rows
    said = capsys.readouterr().out
    assert f"(its sources {red:.2f}, {blue:.2f} times)" in said
    assert "epochs" not in said
    mixture = Mixture(sources, [3, 1])
    drawn = [source for source, _ in mixture.at(np.arange(PATTERN), 1)]
    assert (drawn.count(0), drawn.count(1)) == (750, 250)


def test_epochs_of_a_mixture_are_refused(mixed, place, capsys):
    assert gpt2lab("pretrain", "--data", mixed, "--out", place / "no", *SHAPE, "train.epochs=1") == 2
    assert "a mixture has no epochs" in capsys.readouterr().err


def test_done_twice_it_says_so_and_with_other_weights_it_is_refused(mixed, place, capsys):
    assert prepare(place, "prepare.weights=3,1") == 0
    assert "already prepared" in capsys.readouterr().out
    assert prepare(place, "prepare.weights=1,1") == 2
    assert "another corpus is here: weights: [3.0, 1.0] there, [1.0, 1.0] asked for" in capsys.readouterr().err


def test_other_columns_and_a_changed_source_make_another_mixture(tmp_path, capsys):
    for name in ("a.csv", "b.csv"):
        (tmp_path / name).write_text("title,body\n" + "".join(f"Title {n},The body {n}\n" for n in range(200)))
    sources = [tmp_path / "a.csv", tmp_path / "b.csv", "--out", tmp_path / "mixed", "--tokenizer", "own"]
    settings = ["prepare.vocabulary=300", "prepare.weights=1,1"]
    assert gpt2lab("prepare", *sources, *settings, "data.text=title") == 0
    assert gpt2lab("prepare", *sources, *settings, "data.text=body") == 2
    assert "another corpus is here: columns.text: ['title'] there, ['body'] asked for\n" in capsys.readouterr().err
    (tmp_path / "b.csv").write_text("title,body\nAnother title,Another body\n")
    assert gpt2lab("prepare", *sources, *settings, "data.text=title") == 2
    assert "another corpus is here: 1 of 1 file changed: b.csv\n" in capsys.readouterr().err


def test_another_tokenizer_in_its_folder_makes_another_mixture(mixed, place, tmp_path, capsys):
    sources = [place / "red.jsonl", place / "blue.jsonl", "--out", tmp_path / "mixed", "prepare.weights=1,1"]
    shutil.copytree(mixed / "tokenizer", tmp_path / "tokenizer")
    assert gpt2lab("prepare", *sources, "--tokenizer", tmp_path / "tokenizer") == 0
    (tmp_path / "more.txt").write_text("Quite other words. " * 500)
    own = ["--tokenizer", "own", "prepare.vocabulary=300"]
    assert gpt2lab("prepare", tmp_path / "more.txt", "--out", tmp_path / "c", *own) == 0
    shutil.copytree(tmp_path / "c" / "tokenizer", tmp_path / "tokenizer", dirs_exist_ok=True)
    assert gpt2lab("prepare", *sources, "--tokenizer", tmp_path / "tokenizer") == 2
    assert "the tokenizer is another one than it was" in capsys.readouterr().err


def test_weights_must_be_as_many_as_sources(place, capsys):
    assert prepare(place, "prepare.weights=1,2,3") == 2
    assert "2 sources need as many weights, and there are 3" in capsys.readouterr().err


def test_show_and_verify_know_mixtures_and_a_split_is_asked_of_a_source(mixed, capsys):
    assert gpt2lab("corpus", "verify", mixed, "--json") == 0
    assert last_json(capsys.readouterr().out)["shards"] == 4
    assert gpt2lab("corpus", "show", mixed) == 0
    assert "75.0%" in capsys.readouterr().out
    assert gpt2lab("corpus", "preview", mixed) == 2
    assert "sources/0-red.jsonl" in capsys.readouterr().err


def test_prompts_are_read_as_prompts_in_a_mixture_too(place, capsys):
    for name, asked in (("long", "What is, if one may ask at all, "), ("short", "And ")):
        rows = [json.dumps({"prompt": f"{asked}{n}?", "completion": f" {n} is a number."}) for n in range(300)]
        (place / f"{name}.jsonl").write_text("\n".join(rows))
    columns = ["data.prompt=prompt", "data.completion=completion", "prepare.vocabulary=400", "prepare.weights=1,1"]
    sources = [place / "long.jsonl", place / "short.jsonl"]
    assert gpt2lab("prepare", *sources, "--out", place / "asked", "--tokenizer", "own", *columns) == 0
    short = ["train.batch_rows=10", "train.epochs=none", "train.steps=4", "train.validate_every=2"]
    given = ["--data", place / "asked", "--out", place / "base"]
    assert gpt2lab("pretrain", *given, *SHAPE, "model.context=64", *short) == 0
    given = ["--base", place / "base", "--data", place / "asked", "--method", "full", *short, "train.precision=fp32"]
    assert gpt2lab("finetune", *given, "--out", place / "tuned", "train.compile=true") == 0
    assert "train.compile is left out" in capsys.readouterr().err
    found = list(lines.read(place / "tuned" / "metrics.jsonl"))
    assert [line["step"] for line in found] == [1, 2, 3, 4]
    assert all(10 < line["tokens"] < 160 for line in found)  # ten completions, without their prompts
    assert gpt2lab("finetune", *given, "--out", place / "packed", "data.rows=packed") == 0
