"""`gpt2lab synthesize` as users meet it."""

import json
import os

import pytest

from command_line import fresh, gpt2lab, last_json
from loopback_chat import LoopbackChat, status, text
from syntheses import recipe_file, rows

SHIPPED = ("synthesize", "fantasy-locations", "--backend", "builtin")


@pytest.fixture
def chat(monkeypatch):
    with LoopbackChat() as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.address)
        monkeypatch.setenv("OPENAI_API_KEY", "sk-a-key-of-the-tests")
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.delenv(name, raising=False)
        yield server


def test_the_shipped_recipe_writes_places_offline_that_prepare_reads(tmp_path, capsys):
    out = tmp_path / "places.jsonl"
    assert gpt2lab(*SHIPPED, "--count", 12, "--out", out, "--json") == 0
    summary = last_json(capsys.readouterr().out)
    assert (summary["file"], summary["count"], summary["recipe"]) == (str(out), 12, "fantasy-locations")
    found = rows(out)
    assert all(row["text"].startswith("<LOC>") and row["text"].endswith("</LOC>") for row in found)
    assert all(150 <= row["words"] <= 400 for row in found)
    assert all(set(row["variables"]) == {"kind", "mood", "time", "weather", "sense", "detail"} for row in found)
    assert (
        gpt2lab(
            "prepare", out, "--out", tmp_path / "corpus", "--tokenizer", "builtin", "--json", "prepare.validation=0"
        )
        == 0
    )
    splits = last_json(capsys.readouterr().out)["splits"]
    assert sum(split["documents"] for split in splits.values()) == 12


def test_either_file_may_be_named_and_the_next_command_is_told(tmp_path, capsys):
    assert gpt2lab(*SHIPPED, "--count", 2, "--out", tmp_path / "places.txt") == 0
    assert f"next: gpt2lab prepare {tmp_path / 'places.jsonl'} --out corpora/places" in capsys.readouterr().out
    assert gpt2lab(*SHIPPED, "--count", 2, "--out", tmp_path / "my places.txt") == 0
    quoted = f"next: gpt2lab prepare '{tmp_path / 'my places.jsonl'}' --out 'corpora/my places'"
    assert quoted in capsys.readouterr().out
    assert gpt2lab(*SHIPPED, "--count", 2, "--out", tmp_path / "places.jsonl") == 0
    assert "already written" in capsys.readouterr().out


def test_before_and_after_it_says_what_it_takes(chat, tmp_path, capsys):
    file = recipe_file(tmp_path / "r.yaml", requests={"requests_a_minute": 6000})
    chat.then(text("<LOC>short</LOC>"))
    assert gpt2lab("synthesize", file, "--count", 4, "--out", tmp_path / "p.jsonl", "--max-cost", 50) == 0
    said = capsys.readouterr().out
    assert f"written by some-model at {chat.host}, with the key from OPENAI_API_KEY" in said
    assert "tokens to send and 216 to receive" in said
    assert "budget: 50 USD" in said
    assert "refused: 1 fewer than 20 words" in said
    assert "5 answers, 750 tokens, 1.0000 USD" in said


def test_a_dry_run_needs_no_key_asks_nobody_and_leaves_nothing(chat, tmp_path, capsys, monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY")
    file = recipe_file(tmp_path / "r.yaml")
    assert gpt2lab("synthesize", file, "--count", 1000, "--out", tmp_path / "p.jsonl", "--dry-run", "--json") == 0
    assert last_json(capsys.readouterr().out)["missing"] == 1000
    assert gpt2lab("synthesize", "fantasy-locations", "--count", 9, "--out", tmp_path / "p.jsonl", "--dry-run") == 0
    assert chat.requests == []
    assert [path.name for path in tmp_path.iterdir()] == ["r.yaml"]


def test_the_budget_ends_with_exit_1_and_the_way_on(chat, tmp_path, capsys):
    file = recipe_file(tmp_path / "r.yaml", checks={"fewest_words": 1})
    line = ("synthesize", file, "--count", 12, "--out", tmp_path / "p.jsonl", "--json")
    assert gpt2lab(*line, "--max-cost", 2) == 1
    error = last_json(capsys.readouterr().out)
    assert error["exit"] == 1
    assert "the budget is used up" in error["error"]["cause"]
    assert "higher --max-cost" in error["error"]["way_out"]
    assert gpt2lab(*line, "--max-cost", 20) == 0
    assert last_json(capsys.readouterr().out)["bill"]["cost_at_most"] <= 20


MISTAKES = [
    (["fantasy-locations", "--out", "{tmp}/p.jsonl", "--backend", "builtin"], "add --count N"),
    (["fantasy-locations", "--count", "3", "--backend", "builtin"], "add --out FILE.jsonl"),
    (["fantasy-locations", "--count", "0", "--out", "{tmp}/p.jsonl"], "--count is 0"),
    (["fantasy-locations", "--count", "3", "--out", "{tmp}/p.jsonl", "--max-cost", "nan"], "--max-cost is nan"),
    (["fantasy-locations", "--count", "3", "--out", "{tmp}/p.jsonl", "--max-cost", "-1"], "--max-cost is -1"),
    (["fantasy-locations", "--count", "3", "--out", "{tmp}/places"], "neither a .jsonl nor a .txt"),
    (["nothing", "--count", "3", "--out", "{tmp}/p.jsonl"], "there is no recipe for a data set"),
    (["quickstart", "--count", "3", "--out", "{tmp}/p.jsonl"], "there is no recipe for a data set"),
    (["fantasy-locations", "--count", "3", "--out", "{tmp}/p.jsonl", "checks.simlar=1"], "did you mean checks.similar"),
    (["fantasy-locations", "--count", "3", "--out", "{tmp}/p.jsonl", "--backend", "magic"], "magic"),
    (["fantasy-locations", "--count", "3", "--out", "{tmp}/p.jsonl"], "GPT2LAB_OFFLINE is set"),
    (
        ["fantasy-locations", "--count", "3", "--out", "{tmp}/p.jsonl", "--max-cost", "0.000001"],
        "GPT2LAB_OFFLINE is set",
    ),
]


@pytest.mark.parametrize(("line", "message"), MISTAKES, ids=[message for _, message in MISTAKES])
def test_a_mistake_is_one_clear_message_and_leaves_nothing(line, message, tmp_path, capsys, monkeypatch):
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    assert gpt2lab("synthesize", *(part.format(tmp=tmp_path) for part in line)) == 2
    printed = capsys.readouterr()
    assert message in printed.err
    assert "Traceback" not in printed.err
    assert list(tmp_path.iterdir()) == []


def test_what_the_endpoint_says_is_told_with_exit_2(chat, tmp_path, capsys):
    chat.always = status(404, "the model `some-model` does not exist")
    assert gpt2lab("synthesize", recipe_file(tmp_path / "r.yaml"), "--count", 3, "--out", tmp_path / "p.jsonl") == 2
    assert "the model `some-model` does not exist" in capsys.readouterr().err


def test_without_the_package_it_says_what_to_install(chat, tmp_path):
    (tmp_path / "openai.py").write_text("raise ImportError('not here')")
    made = fresh(
        "synthesize", recipe_file(tmp_path / "r.yaml"), "--count", 3, "--out", tmp_path / "p.jsonl",
        PYTHONPATH=f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}",
    )  # fmt: skip
    assert made.returncode == 2
    assert "pip install 'gpt2lab[synthesize]'" in made.stderr


def test_its_recipes_are_listed_shown_copied_and_described(tmp_path, capsys):
    assert gpt2lab("recipe", "list", "--json") == 0
    listed = last_json(capsys.readouterr().out)
    assert "fantasy-locations" in [entry["recipe"] for entry in listed]
    assert "quickstart" in [entry["recipe"] for entry in listed]
    assert gpt2lab("recipe", "copy", "fantasy-locations", tmp_path / "mine.yaml") == 0
    assert "next: gpt2lab synthesize" in capsys.readouterr().out
    assert gpt2lab("recipe", "show", "fantasy-locations") == 0
    assert capsys.readouterr().out == (tmp_path / "mine.yaml").read_text()
    assert gpt2lab("recipe", "schema", "--synthesis") == 0
    assert {"prompt", "model", "checks"} <= set(json.loads(capsys.readouterr().out)["properties"])
    assert (
        gpt2lab(
            "synthesize", tmp_path / "mine.yaml", "--count", 2, "--out", tmp_path / "p.jsonl", "--backend", "builtin"
        )
        == 0
    )
