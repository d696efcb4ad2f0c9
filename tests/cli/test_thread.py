"""One thread through the whole house, through the final command line."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
import yaml

from command_line import fresh, gpt2lab, last_json

SHAPE = ["model.layers=2", "model.heads=2", "model.width=32", "model.context=64"]
TRAIN = ["train.steps=6", "train.batch_tokens=512", "train.learning_rate=3e-3", "train.precision=fp32"]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("thread")


@pytest.fixture(scope="module")
def corpus(place):
    text = "".join(f"Chapter {n}. The model reads {n} words and writes {n + 1} more of them.\n\n" for n in range(800))
    (place / "book.txt").write_text(text)
    made = fresh(
        "prepare", place / "book.txt", "--out", place / "corpus", "--tokenizer", "builtin", "--json",
        "prepare.vocabulary=400", "prepare.validation=0", "prepare.test=0", GPT2LAB_HOME=str(place / "home"),
    )  # fmt: skip
    assert made.returncode == 0, made.stderr
    assert last_json(made.stdout)["splits"]["train"]["documents"] == 1
    return place / "corpus"


@pytest.fixture(scope="module")
def run(place, corpus):
    made = fresh("pretrain", "--data", corpus, "--out", place / "run", *SHAPE, *TRAIN, "--json")
    assert made.returncode == 0, made.stderr
    assert last_json(made.stdout)["state"] == "finished"
    return place / "run"


def test_a_run_is_a_plain_folder_that_says_everything(run):
    settings = yaml.safe_load((run / "run.yaml").read_text())
    assert settings["train"]["learning_rate"] == 0.003
    assert settings["model"]["layers"] == 2
    facts = json.loads((run / "run.json").read_text())
    assert facts["steps"] == 6
    assert facts["environment"]["versions"]["torch"]
    metrics = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in metrics] == [1, 2, 3, 4, 5, 6]
    assert {"loss", "rate", "gradient_norm", "tokens"} <= set(metrics[0])
    assert (run / "model" / "model.safetensors").is_file()
    assert (run / "model" / "tokenizer.json").is_file()
    assert not (run / ".lock").exists()


def test_before_training_it_says_what_will_be_trained(place, corpus, capsys):
    assert gpt2lab("pretrain", "--data", corpus, "--out", place / "dry", *SHAPE, *TRAIN, "--dry-run") == 0
    text = capsys.readouterr().out
    assert "matrices" in text
    assert "norms and biases" in text
    assert "6 steps of 8 rows of 64 tokens" in text
    assert not (place / "dry").exists()


def test_doing_it_twice_says_so_and_other_settings_name_the_difference(run, corpus, capsys):
    before = (run / "run.json").read_bytes()
    assert gpt2lab("pretrain", "--data", corpus, "--out", run, *SHAPE, *TRAIN) == 0
    assert "already finished" in capsys.readouterr().out
    assert gpt2lab("pretrain", "--data", corpus, "--out", run, *SHAPE, *TRAIN, "train.seed=2") == 2
    assert "train.seed: 1 there, 2 asked for" in capsys.readouterr().err
    assert (run / "run.json").read_bytes() == before


def test_evaluate_prints_a_record_and_keeps_it_with_the_run(run, place, capsys):
    assert gpt2lab("evaluate", run, "--data", place / "book.txt", "--json", "evaluate.stride=32") == 0
    record = last_json(capsys.readouterr().out)
    assert record["protocol"] == "perplexity/token-window@1"
    assert record["value"] > 1
    assert record["settings"]["stride"] == 32
    assert {"interval", "counts", "model", "data", "seconds"} <= set(record)
    stored = [json.loads(path.read_text()) for path in (run / "results").glob("*.json")]
    assert record in stored


def test_a_protocol_defined_on_text_reads_the_text_of_a_corpus(run, corpus, place, capsys):
    """Tokens of bytes lose nothing, so the corpus gives back the very text it was made from."""
    values = []
    for data in (corpus, place / "book.txt"):
        assert gpt2lab("evaluate", run, "--data", data, "--json") == 0
        values.append(last_json(capsys.readouterr().out)["value"])
    assert values[0] == pytest.approx(values[1], rel=1e-6)


def test_generate_prints_one_object_a_line_and_nothing_else(run, capsys):
    line = ("generate", run, "--prompt", "Chapter", "--samples", 3, "--max-new-tokens", 5, "--json", "--seed", 4)
    assert gpt2lab(*line) == 0
    printed = capsys.readouterr().out
    samples = [json.loads(text) for text in printed.splitlines()]
    assert [sample["sample"] for sample in samples] == [0, 1, 2]
    assert all({"prompt", "text", "seed", "finish"} <= set(sample) for sample in samples)
    gpt2lab(*line)
    assert capsys.readouterr().out == printed


def test_ctrl_c_finishes_the_step_saves_exits_130_and_resume_ends_as_if_nothing_had_happened(run, place, corpus):
    long = [*TRAIN, "train.steps=300", "train.checkpoint_every=1000"]
    stopped, straight = place / "stopped", place / "straight"
    process = subprocess.Popen(
        [sys.executable, "-m", "gpt2lab", "pretrain", "--data", corpus, "--out", stopped, *SHAPE, *long],
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    )
    metrics = stopped / "metrics.jsonl"
    deadline = time.monotonic() + 60
    while not (metrics.is_file() and metrics.read_text().count("\n") > 20) and time.monotonic() < deadline:
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert f"gpt2lab pretrain --resume --out {stopped}" in err
    assert 20 < metrics.read_text().count("\n") < 300
    assert gpt2lab("pretrain", "--data", corpus, "--out", stopped, *SHAPE, *long) == 2  # unfinished: it needs --resume
    assert fresh("pretrain", "--resume", "--out", stopped).returncode == 0
    assert fresh("pretrain", "--data", corpus, "--out", straight, *SHAPE, *long).returncode == 0
    assert metrics.read_bytes() == (straight / "metrics.jsonl").read_bytes()
    weights = [(folder / "model" / "model.safetensors").read_bytes() for folder in (stopped, straight)]
    assert weights[0] == weights[1]


def test_the_quickstart_ends_with_a_report(place, capsys):
    made = fresh(
        "run",
        "quickstart",
        "--out",
        place / "study",
        "--only",
        "base",
        "train.steps=4",
        "--json",
        GPT2LAB_HOME=str(place / "h"),
    )
    assert made.returncode == 0, made.stderr
    page = (place / "study" / "report.html").read_text()
    assert last_json(made.stdout)["report"] == str(place / "study" / "report.html")
    assert "perplexity/blocks@1" in page
    assert "http" not in page.replace("http-equiv", "")
    again = fresh("run", "quickstart", "--out", place / "study", "--only", "base", "train.steps=4")
    assert again.returncode == 0
    assert (place / "study" / "report.html").read_text() == page
    other = fresh("run", "quickstart", "--out", place / "study", "train.steps=5")
    assert other.returncode == 2
    shards = sorted((place / "study" / "corpus").glob("*.npy"))
    assert all(np.load(path).dtype == np.uint16 for path in shards)


def test_a_recipe_can_be_listed_shown_copied_and_run_by_its_file(place, capsys):
    assert gpt2lab("recipe", "list") == 0
    assert "quickstart" in capsys.readouterr().out
    assert gpt2lab("recipe", "copy", "quickstart", place / "mine.yaml") == 0
    capsys.readouterr()
    assert gpt2lab("recipe", "show", place / "mine.yaml") == 0
    assert capsys.readouterr().out == (place / "mine.yaml").read_text()
    assert gpt2lab("recipe", "copy", "quickstart", place / "mine.yaml") == 2


def test_doctor_shows_the_machine_and_what_extras_would_add(capsys):
    assert gpt2lab("doctor", "--json") == 0
    facts = last_json(capsys.readouterr().out)
    assert "GFLOP/s measured" in facts["speed"]["matrix product, fp32"]
    assert set(facts["extras"]) == {"fast", "qlora", "track", "harness", "synthesize"}
    assert facts["offline"]["mode"].startswith("GPT2LAB_OFFLINE or HF_HUB_OFFLINE is set")


def test_a_checkpoint_of_another_trainer_is_measured_and_continued(place, corpus, run, capsys):
    """nanoGPT's and llm.c's files bring no tokenizer, so one is named."""
    from gpt2lab.model.reading import read_model

    model = read_model(run, vocabulary_multiple=1)
    state = {name: parameter.detach() for name, parameter in model.named_parameters()}
    shape = {"n_layer": 2, "n_head": 2, "n_embd": 32, "block_size": 64, "vocab_size": model.config.vocabulary}
    torch.save({"model": state, "model_args": {**shape, "activation": "gelu_new"}}, place / "ckpt.pt")
    tokenizer = ("--tokenizer", corpus / "tokenizer", "--json")
    assert gpt2lab("generate", place / "ckpt.pt", "--prompt", "Chapter", "--max-new-tokens", 5, *tokenizer) == 0
    theirs = last_json(capsys.readouterr().out)
    assert gpt2lab("generate", run, "--prompt", "Chapter", "--max-new-tokens", 5, "--json") == 0
    assert last_json(capsys.readouterr().out)["text"] == theirs["text"]
    assert gpt2lab("evaluate", place / "ckpt.pt", "--data", place / "book.txt", *tokenizer) == 0
    assert last_json(capsys.readouterr().out)["value"] > 1
