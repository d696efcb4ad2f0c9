"""A run from the command line: decided once, resumed as what it is, prolonged on purpose, tracked without harm."""

import json
import shutil
import sys
import types

import pytest
import torch

from command_line import gpt2lab, last_json
from corpora import corpus
from gpt2lab.core import files, lines
from gpt2lab.model.reading import read_language_model
from gpt2lab.text.corpus import open_corpus
from gpt2lab.train import checkpoint

SHAPE = ["model.layers=1", "model.heads=1", "model.width=16", "model.context=16"]
TRAIN = ["train.steps=6", "train.batch_rows=8", "train.precision=fp32"]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return corpus(tmp_path_factory.mktemp("data") / "corpus").folder


def pretrain(data, out, *more):
    return gpt2lab("pretrain", "--data", data, "--out", out, *SHAPE, *TRAIN, *more)


def metrics(out):
    return list(lines.read(out / "metrics.jsonl"))


def unfinished(data, out, *more):
    """As if the power had gone after the last checkpoint."""
    assert pretrain(data, out, "train.checkpoint_every=3", *more) == 0
    run = files.read_json(out / "run.json")
    files.write_json(out / "run.json", {**run, "state": "unfinished"})
    shutil.rmtree(out / "model")
    shutil.rmtree(checkpoint.folder_of(out / "checkpoints", 6))
    return out


def test_a_dry_run_says_everything_and_writes_nothing(data, tmp_path, capsys):
    assert pretrain(data, tmp_path / "run", "--dry-run", "--json") == 0
    facts = last_json(capsys.readouterr().out)
    assert facts["steps"] == 6
    assert facts["tokens"] == 6 * 8 * 16
    assert facts["expected_seconds"] > 0
    assert facts["memory"] > 0
    assert sum(facts["trainable"].values()) == facts["parameters"]
    assert not (tmp_path / "run").exists()


def test_what_auto_decided_is_stored_as_numbers_and_kept(data, tmp_path):
    out = unfinished(data, tmp_path / "run")
    decided = files.read_json(out / "run.json")["decided"]
    assert (decided["micro_batch"], decided["steps"], decided["processes"]) == (8, 6, 1)
    files.write_json(out / "run.json", {**files.read_json(out / "run.json"), "decided": {**decided, "micro_batch": 2}})
    assert gpt2lab("pretrain", "--resume", "--out", out) == 0
    assert files.read_json(out / "run.json")["decided"]["micro_batch"] == 2


def test_a_time_limit_becomes_a_number_of_steps(data, tmp_path):
    out = tmp_path / "run"
    assert gpt2lab("pretrain", "--data", data, "--out", out, *SHAPE, "train.minutes=0.001", "train.batch_rows=8") == 0
    assert files.read_json(out / "run.json")["decided"]["steps"] == len(metrics(out)) >= 1


def test_resume_needs_nothing_but_the_folder_and_ends_as_if_never_stopped(data, tmp_path):
    assert pretrain(data, tmp_path / "straight") == 0
    out = unfinished(data, tmp_path / "run")
    assert gpt2lab("pretrain", "--resume", "--out", out) == 0
    assert metrics(out) == metrics(tmp_path / "straight")
    one, other = (read_language_model(folder) for folder in (out, tmp_path / "straight"))
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters()))


def test_resume_begins_at_the_start_where_there_is_no_checkpoint_yet(data, tmp_path):
    out = unfinished(data, tmp_path / "run")
    shutil.rmtree(out / "checkpoints")
    assert gpt2lab("pretrain", "--resume", "--out", out) == 0
    assert [record["step"] for record in metrics(out)] == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize(("what", "name"), [("corpus", "corpus"), ("tokenizer", "tokenizer")])
def test_a_changed_corpus_or_tokenizer_is_refused_and_named(data, tmp_path, capsys, what, name):
    out = unfinished(data, tmp_path / "run")
    files.write_json(out / "run.json", {**files.read_json(out / "run.json"), what: "another"})
    assert gpt2lab("pretrain", "--resume", "--out", out) == 2
    assert f"the {name} has changed since the run began" in capsys.readouterr().err


def test_a_finished_run_is_not_finished_with_other_data(data, tmp_path, capsys):
    out = tmp_path / "run"
    assert pretrain(data, out) == 0
    shutil.copytree(data, tmp_path / "moved")
    assert pretrain(tmp_path / "moved", out) == 0
    other = corpus(tmp_path / "other", ["another text"] * 20).folder
    capsys.readouterr()
    assert pretrain(other, out) == 2
    assert "the corpus has changed since the run began" in capsys.readouterr().err
    assert pretrain(tmp_path / "nowhere", out) == 2
    assert "no corpus here" in capsys.readouterr().err
    shutil.rmtree(tmp_path / "moved")
    assert gpt2lab("pretrain", "--resume", "--out", out) == 0


@pytest.mark.parametrize("record", ["{}", "[]"])
def test_a_record_that_says_nothing_is_named(data, tmp_path, capsys, record):
    out = tmp_path / "run"
    out.mkdir()
    (out / "run.json").write_text(record)
    assert pretrain(data, out) == 2
    assert "the run is damaged" in (said := capsys.readouterr().err)
    assert str(out / "run.json") in said


def test_a_changed_model_is_refused_and_named(data, tmp_path, capsys):
    out = unfinished(data, tmp_path / "run")
    assert gpt2lab("pretrain", "--resume", "--out", out, "model.width=32") == 2
    assert "model.width: 16 there, 32 asked for" in capsys.readouterr().err


def test_other_circumstances_need_to_be_allowed(data, tmp_path, capsys):
    out = unfinished(data, tmp_path / "run")
    run = files.read_json(out / "run.json")
    files.write_json(out / "run.json", {**run, "decided": {**run["decided"], "threads": 77, "torch": "1.0"}})
    assert gpt2lab("pretrain", "--resume", "--out", out) == 2
    said = capsys.readouterr().err
    assert "threads: 77 there" in said
    assert "torch: 1.0 there" in said
    assert gpt2lab("pretrain", "--resume", "--out", out, "--allow-different", "train.micro_batch=2") == 0
    assert len(metrics(out)) == 6


def test_a_finished_run_is_prolonged_on_purpose_alone(data, tmp_path, capsys):
    out = tmp_path / "run"
    assert pretrain(data, out, "train.schedule=constant") == 0
    assert gpt2lab("pretrain", "--extend", "--out", out, "train.steps=9") == 0
    assert [record["step"] for record in metrics(out)] == list(range(1, 10))
    assert files.read_json(out / "run.json")["steps"] == 9
    assert (out / "model-before-1").is_dir()
    longer = tmp_path / "longer"
    assert pretrain(data, longer, "train.schedule=constant", "train.steps=9") == 0
    assert [record["loss"] for record in metrics(longer)] == [record["loss"] for record in metrics(out)]
    capsys.readouterr()
    assert pretrain(data, out, "train.steps=12", "train.schedule=constant") == 2
    assert "train.steps: 9 there, 12 asked for" in capsys.readouterr().err


@pytest.mark.parametrize("ending", ["train.steps=3", "train.steps=6"])
def test_an_end_that_is_not_later_is_refused_and_breaks_nothing(data, tmp_path, capsys, ending):
    out = tmp_path / "run"
    assert pretrain(data, out) == 0
    again = gpt2lab("pretrain", "--extend", "--out", out, ending)
    assert again == (2 if ending.endswith("3") else 0)  # the same end is no change
    assert files.read_json(out / "run.json")["state"] == "finished"
    assert pretrain(data, out) == 0


def test_epochs_are_prolonged_without_a_row_lost(data, tmp_path):
    out = tmp_path / "run"
    given = ["--data", data, "--out", out, *SHAPE, "train.batch_rows=8", "train.precision=fp32"]
    assert gpt2lab("pretrain", *given, "train.epochs=1") == 0
    assert gpt2lab("pretrain", "--extend", "--out", out, "train.epochs=2") == 0
    split = open_corpus(data).split("train")
    assert sum(record["tokens"] for record in metrics(out)) == 2 * (split.tokens - 1)


def test_a_run_that_lost_patience_can_be_prolonged(data, tmp_path):
    out = tmp_path / "run"
    given = ["train.patience=1", "train.validate_every=1", "train.learning_rate=1e-15"]  # which changes nothing
    assert pretrain(data, out, *given) == 0
    done = len(metrics(out))
    assert done < 6
    assert gpt2lab("pretrain", "--extend", "--out", out, "train.patience=50", "train.steps=8") == 0
    assert len(metrics(out)) == 8


def test_patience_without_anything_to_look_at_is_refused(data, tmp_path, capsys):
    assert pretrain(data, tmp_path / "run", "train.patience=2") == 2
    assert "needs something to look at" in capsys.readouterr().err


def test_what_was_measured_is_cut_back_on_resume_too(data, tmp_path):
    out = unfinished(data, tmp_path / "run")
    assert gpt2lab("pretrain", "--resume", "--out", out) == 0
    assert [record["step"] for record in lines.read(out / "timings.jsonl")] == [1, 2, 3, 4, 5, 6]


def test_the_mean_of_the_last_weights_is_said_to_be_that(data, tmp_path, capsys):
    assert pretrain(data, tmp_path / "run", "train.average=0.5", "train.validate_every=2") == 0
    said = capsys.readouterr().out
    assert "the mean of the last weights" in said
    assert "the best on validation" not in said


def test_a_tracker_that_cannot_begin_hurts_nothing(data, tmp_path, monkeypatch, capsys):
    wandb = types.ModuleType("wandb")
    wandb.init = lambda **given: (_ for _ in ()).throw(RuntimeError("no api key"))
    monkeypatch.setitem(sys.modules, "wandb", wandb)
    assert pretrain(data, tmp_path / "run", "track.sinks=wandb") == 0
    assert "wandb could not begin, and is left out: RuntimeError: no api key" in capsys.readouterr().err


def test_the_best_step_becomes_the_model_and_is_said(data, tmp_path, capsys):
    out = tmp_path / "run"
    given = ["train.validate_every=1", "train.learning_rate=1", "train.warmup=0", "train.steps=8", "train.clip=none"]
    assert pretrain(data, out, *given) == 0
    looks = [record["validation_loss"] for record in metrics(out)]
    best = looks.index(min(looks)) + 1
    assert files.read_json(out / "run.json")["best_step"] == best
    if best != 8:
        assert f"the model is the one of step {best}" in capsys.readouterr().out
    (result,) = (files.read_json(path) for path in (out / "results").glob("*.json"))
    assert result["sum_nll"] / result["counts"]["tokens_scored"] == pytest.approx(min(looks), rel=1e-5)


def test_the_model_writes_while_it_is_trained_and_writes_the_same_after_an_interruption(data, tmp_path, capsys):
    asked = ["sample.prompts=The,A", "sample.every=2", "sample.max_new_tokens=5"]
    assert pretrain(data, tmp_path / "straight", *asked) == 0
    assert "step 4: The" in capsys.readouterr().out
    out = unfinished(data, tmp_path / "run", *asked)
    assert gpt2lab("pretrain", "--resume", "--out", out) == 0
    found = [record["samples"] for record in metrics(out) if "samples" in record]
    assert found == [record["samples"] for record in metrics(tmp_path / "straight") if "samples" in record]
    assert [sample["prompt"] for sample in found[0]] == ["The", "A"]
    assert len(found) == 3


def test_the_table_before_training_names_groups_rates_and_frozen_parts(data, tmp_path, capsys):
    rules = 'train.groups=[{"match": "transformer.wte.*", "frozen": true}, {"match": "*.ln_f.*", "rate": 5}]'
    assert pretrain(data, tmp_path / "run", rules, "--dry-run") == 0
    said = capsys.readouterr().out
    for text in ("frozen", "matching *.ln_f.*", "0.003", "expected memory", "expected time", "bit for bit"):
        assert text in said, text


def test_what_cannot_fit_is_refused_before_anything_is_written(data, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("gpt2lab.core.hardware.device_memory", lambda device: 10**5)
    monkeypatch.setattr("gpt2lab.train.trial.try_out", lambda *given: pytest.fail("tried before it was refused"))
    assert pretrain(data, tmp_path / "run") == 2
    assert "of memory, and there are 100.0 kB" in capsys.readouterr().err
    assert not (tmp_path / "run" / "run.yaml").exists()


def trackers(monkeypatch, log):
    """Stand-ins with the calls that the real packages have."""
    wandb = types.ModuleType("wandb")
    run = types.SimpleNamespace(log=log, finish=lambda: None)
    wandb.init = lambda **given: run
    monkeypatch.setitem(sys.modules, "wandb", wandb)


def test_a_tracker_gets_the_curves(data, tmp_path, monkeypatch):
    seen = []
    trackers(monkeypatch, lambda numbers, step: seen.append((step, numbers["loss"])))
    assert pretrain(data, tmp_path / "run", "track.sinks=wandb") == 0
    assert [(record["step"], record["loss"]) for record in metrics(tmp_path / "run")] == seen


def test_a_tracker_that_fails_is_named_once_and_hurts_nothing(data, tmp_path, monkeypatch, capsys):
    def fail(numbers, step):
        raise ConnectionError("no network")

    trackers(monkeypatch, fail)
    assert pretrain(data, tmp_path / "run", "track.sinks=wandb") == 0
    assert capsys.readouterr().err.count("wandb failed, and gets no more records: ConnectionError: no network") == 1
    assert json.loads((tmp_path / "run" / "run.json").read_text())["state"] == "finished"


def test_a_tracker_that_is_not_installed_is_said_before_training(data, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "wandb", None)
    assert pretrain(data, tmp_path / "run", "track.sinks=wandb") == 2
    assert "pip install 'gpt2lab[track]'" in capsys.readouterr().err


def test_before_a_long_run_every_shard_is_checked_against_its_hash(tmp_path, capsys, monkeypatch):
    damaged = corpus(tmp_path / "corpus").folder
    shard = damaged / "train-00000.npy"
    content = bytearray(shard.read_bytes())
    content[-1] ^= 1
    shard.write_bytes(content)
    assert pretrain(damaged, tmp_path / "short") == 0
    monkeypatch.setattr("gpt2lab.study.training.WORTH_VERIFYING", 0)
    assert pretrain(damaged, tmp_path / "long") == 2
    assert "the shard has changed since it was written" in capsys.readouterr().err
    assert not (tmp_path / "long" / "run.json").exists()
