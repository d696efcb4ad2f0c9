"""`gpt2lab generate` through the final command line: where prompts come from, what is printed, what is refused."""

import io
import json
import os
import pty
import subprocess
import sys
import time
from dataclasses import replace

import pytest

from command_line import gpt2lab
from gpt2lab.generate import interactive
from gpt2lab.generate.generate import generate
from gpt2lab.generate.packed import weights_of
from gpt2lab.generate.settings import SamplingSettings
from gpt2lab.model.writing import write_model
from models import TINY, classifier, language_model
from vocabularies import small

END = small().end_of_text
SHAPE = replace(TINY, vocabulary=small().size, context=64, start_of_text=END, end_of_text=END)
MODEL = language_model(SHAPE)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("generate") / "model"
    write_model(folder, MODEL, small())
    return folder


def objects(capsys):
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_an_object_holds_every_setting_so_that_the_text_can_be_written_again(model, capsys):
    line = ("--samples", 2, "--max-new-tokens", 9, "--temperature", 0.8, "--top-k", 50, "--top-p", 0.95, "--seed", 4)
    assert gpt2lab("generate", model, "--prompt", "The", "--prompt", "It", *line, "--json") == 0
    found = objects(capsys)
    assert [(one["prompt"], one["sample"]) for one in found] == [("The", 0), ("The", 1), ("It", 0), ("It", 1)]
    for one in found:
        assert one["model"] == str(model)
        again = generate(MODEL, small(), one["prompt"], 2, SamplingSettings(**one["settings"]))[one["sample"]]
        assert (again.text, again.finish, again.tokens) == (one["text"], one["finish"], one["tokens"])
        assert "token_details" not in one


def test_flags_and_settings_are_the_same(model, capsys):
    flags = (
        "--min-p",
        0.1,
        "--repetition-penalty",
        1.2,
        "--no-repeat-ngram",
        3,
        "--stop",
        "x y",
        "--min-new-tokens",
        2,
    )
    keys = ("min_p=0.1", "repetition_penalty=1.2", "no_repeat_ngram=3", "stop=x y", "min_new_tokens=2")
    for given in (flags, [f"generate.{key}" for key in keys]):
        assert gpt2lab("generate", model, "--prompt", "It", "generate.max_new_tokens=12", *given, "--json") == 0
    one, other = objects(capsys)
    assert one == other
    assert one["settings"]["stop"] == ["x y"]


def test_prompts_come_from_files_and_pipes(model, tmp_path, capsys, monkeypatch):
    (tmp_path / "a.txt").write_text("The\n  It is\r\nNaïve\n", "utf-8")
    (tmp_path / "a.jsonl").write_text('{"prompt": "The", "n": 1}\n{"text": "two\\nlines"}\n')
    line = ("generate", model, "--max-new-tokens", 3, "--json", "--file")
    assert gpt2lab(*line, tmp_path / "a.txt") == 0
    assert [one["prompt"] for one in objects(capsys)] == ["The", "  It is", "Naïve"]
    assert gpt2lab(*line, tmp_path / "a.jsonl") == 0
    assert [one["prompt"] for one in objects(capsys)] == ["The", "two\nlines"]
    monkeypatch.setattr(sys, "stdin", io.StringIO("The\nIt\n"))
    assert gpt2lab(*line[:-1]) == 0
    assert [one["prompt"] for one in objects(capsys)] == ["The", "It"]
    assert gpt2lab("generate", model, "--unprompted", "--max-new-tokens", 3, "--json") == 0
    assert objects(capsys)[0]["prompt"] == ""


def test_a_byte_order_mark_and_blank_lines_between_objects_are_no_prompts(model, tmp_path, capsys):
    (tmp_path / "a.txt").write_text("The\nIt\n", "utf-8-sig")
    (tmp_path / "a.jsonl").write_text('{"prompt": "The"}\n\n{"prompt": "It"}\n  \n', "utf-8-sig")
    for file in ("a.txt", "a.jsonl"):
        assert gpt2lab("generate", model, "--max-new-tokens", 3, "--json", "--file", tmp_path / file) == 0
        assert [one["prompt"] for one in objects(capsys)] == ["The", "It"]


def test_details_are_in_the_object_and_in_a_table(model, capsys):
    line = ("generate", model, "--prompt", "It", "--max-new-tokens", 3, "--ignore-eos", "--token-details")
    assert gpt2lab(*line, "--json") == 0
    (one,) = objects(capsys)
    assert len(one["token_details"]) == 3
    assert {"token", "id", "probability", "surprise", "alternatives", "chance"} == set(one["token_details"][0])
    assert gpt2lab(*line) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("It" + one["text"])
    assert f"{one['token_details'][0]['probability']:.2%}" in printed


def test_several_models_write_side_by_side_with_the_same_draws(model, tmp_path, capsys):
    other = language_model(SHAPE)
    other.transformer.wpe.weight.data.mul_(0.5)
    write_model(tmp_path / "other", other, small())
    line = ("generate", model, tmp_path / "other", model, "--prompt", "It", "--samples", 2, "--max-new-tokens", 5)
    assert gpt2lab(*line, "--json") == 0
    found = objects(capsys)
    assert [(one["model"], one["sample"]) for one in found] == [
        (str(which), sample) for sample in (0, 1) for which in (model, tmp_path / "other", model)
    ]
    assert found[0]["text"] == found[2]["text"] != found[1]["text"]
    assert gpt2lab(*line) == 0
    assert "continuation" in capsys.readouterr().out


MISTAKES = [
    (["--prompt", ""], "the prompt is empty"),
    (["--file", "{tmp}/blank.txt"], "blank.txt, line 2"),
    (["--file", "{tmp}/empty.txt"], "there are no prompts here"),
    (["--file", "{tmp}/blank.jsonl"], "there are no prompts here"),
    (["--file", "{tmp}/bad.jsonl"], "bad.jsonl, line 3"),
    (["--file", "{tmp}/bad.jsonl"], "every line needs `prompt` or `text`"),
    (["--file", "{tmp}/a.csv"], "prompts come from a .txt or .jsonl file"),
    (["--file", "{tmp}/absent.txt"], "No such file"),
    (["--prompt", "x", "--stop-token", "9999"], "there is no token 9999"),
    (["--prompt", "x", "--stop-token", "two words"], "is no single token"),
    (["--prompt", "x", "--top-p", "0"], "generate.top_p: input should be greater than 0"),
    (["--prompt", "x", "--temperature", "-1"], "generate.temperature"),
    (["--prompt", "x", "--min-new-tokens", "5", "--max-new-tokens", "4"], "generate: min_new_tokens is 5, max_new"),
    (["--prompt", "x", "--stop", ""], "generate.stop"),
    (["--prompt", "x", "generate.topk=5"], "did you mean generate.top_k?"),
    (["--prompt", "x", "--unprompted"], "there is a prompt"),
    (["--interactive", "--prompt", "x"], "--interactive goes with one MODEL"),
]


@pytest.mark.parametrize(("line", "message"), MISTAKES, ids=[" ".join(line) for line, _ in MISTAKES])
def test_a_mistake_is_one_clear_message(line, message, model, tmp_path, capsys):
    (tmp_path / "blank.txt").write_text("one\n\ntwo\n")
    (tmp_path / "empty.txt").write_text("")
    (tmp_path / "blank.jsonl").write_text("\n\n")
    (tmp_path / "bad.jsonl").write_text('{"prompt": "x"}\n\n{"label": 3}\n')
    assert gpt2lab("generate", model, *[part.format(tmp=tmp_path) for part in line]) == 2
    printed = capsys.readouterr()
    assert message in " ".join(printed.err.split())
    assert "Traceback" not in printed.err
    assert printed.out == ""


def test_a_classifier_cannot_write(tmp_path, capsys):
    write_model(tmp_path / "c", classifier(replace(SHAPE, labels=("a", "b"), padding=END)), small())
    assert gpt2lab("generate", tmp_path / "c", "--prompt", "x") == 2
    assert "this is a classifier" in capsys.readouterr().err


def talk(lines, **given):
    """What a conversation shows, with what was typed before each answer."""
    shown, waiting = [], iter(lines)

    def read(_):
        line = next(waiting, EOFError)
        if isinstance(line, type):
            raise line
        shown.append([line])
        return line

    settings = SamplingSettings(max_new_tokens=8, ignore_eos=True, **given)
    interactive.talk(weights_of(MODEL, "fp32"), small(), settings, read, lambda text: shown and shown[-1].append(text))
    return ["".join(parts[1:]) for parts in shown]


def test_a_conversation_continues_goes_on_and_changes_its_settings(capsys):
    greedy = {"temperature": 0.0, "max_new_tokens": 8, "ignore_eos": True}
    first = "It" + generate(MODEL, small(), "It", 1, SamplingSettings(**greedy))[0].text
    second = first + generate(MODEL, small(), first, 1, SamplingSettings(**greedy))[0].text
    answers = talk(
        ["It", "", "/set temperature=1 top_k=5", "It", "/again", "/nonsense", "/set top_p=9"], temperature=0.0
    )
    ended = "\n[8 tokens, ended by length]\n"
    assert answers[:2] == [first + ended, second + ended]
    drawn = generate(MODEL, small(), "It", 2, SamplingSettings(**{**greedy, "temperature": 1.0, "top_k": 5}))
    assert answers[3:5] == [f"It{sample.text}{ended}" for sample in drawn]
    errors = capsys.readouterr().err
    assert "there is no command /nonsense" in errors
    assert "generate.top_p" in errors


def test_ctrl_c_and_what_is_fixed_do_not_end_a_conversation(capsys):
    answers = talk([KeyboardInterrupt, "/set precision=bf16", "//usr", "/help", "/quit", "It"])
    assert "fixed when the model is loaded" in capsys.readouterr().err
    assert answers[1].startswith("/usr")
    assert "/again" in answers[2]
    assert len(answers) == 4


def test_at_a_terminal_the_text_grows_and_history_is_kept(model, tmp_path):
    """A real terminal: the model's line appears piece by piece, and the arrow key brings a line of last time back."""
    environment = {**os.environ, "GPT2LAB_HOME": str(tmp_path), "TERM": "dumb"}
    command = [sys.executable, "-m", "gpt2lab", "generate", str(model), "--interactive", "--max-new-tokens", "4"]

    def session(typed):
        outer, inner = pty.openpty()
        process = subprocess.Popen(command, stdin=inner, stdout=inner, stderr=inner, env=environment)
        os.close(inner)
        seen = b""
        deadline = time.monotonic() + 120
        for part in typed:
            while not seen.endswith(b"> ") and time.monotonic() < deadline:
                seen += os.read(outer, 1000)
            seen += b"|"
            os.write(outer, part)
        try:
            while piece := os.read(outer, 1000):
                seen += piece
        except OSError:
            pass
        assert process.wait(60) == 0
        return seen.decode("utf-8", "replace")

    assert "Numbers" in session([b"Numbers\n", b"/quit\n"])
    again = session([b"\x1b[A\x1b[A\n", b"/quit\n"])  # the last line but one
    assert again.count("Numbers") >= 2
    assert "4 tokens" in again
