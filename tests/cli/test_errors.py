"""A user's mistake is one clear message, exit 2 and no traceback; anything else keeps its traceback, exit 1."""

import json

import pytest

from command_line import fresh, gpt2lab, last_json

MISTAKES = [
    (["bogus"], "No such command"),
    (["pretrain", "--bogus"], "No such option"),
    (["pretrain", "train.steps=5"], "add --out FOLDER"),
    (["pretrain", "--out", "{tmp}/run", "train.stesp=5", "train.learning_rate=-1"], "did you mean train.steps"),
    (["pretrain", "--data", "{tmp}/nothing", "--out", "{tmp}/run", "train.steps=5"], "no corpus here"),
    (["pretrain", "--resume", "--out", "{tmp}/run"], "no run here to resume"),
    (["prepare", "{tmp}/nothing.txt", "--out", "{tmp}/c", "--tokenizer", "builtin"], "there is no data named"),
    (["prepare", "a", "b", "--out", "{tmp}/c"], "2 sources need as many weights"),
    (["generate", "{tmp}/nothing", "--prompt", "x"], "there is no such model folder"),
    (["evaluate", "{tmp}/nothing", "--data", "x"], "there is no such model folder"),
    (["evaluate", "{tmp}", "--protocol", "perplexity/mean", "--data", "x"], "there is no protocol"),
    (["generate", "gpt2", "--prompt", "x", "--device", "cpu"], "offline"),
    (["run", "{tmp}/nothing.yaml", "--out", "{tmp}/s"], "there is no recipe"),
    (["corpus", "show", "{tmp}"], "no corpus here"),
    (["doctor", "--device", "abacus"], "no device named"),
]


@pytest.mark.parametrize(("line", "message"), MISTAKES, ids=[" ".join(line) for line, _ in MISTAKES])
def test_a_mistake_is_one_clear_message(line, message, tmp_path, capsys):
    arguments = [part.format(tmp=tmp_path) for part in line]
    assert gpt2lab(*arguments) == 2
    printed = capsys.readouterr()
    assert message in printed.err
    assert "Traceback" not in printed.err
    assert printed.out == ""


def test_with_json_the_error_is_json(tmp_path, capsys):
    assert gpt2lab("pretrain", "--data", tmp_path, "--out", tmp_path / "run", "train.steps=5", "--json") == 2
    error = last_json(capsys.readouterr().out)
    assert error["exit"] == 2
    assert error["error"]["cause"].startswith("no corpus here")
    assert error["error"]["place"] == str(tmp_path)
    assert "gpt2lab prepare" in error["error"]["way_out"]


def test_what_is_our_mistake_keeps_its_traceback(tmp_path, capsys, monkeypatch):
    from gpt2lab.text import corpus

    def broken(folder):
        raise ZeroDivisionError("ours")

    monkeypatch.setattr(corpus, "open_corpus", broken)
    assert gpt2lab("corpus", "show", tmp_path, "--json") == 1
    printed = capsys.readouterr()
    assert "Traceback" in printed.err
    assert "ZeroDivisionError: ours" in json.loads(printed.out)["error"]["cause"]


def test_a_reader_that_goes_away_is_no_traceback():
    import subprocess
    import sys

    found = subprocess.run(
        f"{sys.executable} -m gpt2lab recipe schema | head -1", shell=True, capture_output=True, text=True, check=True
    )
    assert "Traceback" not in found.stderr


def test_exit_codes_reach_the_shell():
    assert fresh("bogus").returncode == 2
    assert fresh("--version").returncode == 0


def test_what_was_mistyped_is_guessed(tmp_path, capsys):
    (tmp_path / "reviews.csv").write_text("text\nx\n")
    (tmp_path / "runs" / "base").mkdir(parents=True)
    for line, meant in (
        (["prepare", tmp_path / "reviews.cvs", "--out", tmp_path / "c", "--tokenizer", "builtin"], "reviews.csv"),
        (["generate", tmp_path / "runs" / "bass", "--prompt", "x"], "runs/base"),
    ):
        assert gpt2lab(*line) == 2
        assert f"did you mean {tmp_path / meant}?" in capsys.readouterr().err


def test_a_run_without_a_model_names_its_own_verb(tmp_path, capsys):
    (tmp_path / "run.json").write_text('{"kind": "finetune", "state": "unfinished"}')
    assert gpt2lab("generate", tmp_path, "--prompt", "x") == 2
    assert f"gpt2lab finetune --resume --out {tmp_path}" in capsys.readouterr().err
