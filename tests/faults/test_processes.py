"""Several processes train one model: the same losses, the same end on a rerun, and no death of one that hurts."""

import json
import os
import signal
import subprocess
import sys
import time

import psutil
import pytest
import torch
from safetensors.torch import load_file

from corpora import corpus
from gpt2lab.core import files, lines
from gpt2lab.core.errors import UserError
from gpt2lab.train import processes
from models import TINY

SHAPE = ["model.layers=2", f"model.heads={TINY.heads}", f"model.width={TINY.width}", "model.context=16"]
TRAIN = [
    "train.steps=6",
    "model.dropout=0",
    "train.batch_rows=9",
    "train.micro_batch=2",
    "train.precision=fp32",
    "train.validate_every=3",
]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return corpus(tmp_path_factory.mktemp("data") / "corpus").folder


def command(data, out, count, *more):
    return [sys.executable, "-m", "gpt2lab", "pretrain", "--data", str(data), "--out", str(out), *SHAPE, *TRAIN, *more,
            *(["--processes", str(count)] if count > 1 else [])]  # fmt: skip


def run(*arguments):
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=120, check=False)
    return done.returncode, done.stdout + done.stderr


def metrics(out):
    return list(lines.read(out / "metrics.jsonl"))


@pytest.fixture(scope="module")
def two(data, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "two"
    code, said = run(*command(data, out, 2))
    assert code == 0, said
    return out


def test_two_processes_have_the_losses_of_one(data, two, tmp_path):
    code, said = run(*command(data, tmp_path / "one", 1))
    assert code == 0, said
    for ours, theirs in zip(metrics(two), metrics(tmp_path / "one"), strict=True):
        assert ours["loss"] == pytest.approx(theirs["loss"], rel=1e-5)
        assert ours["tokens"] == theirs["tokens"]
        assert ours.get("validation_tokens") == theirs.get("validation_tokens")
    validated = [record["validation_loss"] for record in metrics(two) if "validation_loss" in record]
    assert validated == pytest.approx(
        [r["validation_loss"] for r in metrics(tmp_path / "one") if "validation_loss" in r], rel=1e-5
    )


def test_a_rerun_is_bit_equal_also_after_an_interruption(data, two, tmp_path):
    """Ctrl-C goes to the launcher alone, all processes stop after the same step, and the code is 130."""
    out = tmp_path / "again"
    started = subprocess.Popen(
        command(data, out, 2), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True
    )
    _wait_for(lambda: len(metrics(out)) >= 1, started)
    started.send_signal(signal.SIGINT)
    _, said = started.communicate(timeout=60)
    stopped = len(metrics(out))
    if stopped < 6:  # the last steps may have been quicker than the signal
        assert started.returncode == 130, said
        assert b"--resume" in said
        code, text = run(sys.executable, "-m", "gpt2lab", "pretrain", "--resume", "--out", str(out), "--processes", "2")
        assert code == 0, text
    assert metrics(out) == metrics(two)
    one, other = (load_file(folder / "model" / "model.safetensors") for folder in (out, two))
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_a_process_that_dies_ends_the_run_at_once_and_it_goes_on_with_another_number(data, two, tmp_path):
    out = tmp_path / "died"
    slow = ["train.steps=200", "train.checkpoint_every=2"]
    started = subprocess.Popen(
        command(data, out, 2, *slow), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True
    )
    _wait_for(lambda: any((out / "checkpoints").glob("step-*")), started)
    member = next(p for p in psutil.Process(started.pid).children() if p.environ().get("RANK") == "1")
    member.kill()
    begin = time.monotonic()
    _, said = started.communicate(timeout=60)
    assert time.monotonic() - begin < 30
    assert started.returncode == 1, said
    assert b"process 1 of 2 was killed by signal 9" in said
    assert not psutil.pid_exists(member.pid)
    resume = [sys.executable, "-m", "gpt2lab", "pretrain", "--resume", "--out", str(out)]
    code, text = run(*resume)
    assert code == 2
    assert "processes: 2 there, 1 here" in text
    code, text = run(*resume, "--allow-different")
    assert code == 0, text
    assert [record["step"] for record in metrics(out)] == list(range(1, 201))


def test_dropout_draws_are_each_processs_own_and_the_same_on_a_rerun(data, tmp_path):
    dropout = ["model.dropout=0.5", "train.steps=3", "train.batch_rows=2"]
    for name in ("first", "second"):
        code, said = run(*command(data, tmp_path / name, 2, *dropout))
        assert code == 0, said
    assert metrics(tmp_path / "first") == metrics(tmp_path / "second")


def test_one_member_that_is_told_to_stop_stops_all_after_the_same_step(data, tmp_path):
    """As a cluster does, which signals the processes of one machine."""
    out = tmp_path / "one-told"
    started = subprocess.Popen(
        command(data, out, 2, "train.steps=500"), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    _wait_for(lambda: len(metrics(out)) >= 2, started)
    member = next(p for p in psutil.Process(started.pid).children() if p.environ().get("RANK") == "1")
    member.send_signal(signal.SIGTERM)
    _, said = started.communicate(timeout=60)
    assert started.returncode == 130, said
    assert 2 <= len(metrics(out)) < 500


def test_torchrun_starts_it_as_well(data, two, tmp_path):
    out = tmp_path / "torchrun"
    line = command(data, out, 1)[3:]
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "gpt2lab"]
    code, said = run(*torchrun, *line)
    assert code == 0, said
    assert metrics(out) == metrics(two)


def test_a_process_without_rows_takes_part(data, tmp_path):
    code, said = run(*command(data, tmp_path / "few", 2, "train.batch_rows=1", "train.steps=2"))
    assert code == 0, said
    assert [record["tokens"] for record in metrics(tmp_path / "few")] == [16, 16]


def test_a_mistake_is_said_once_and_ends_with_2(data, tmp_path):
    code, said = run(*command(data, tmp_path / "wrong", 2, "train.batch_tokens=50"))
    assert code == 2
    assert said.count("say the same thing") == 1


@pytest.mark.parametrize(("size", "rank"), processes.LAUNCHERS.items())
def test_a_launch_that_would_train_copies_is_refused(size, rank):
    with pytest.raises(UserError, match="4 copies were started"):
        processes.refuse_copies({size: "4", rank: "2"})
    processes.refuse_copies({size: "1", rank: "0"})


def test_json_ends_with_the_result_of_all(data, two):
    done = subprocess.run(command(data, two, 2, "--json"), capture_output=True, text=True, timeout=120, check=True)
    assert json.loads(done.stdout.splitlines()[-1])["state"] == "finished"


def _wait_for(condition, process, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        assert process.poll() is None or condition(), os.fsdecode(process.stderr.read())
        time.sleep(0.02)


def test_no_process_computes_more_rows_at_once_than_its_own(data, tmp_path):
    """A compiled step is filled up to its micro-batch, so that a larger one would be work for nothing."""
    more = ["train.micro_batch=auto", "train.batch_rows=8"]
    code, said = run(*command(data, tmp_path / "run", 2, *more))
    assert code == 0, said
    assert files.read_json(tmp_path / "run" / "run.json")["decided"]["micro_batch"] == 4


def test_mps_is_one_device(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(UserError, match="MPS is one device"):
        processes.join(torch.device("mps"))


@pytest.fixture(scope="module")
def tunable(data, tmp_path_factory):
    """A base, and labelled texts of many lengths."""
    folder = tmp_path_factory.mktemp("tunable")
    code, said = run(*command(data, folder / "base", 1, "train.steps=2"))
    assert code == 0, said
    rows = [{"text": "word " * (1 + n * 7 % 9), "label": n % 3} for n in range(90)]
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


@pytest.mark.parametrize(
    ("method", "task", "more"),
    [
        ("full", "labels", []),
        ("lora", "labels", ["lora.targets=all"]),
        ("lora", "text", ["lora.pissa=true", "lora.rank=2"]),
        ("prompt", "labels", ["prompt.tokens=3"]),
        ("partial", "text", []),
    ],
)
def test_a_tuning_by_two_processes_is_that_of_one(data, tunable, tmp_path, method, task, more):
    source = data if task == "text" else tunable / "rows.jsonl"
    given = ["finetune", "--base", tunable / "base", "--data", source, "--method", method, "--task", task, *more]
    limits = ["train.epochs=none", "train.validate_every=3", *(word for word in TRAIN if "validate" not in word)]
    for count in (1, 2):
        share = ["--processes", "2"] if count > 1 else []
        words = [*given, *limits, "--out", tmp_path / str(count), *share]
        code, said = run(sys.executable, "-m", "gpt2lab", *map(str, words))
        assert code == 0, said
    one, two = metrics(tmp_path / "1"), metrics(tmp_path / "2")
    for key in ("loss", "validation_loss"):
        of_one, of_two = ([record[key] for record in records if key in record] for records in (one, two))
        assert of_two == pytest.approx(of_one, rel=1e-5)
    (weights,) = ({p.name for p in (tmp_path / "1" / "model").glob("*.safetensors")},)
    for name in weights:
        mine, theirs = (load_file(tmp_path / place / "model" / name) for place in ("1", "2"))
        assert mine.keys() == theirs.keys()
        assert all(torch.allclose(mine[key], theirs[key], atol=1e-5) for key in mine)
