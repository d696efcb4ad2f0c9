"""Every command in README and docs runs, in the order of its page, in a fresh folder; every figure has its file."""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"```bash\n(.*?)```", re.DOTALL)
PYTHON = re.compile(r"```python\n(.*?)```", re.DOTALL)
LINK = re.compile(r"\]\((?!https?:)([^)#]+)")
# A figure in README stands beside its source: `12.3`<!-- benchmarks/results/x.json key.path -->
FIGURE = re.compile(r"([\d,]+(?:\.\d+)?)[^\d<\n]*<!-- (benchmarks/results/\S+\.json) (\S+) -->")
PREPARES_THE_MACHINE = ("git clone", "cd gpt2lab", "pip install", "make")


def commands(page: Path) -> list[str]:
    lines = "\n".join(BLOCK.findall(page.read_text("utf-8"))).replace("\\\n", " ").splitlines()
    return [line.partition(" #")[0].strip() for line in lines if line.strip() and not line.startswith("#")]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_runs_and_then_the_python_of_its_page(page, tmp_path):
    for command in commands(page):
        if command.startswith(PREPARES_THE_MACHINE):
            continue
        assert command.startswith("gpt2lab "), f"{page.name}: {command} is not ours to run"
        line = [sys.executable, "-m", *shlex.split(command)]
        done = subprocess.run(line, cwd=tmp_path, capture_output=True, text=True, env=os.environ, check=False)
        assert done.returncode == 0, f"{page.name}: {command}\n{done.stderr}"
    code = "\n".join(PYTHON.findall(page.read_text("utf-8")))
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{page.name}\n{done.stderr}"


def test_pages_read_one_after_the_other_in_one_folder_do_not_get_in_each_others_way():
    """What two pages make in one place is made by the same words, so that the second finds it made."""
    makers: dict[str, set[str]] = {}
    for page in PAGES:
        for command in commands(page):
            made = re.search(r" --out (\S+)", command) or re.match(r"gpt2lab recipe copy \S+ (\S+)", command)
            if made and not re.search(r" --(only|print-commands|dry-run|extend|resume)", command):
                who = f"{page.name}: {command}" if "recipe copy" in command else command  # a copy is made once
                makers.setdefault(made[1], set()).add(who)
    assert not {place: words for place, words in makers.items() if len(words) > 1}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_make_target_and_every_link_exists(page):
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    for command in commands(page):
        if command.startswith("make"):
            named = [word for word in command.split()[1:] if "=" not in word]
            assert all(name in targets for name in named), command
    for link in LINK.findall(page.read_text("utf-8")):
        assert (page.parent / link).exists(), f"{page.name}: {link}"


def test_every_marked_figure_is_the_one_in_its_file():
    found = FIGURE.findall((ROOT / "README.md").read_text("utf-8"))
    assert found
    for figure, file, keys in found:
        value = json.loads((ROOT / file).read_text())
        for key in keys.split("."):
            value = value[int(key)] if isinstance(value, list) else value[key]
        digits = len(figure.partition(".")[2])
        assert f"{value:,.{digits}f}" == figure, f"{figure} in README, {value} in {file}"


def result(name):
    return json.loads((ROOT / "benchmarks" / "results" / f"{name}.json").read_text())


def percent(share):
    return f"{share:.1%}".replace("%", " %")


def test_what_dropout_gave_is_the_measured_one():
    page = (ROOT / "docs" / "tune.md").read_text("utf-8")
    _, with_it, without = result("equal-accuracy")["over_seeds"]
    assert f"{percent(without['value'])} against {percent(with_it['value'])} of the test texts" in page


def test_the_table_of_methods_is_the_measured_one():
    page = (ROOT / "docs" / "tune.md").read_text("utf-8")
    measured = result("tuning")
    for row in measured["ag_news"]:
        low, high = (100 * row["interval"][end] for end in ("low", "high"))
        memory, seconds = row["peak_memory"] / 1e9, row["training_seconds"]
        name = f"| `{row['method']}` | {row['search']['rate']:g} |"
        quality = f"{percent(row['value'])} | {low:.1f} to {high:.1f} |"
        assert f"{name} {quality} {row['trainable_parameters']:,} | {memory:.2f} GB | {seconds:.0f} s |" in page
    _, full, lora = measured["wikitext_2"]
    gained = [(row["against_the_base"], -1) for row in (full, lora)]
    lost = [(found, 1) for found in (full["forgetting"], lora["forgetting"], full["forgetting_beyond_lora"])]
    for found, sign in gained + lost:
        ends = sorted(sign * found["interval"][end] for end in ("low", "high"))
        text = f"{sign * found['value']:.2f}", f"({ends[0]:.2f} to {ends[1]:.2f})"
        assert re.search(rf"{re.escape(text[0])}[^(]*{re.escape(text[1])}", page), text
