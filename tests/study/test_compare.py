"""Runs from anywhere on one page, as long as their protocols agree."""

from pathlib import Path

import pytest

import studies
from command_line import gpt2lab, last_json
from gpt2lab.core.errors import UserError
from gpt2lab.study import compare


def a_run(folder, gain, **settings):
    studies.run(folder, found=[studies.perplexity(folder.name, gain, **settings)], samples=[studies.sample("p", " t")])
    return folder


def test_runs_are_compared_with_the_first(tmp_path, capsys):
    runs = [a_run(tmp_path / "one", 0.0), a_run(tmp_path / "two", 0.3), a_run(tmp_path / "three", 0.1)]
    before = sorted(path for path in tmp_path.rglob("*"))
    assert gpt2lab("compare", *map(str, runs), "--out", tmp_path / "report", "--json") == 0
    page = last_json(capsys.readouterr().out)["report"]
    text = Path(page).read_text("utf-8")
    assert "two is better than one" in text
    assert "How do one, two and three compare?" in text
    assert [path for path in sorted(tmp_path.rglob("*")) if "report" not in path.parts] == before


def test_seeds_in_one_folder_are_one_variant(tmp_path):
    for seed in (1, 2, 3):
        studies.run(tmp_path / "many" / f"seed-{seed}", found=[studies.perplexity(f"m{seed}", 0.3, seed)], seed=seed)
    page = compare.compare([a_run(tmp_path / "one", 0.0), tmp_path / "many"], tmp_path / "report").read_text()
    assert "over 3 seeds" in page


def test_other_protocols_are_refused_by_what_differs(tmp_path):
    runs = [a_run(tmp_path / "one", 0.0), a_run(tmp_path / "two", 0.3, stride=8)]
    with pytest.raises(UserError, match=r"settings\.stride is 32 in one and 8 in the other"):
        compare.compare(runs, tmp_path / "report")
    assert not (tmp_path / "report").exists()


@pytest.mark.parametrize(
    ("names", "cause"),
    [(["one", "one"], "the same name"), (["one"], "no comparison"), (["one", "nowhere"], "no run is here")],
)
def test_what_cannot_be_compared_is_said(tmp_path, names, cause):
    a_run(tmp_path / "one", 0.0)
    with pytest.raises(UserError, match=cause):
        compare.compare([tmp_path / name for name in names], tmp_path / "report")


def test_a_run_is_not_written_over(tmp_path):
    runs = [a_run(tmp_path / "one", 0.0), a_run(tmp_path / "two", 0.3)]
    with pytest.raises(UserError, match="choose another --out"):
        compare.compare(runs, tmp_path / "one")
