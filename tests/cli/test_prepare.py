"""`gpt2lab prepare` and `corpus`, as someone with text of their own meets them."""

import json
import os
import shlex
import signal
import subprocess
import sys
import time

import pytest

from command_line import gpt2lab, last_json

TINY = ("--tokenizer", "builtin", "prepare.vocabulary=300")


def test_without_a_train_split_the_next_command_measures(tmp_path, capsys):
    (tmp_path / "wiki.test.raw").write_text(" = A title = \n\n Some text .\n")
    assert gpt2lab("prepare", "wikitext-2", "--from", tmp_path, "--out", tmp_path / "c", *TINY) == 0
    printed = capsys.readouterr()
    assert "no train split" in printed.err
    assert f"next: gpt2lab evaluate MODEL --protocol perplexity/blocks --data {tmp_path / 'c'}" in printed.out


@pytest.mark.parametrize("sources", [1, 2])
def test_a_folder_that_holds_something_is_refused_before_any_work_and_an_empty_one_is_used(tmp_path, capsys, sources):
    (tmp_path / "a.txt").write_text("Some words of a text.\n\nAnd more of them.\n" * 20)
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "mine.txt").write_text("something")
    weights = ["prepare.weights=1,1"] if sources == 2 else []
    line = ["prepare", *[tmp_path / "a.txt"] * sources, "--out", tmp_path / "c", *TINY, *weights]
    assert gpt2lab(*line) == 2
    printed = capsys.readouterr()
    assert "the folder exists already" in printed.err
    assert printed.out == ""
    assert not list(tmp_path.glob(".c.*ing"))
    (tmp_path / "c" / "mine.txt").unlink()
    assert gpt2lab(*line) == 0
    assert gpt2lab(*line) == 0
    assert "already prepared" in capsys.readouterr().out


def test_classes_are_shown(tmp_path, capsys):
    rows = [{"text": f"Text {number}.", "kind": "odd" if number % 2 else "even"} for number in range(200)]
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, rows)))
    assert gpt2lab("prepare", tmp_path / "a.jsonl", "--out", tmp_path / "c", *TINY, "data.label=kind") == 0
    capsys.readouterr()
    assert gpt2lab("corpus", "show", tmp_path / "c") == 0
    assert "even" in capsys.readouterr().out
    assert gpt2lab("corpus", "show", tmp_path / "c", "--json") == 0
    counts = last_json(capsys.readouterr().out)["classes"]
    assert {name: sum(of_splits) for name, of_splits in counts.items()} == {"even": 100, "odd": 100}
    assert gpt2lab("corpus", "preview", tmp_path / "c", "--documents", 1) == 0
    assert ", class " in capsys.readouterr().out


def interrupted(line, staging, seen):
    """As a terminal does it: every process of the command gets the signal."""
    process = subprocess.Popen(
        [sys.executable, "-m", "gpt2lab", *line],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    deadline = time.monotonic() + 60
    while not list(staging.glob(seen)) and time.monotonic() < deadline:
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert f"the same command continues: what is done is kept in {staging}" in said
    assert f"next: {shlex.join(['gpt2lab', *line])}" in said
    assert "Traceback" not in said


@pytest.mark.parametrize(
    ("workers", "seen"), [(1, "parts/*.safetensors"), (2, "parts/*.safetensors"), (2, "plan.json")]
)
def test_ctrl_c_says_where_the_work_is_kept_and_the_same_command_continues(tmp_path, workers, seen):
    for number in range(30):
        (tmp_path / f"{number}.txt").write_text(f"{number}. Some words of a text.\n" * 30_000)
    out, staging = tmp_path / "c", tmp_path / ".c.preparing"
    line = [
        "prepare", str(tmp_path / "*.txt"), "--out", str(out), "--workers", str(workers), *TINY,
    ]  # fmt: skip
    interrupted(line, staging, seen)
    assert gpt2lab(*line) == 0
    assert not staging.exists()


def test_ctrl_c_in_a_mixture_says_where_its_work_is_kept(tmp_path):
    for number in range(2):
        (tmp_path / f"{number}.txt").write_text(f"{number}. Some words of a text.\n" * 300_000)
    sources = [str(tmp_path / "0.txt"), str(tmp_path / "1.txt")]
    line = ["prepare", *sources, "--out", str(tmp_path / "c"), *TINY, "prepare.weights=1,1"]
    interrupted(line, tmp_path / ".c.mixing", "sources/.0-0.txt.preparing/plan.json")


def test_next_commands_can_be_pasted_wherever_the_corpus_is(tmp_path, capsys):
    (tmp_path / "a.txt").write_text("Some words of a text.\n\nAnd more of them.\n" * 20)
    assert gpt2lab("prepare", tmp_path / "a.txt", "--out", tmp_path / "my corpus", *TINY) == 0
    assert f"next: gpt2lab pretrain --data '{tmp_path / 'my corpus'}' --out RUN" in capsys.readouterr().out
    assert gpt2lab("pretrain", "--data", tmp_path / "no corpus", "--out", tmp_path / "run") == 2
    assert f"way out: gpt2lab prepare DATA --out '{tmp_path / 'no corpus'}'" in capsys.readouterr().err


@pytest.mark.parametrize("sources", [1, 2])
def test_a_setting_without_its_dot_is_no_source(tmp_path, capsys, sources):
    (tmp_path / "a.txt").write_text("Some text.")
    given = [tmp_path / "a.txt"] * sources
    assert gpt2lab("prepare", *given, "--out", tmp_path / "c", *TINY, "validation=0.1") == 2
    assert "settings have a dot: write 'validation=0.1' as group.validation=0.1" in capsys.readouterr().err


def test_a_pattern_that_the_shell_has_taken_apart_is_said_to_need_quotes(tmp_path, capsys):
    assert gpt2lab("prepare", "1.txt", "2.txt", "--out", tmp_path / "c", *TINY) == 2
    assert "prepare.weights=1,1; a pattern stands for one source in quotes: '*.txt'" in capsys.readouterr().err
