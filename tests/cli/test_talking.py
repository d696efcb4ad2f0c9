"""Commands that only talk answer at once: nothing heavy is imported."""

import subprocess
import sys

import pytest

from command_line import fresh, gpt2lab
from gpt2lab import __version__

HEAVY = (
    "torch",
    "transformers",
    "peft",
    "numpy",
    "tokenizers",
    "huggingface_hub",
    "pyarrow",
    "matplotlib",
    "scipy",
    "openai",
)
TALK = [
    ["--version"],
    ["--help"],
    ["prepare", "--help"],
    ["pretrain", "--help"],
    ["evaluate", "--help"],
    ["predict", "--help"],
    ["generate", "--help"],
    ["run", "--help"],
    ["compare", "--help"],
    ["synthesize", "--help"],
    ["synthesize", "fantasy-locations"],
    ["recipe", "list"],
    ["recipe", "show", "quickstart"],
    ["recipe", "schema"],
    ["export", "--help"],
    ["export", "runs/none"],
    ["runs", "--help"],
    ["runs", "list", "nowhere"],
    ["runs", "show", "nowhere"],
    ["runs", "clean", "nowhere"],
    ["pretrain"],
    ["nonsense"],
]


@pytest.mark.parametrize("arguments", TALK, ids=" ".join)
def test_nothing_heavy_is_imported(arguments):
    code = f"""
import sys
from gpt2lab.cli.main import run_verb
run_verb({arguments!r})
print("HEAVY", [name for name in {HEAVY!r} if name in sys.modules])
"""
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.endswith("HEAVY []\n")


def test_the_version_is_printed():
    assert fresh("--version").stdout == f"gpt2lab {__version__}\n"


VERBS = [
    *(
        ["quickstart"],
        ["prepare"],
        ["pretrain"],
        ["evaluate"],
        ["predict"],
        ["generate"],
        ["run"],
        ["report"],
        ["compare"],
        ["doctor"],
        ["synthesize"],
        ["export"],
    ),
    *(["recipe", "list"], ["recipe", "show"], ["recipe", "copy"], ["recipe", "schema"]),
    *(["corpus", "show"], ["corpus", "preview"], ["corpus", "verify"]),
    *(["runs", "list"], ["runs", "show"], ["runs", "diff"], ["runs", "clean"]),
]


@pytest.mark.parametrize("verb", VERBS, ids=" ".join)
def test_every_verb_has_help_with_an_example(verb, capsys):
    assert gpt2lab(*verb, "--help") == 0
    assert f"Example: gpt2lab {' '.join(verb)}" in capsys.readouterr().out


def test_help_tells_each_settings_default_and_meaning(capsys):
    gpt2lab("pretrain", "--help")
    text = " ".join(capsys.readouterr().out.split())
    assert "train.learning_rate=0.0006 The highest rate." in text
    assert "model.layers=none Blocks one after another." in text
    assert "train.steps=none Updates of the weights." in text
    assert "One of cosine, linear, polynomial, constant, wsd." in text


def test_the_next_command_can_be_pasted_where_a_path_has_spaces(tmp_path, capsys):
    file = tmp_path / "my recipes" / "mine.yaml"
    file.parent.mkdir()
    assert gpt2lab("recipe", "copy", "quickstart", file) == 0
    assert f"next: gpt2lab run '{file}' --out STUDY" in capsys.readouterr().out
