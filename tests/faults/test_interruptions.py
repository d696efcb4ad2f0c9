"""Ctrl-C and SIGTERM outside the loop: before the first step and after the last one, the way on is said."""

import contextlib
import os
import shlex
import signal
import subprocess
import sys
import time

import pytest

from command_line import gpt2lab
from corpora import corpus
from faults.studies import write_recipe
from gpt2lab.core import files
from gpt2lab.study import launch, trackers
from gpt2lab.study import training as carrying_out
from gpt2lab.train import checkpoint

SIGNALS = [signal.SIGINT, signal.SIGTERM]
TINY = ["model.layers=2", "model.heads=2", "model.width=32", "model.context=16", "train.steps=2"]
SLOW = ["model.layers=8", "model.heads=4", "model.width=256", "model.context=16", "train.batch_rows=256"]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return corpus(tmp_path_factory.mktemp("data") / "corpus").folder


def line(data, out, settings):
    return ["pretrain", "--data", str(data), "--out", str(out), *settings]


def interrupted_in_the_trial(words, number):
    """(exit code, what was said), of a process that is told to stop as soon as it has announced itself."""
    started = subprocess.Popen(
        [sys.executable, "-m", "gpt2lab", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    assert any("expected memory" in said for said in started.stdout)
    started.send_signal(number)
    said, _ = started.communicate(timeout=120)
    return started.returncode, said


@pytest.mark.parametrize("number", SIGNALS)
def test_in_the_trial_nothing_is_written_and_the_same_command_is_named(data, tmp_path, number):
    words = line(data, tmp_path / "run", [*SLOW, "train.micro_batch=256", "train.steps=50"])
    code, said = interrupted_in_the_trial(words, number)
    assert code == 130, said
    assert f"next: {shlex.join(['gpt2lab', *words])}" in said
    assert "Traceback" not in said
    assert not (tmp_path / "run" / "run.json").exists()


@pytest.mark.parametrize("number", SIGNALS)
@pytest.mark.parametrize("place", ["before the first step", "after the last one"])
def test_once_the_run_is_there_the_command_that_resumes_it_is_named(data, tmp_path, number, place, monkeypatch, capsys):
    out = tmp_path / "run"
    with monkeypatch.context() as patched:
        if place == "before the first step":
            patched.setattr(trackers, "opened", lambda *_: _told(number))
        else:
            patched.setattr(carrying_out, "_keep_former_model", lambda *_: os.kill(os.getpid(), number))
        assert gpt2lab(*line(data, out, TINY)) == 130
    assert f"next: gpt2lab pretrain --resume --out {out}" in capsys.readouterr().err
    assert gpt2lab("pretrain", "--resume", "--out", out) == 0
    assert files.read_json(out / "run.json")["state"] == "finished"


@contextlib.contextmanager
def _told(number):
    os.kill(os.getpid(), number)
    yield []


def test_several_processes_in_the_trial_say_it_once(data, tmp_path):
    words = line(data, tmp_path / "run", [*SLOW, "train.micro_batch=128", "train.steps=50", "--processes", "2"])
    code, said = interrupted_in_the_trial(words, signal.SIGINT)
    assert code == 130, said
    assert said.count("next: ") == 1


@pytest.mark.parametrize("number", SIGNALS)
def test_a_training_that_a_study_started_has_all_the_time_it_needs_to_save(tmp_path, monkeypatch, number):
    """Python's own way to run a process kills it a quarter of a second after Ctrl-C."""
    slow = tmp_path / "slow"
    slow.write_text(
        f"#!{sys.executable}\nimport os, pathlib, signal, time\nheard = []\n"
        f"signal.signal({int(number)}, lambda *_: heard.append(1))\n"
        f"os.kill(os.getppid(), {int(number)})\n"
        "while not heard:\n    time.sleep(0.01)\n"
        f"time.sleep(1.5)\npathlib.Path({str(tmp_path / 'saved')!r}).touch()\n"
    )
    slow.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(slow))
    assert launch.to_its_end([]).returncode == 130
    assert (tmp_path / "saved").exists()


def test_a_study_that_is_stopped_says_so_and_goes_on_where_it_was(tmp_path):
    recipe, study = write_recipe(tmp_path, steps=10**6), tmp_path / "study"
    words = [sys.executable, "-m", "gpt2lab", "run", str(recipe), "--out", str(study), "--only", "full"]
    started = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    metrics = study / "runs" / "full" / "metrics.jsonl"
    while not (metrics.is_file() and metrics.stat().st_size):
        assert started.poll() is None
        time.sleep(0.1)
    started.send_signal(signal.SIGINT)
    said, _ = started.communicate(timeout=120)
    assert started.returncode == 130, said
    assert f"next: gpt2lab run {recipe} --out {study} --only full" in said
    assert "Traceback" not in said
    saved = checkpoint.newest(study / "runs" / "full" / "checkpoints")
    assert saved is not None and saved.step > 0
