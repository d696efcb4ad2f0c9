"""`gpt2lab predict`: one answer a text, in order, whatever form the texts come in."""

import io
import json
import sys
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from command_line import fresh, gpt2lab
from gpt2lab.model.writing import write_model
from models import TINY, classifier, language_model
from vocabularies import SAMPLE, small

NAMES = ("World", "Sports")
CONFIG = replace(TINY, vocabulary=small().size, labels=NAMES, padding=small().end_of_text)
TEXTS = ["The tokenizer", "rare ones are spelled", "naïve 日本語", "It's a byte-level code", SAMPLE[:300]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("predict") / "model"
    write_model(place, classifier(CONFIG), small())
    return place


def alone(text):
    ids = torch.from_numpy(small().encode(text)[: CONFIG.context].astype("int64"))
    with torch.no_grad():
        return classifier(CONFIG)(ids[None]).softmax(-1)[0].tolist()


def answers(capsys, *arguments):
    assert gpt2lab("predict", *arguments, "--json") == 0
    printed = capsys.readouterr()
    return [json.loads(line) for line in printed.out.splitlines()], printed.err


def is_right(answer, text):
    assert answer["text"] == text
    assert answer["label"] == max(answer["probabilities"], key=answer["probabilities"].get)
    assert list(answer["probabilities"]) == list(NAMES)
    assert list(answer["probabilities"].values()) == pytest.approx(alone(text), abs=1e-5)


def test_every_text_is_answered_as_alone_in_the_order_given(folder, capsys):
    found, said = answers(capsys, folder, *(word for text in TEXTS for word in ("--text", text)))
    for answer, text in zip(found, TEXTS, strict=True):
        is_right(answer, text)
    assert "1 text of 5 longer than the model's window of 24 tokens" in said


def json_lines(key):
    return "".join(json.dumps({"id": 7, key: text}) + "\n" for text in TEXTS)


@pytest.mark.parametrize(
    ("name", "content", "settings"),
    [
        ("t.jsonl", json_lines("text"), ()),
        ("t.jsonl", json_lines("prompt"), ()),
        ("t.jsonl", json_lines("body"), ("data.text=body",)),
        ("t.txt", "\r\n".join(TEXTS[:4]), ()),
        ("t.csv", "body,n\n" + "".join(f'"{text}",1\n' for text in TEXTS[:4]), ("data.text=body",)),
    ],
    ids=["text", "prompt", "another key", "lines", "table"],
)
@pytest.mark.parametrize("from_standard_input", [False, True])
def test_files_of_every_form(name, content, settings, from_standard_input, folder, tmp_path, capsys, monkeypatch):
    if from_standard_input and name.endswith(".csv"):
        content = json_lines("body")
    path = tmp_path / name
    path.write_text(content, "utf-8", newline="")
    if from_standard_input:
        monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(content.encode())))
    found, _ = answers(capsys, folder, "--file", "-" if from_standard_input else path, *settings)
    assert len(found) >= 4
    for answer, text in zip(found, TEXTS):
        is_right(answer, text)


def test_what_holds_no_text_keeps_its_place_and_is_counted(folder, tmp_path, capsys):
    path = tmp_path / "t.jsonl"
    path.write_bytes(b'{"text": "one"}\n{"text": ""}\n{broken\n{"text": null}\n\xff\n{"text": "\\ud800 two"}\n')
    found, said = answers(capsys, folder, "--file", path)
    assert [answer["label"] is None for answer in found] == [False, True, True, True, True, False]
    assert [answer["problem"] for answer in found[1:5]] == [
        "empty text",
        "t.jsonl, row 3: not a JSON object",
        "t.jsonl, row 4: text is not text",
        "t.jsonl, row 5: invalid UTF-8: invalid start byte",
    ]
    assert found[5]["text"] == "� two"
    assert "4 texts without a class: text 2: empty text; t.jsonl, row 3" in said


def test_people_see_class_probability_and_the_beginning(folder, capsys):
    assert gpt2lab("predict", folder, "--text", TEXTS[0], "--text", TEXTS[4]) == 0
    header, first, second = capsys.readouterr().out.splitlines()
    assert header.split() == ["class", "probability", "text"]
    assert first.split()[0] in NAMES and f"{max(alone(TEXTS[0])):.1%}" in first and first.endswith(TEXTS[0])
    assert second.endswith("…")


def test_bf16_is_asked_for_and_changes_little(folder, capsys):
    found, _ = answers(capsys, folder, "--text", TEXTS[0], "--precision", "bf16")
    assert list(found[0]["probabilities"].values()) != alone(TEXTS[0])
    assert list(found[0]["probabilities"].values()) == pytest.approx(alone(TEXTS[0]), abs=0.05)


def test_a_large_file_is_streamed(folder, tmp_path):
    """Ten times the texts do not take more memory, and the first answers come before the last text is read."""
    from gpt2lab.measure import predicting
    from gpt2lab.text.loose_texts import LooseText

    read = 0

    def endless():
        nonlocal read
        while True:
            read += 1
            yield LooseText("The tokenizer")

    found = predicting.predict(classifier(CONFIG), small(), endless(), predicting.Tally())
    for _ in range(3000):
        assert next(found)["label"] in NAMES
    assert read <= 3000 + 1024


MISTAKES = [
    ([], "what to classify is missing"),
    (["--text", ""], "no text to classify: text 1: empty text"),
    (["--file", "{tmp}/empty.txt"], "no text to classify: there is none"),
    (["--file", "{tmp}/nothing.txt"], "No such file"),
    (["--file", "{tmp}/odd.xyz"], "files of this kind are not known"),
    (["--file", "{tmp}/other.jsonl"], "there is no text or prompt (there is body)"),
    (["--text", "x", "--precision", "fp8"], "'fp32' or 'bf16'"),
    (["--text", "x", "data.label=y"], "there is no such setting"),
]


@pytest.mark.parametrize(("line", "message"), MISTAKES, ids=[" ".join(line) for line, _ in MISTAKES])
def test_a_mistake_is_one_clear_message(line, message, folder, tmp_path, capsys):
    (tmp_path / "empty.txt").write_text("")
    (tmp_path / "other.jsonl").write_text('{"body": "x"}\n')
    assert gpt2lab("predict", folder, *(part.format(tmp=tmp_path) for part in line)) == 2
    printed = capsys.readouterr()
    assert message in printed.err
    assert "Traceback" not in printed.err
    assert printed.out == "" or "empty text" in message  # no head of a table that never comes


def test_a_language_model_is_one_clear_line(tmp_path, capsys):
    write_model(tmp_path / "m", language_model(replace(TINY, vocabulary=small().size)), small())
    assert gpt2lab("predict", tmp_path / "m", "--text", "x") == 2
    assert "this is a language model, and a classifier is needed" in capsys.readouterr().err


def test_nothing_but_answers_reaches_standard_output(folder, tmp_path):
    path = tmp_path / "t.txt"
    path.write_text("one\n\ntwo\n" + "long " * 100 + "\n")
    done = fresh("predict", folder, "--file", path, "--json")
    assert done.returncode == 0, done.stderr
    assert [json.loads(line)["text"] for line in done.stdout.splitlines()] == ["one", "", "two", "long " * 100]
