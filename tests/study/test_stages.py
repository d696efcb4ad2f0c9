"""A study that writes its own data set, variants with seeds of their own, and one command a training."""

import re
import shlex
import subprocess
import sys

import pytest
import yaml

from command_line import gpt2lab, last_json
from gpt2lab.core import files, lines
from gpt2lab.core.errors import Interrupted
from gpt2lab.study import recipe as recipes
from gpt2lab.study.report.facts import of_study
from small_recipe import RECIPE


@pytest.fixture
def recipe(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(RECIPE))
    return path


def test_a_study_writes_its_data_tunes_on_them_and_measures_on_their_held_out_part(recipe, tmp_path):
    out = tmp_path / "study"
    assert gpt2lab("run", recipe, "--out", out) == 0
    written = list(lines.read(out / "synthesis" / "texts.jsonl"))
    assert len(written) == 120
    corpus = files.read_json(out / "synthesized" / "corpus.json")
    assert set(corpus["splits"]) == {"train", "validation", "test"}
    assert {folder.name for folder in (out / "runs").iterdir()} == {"base", "full-seed-1", "full-seed-2", "lora"}
    stored = yaml.safe_load((out / "runs" / "lora" / "run.yaml").read_text())
    assert stored["data"]["source"] == str((out / "synthesized").resolve())
    variants = of_study(out).variants
    assert [run.seed for run in variants["full"]] == [1, 2]
    held_out = corpus["splits"]["test"]["documents"]
    for runs in variants.values():
        for run in runs:
            (record,) = [found for found in run.records if found["protocol"].startswith("perplexity/word")]
            assert len(record["items"]) == held_out


def test_one_command_a_training_makes_the_study_that_one_command_makes(recipe, tmp_path, capsys):
    out = tmp_path / "study"
    assert gpt2lab("run", recipe, "--out", out, "--print-commands") == 0
    commands = [shlex.split(line)[1:] for line in capsys.readouterr().out.splitlines()]
    assert [command[command.index("--only") + 1] for command in commands] == ["base", "full", "full", "lora"]
    assert not out.exists()
    assert gpt2lab(*commands[0]) == 0
    assert {folder.name for folder in (out / "runs").iterdir()} == {"base"}
    jobs = [subprocess.Popen([sys.executable, "-m", "gpt2lab", *command]) for command in commands[1:]]  # all at once
    assert [job.wait() for job in jobs] == [0, 0, 0]
    assert {folder.name for folder in (out / "runs").iterdir()} == {"base", "full-seed-1", "full-seed-2", "lora"}
    times = {path: path.stat().st_mtime_ns for path in out.glob("runs/*/run.json")}
    assert gpt2lab("run", recipe, "--out", out) == 0
    assert {path: path.stat().st_mtime_ns for path in out.glob("runs/*/run.json")} == times  # nothing was left to do


def commands(capsys, *given):
    capsys.readouterr()
    assert gpt2lab("run", *given, "--print-commands") == 0
    return [line.split("--out ")[1] for line in capsys.readouterr().out.splitlines()]


def test_printed_commands_have_the_seeds_the_variant_and_the_device_that_were_asked_for(recipe, capsys):
    given = [recipe, "--out", "S", "--device", "cpu", "--seeds", "5,6"]
    assert commands(capsys, *given, "--only", "lora") == [
        "S --device cpu --only lora --seeds 5",
        "S --device cpu --only lora --seeds 6",
    ]
    assert commands(capsys, *given, "--only", "base") == ["S --device cpu --only base"]
    assert len(commands(capsys, *given)) == 1 + 2 * 2
    assert gpt2lab("run", recipe, "--out", "S", "--print-commands", "--only", "nonsense") == 2
    assert "there is no variant 'nonsense'" in capsys.readouterr().err


def test_a_plan_is_of_the_seeds_and_the_variant_that_were_asked_for(recipe, capsys):
    def plan(*given):
        capsys.readouterr()
        assert gpt2lab("run", recipe, "--dry-run", "--json", *given) == 0
        return last_json(capsys.readouterr().out)

    recipe.write_text(yaml.safe_dump({**RECIPE, "over": {"train.learning_rate": "1e-3,1e-2"}}))
    found = plan("--seeds", "5,6,7", "--only", "lora")
    assert {name: about["seeds"] for name, about in found["variants"].items()} == {"lora": [5, 6, 7]}
    assert list(found["searches"]) == ["full"]  # whose best values it takes
    assert found["at_least_seconds_in_all"] < plan("--seeds", "5,6,7")["at_least_seconds_in_all"]
    assert "variants" not in plan("--only", "base")
    assert gpt2lab("run", recipe, "--dry-run", "--only", "nonsense") == 2
    assert "one of: base, full, lora" in capsys.readouterr().err


def test_what_continues_a_study_keeps_all_that_was_asked_for(recipe, tmp_path, monkeypatch, capsys):
    def interrupted(*_):
        raise Interrupted("stopped, saved", "")

    monkeypatch.setattr("gpt2lab.study.study.run", interrupted)
    monkeypatch.setattr("gpt2lab.study.rehearsal.prepared", lambda *_: None)
    out = tmp_path / "my study"
    given = ["--device", "cpu", "--only", "full", "--seeds", "1,2", "tune.train.steps=3"]
    assert gpt2lab("run", recipe, "--out", out, *given) == 130
    assert shlex.join(["gpt2lab", "run", str(recipe), "--out", str(out), *given]) in capsys.readouterr().err
    assert gpt2lab("rehearse", "fineweb-124m", "--out", out, "--device", "cpu") == 130
    assert f"gpt2lab rehearse fineweb-124m --out '{out}' --device cpu" in capsys.readouterr().err
    assert gpt2lab("rehearse", "fineweb-124m", "--out", out) == 130
    assert "--device" not in capsys.readouterr().err


def test_the_command_in_a_report_makes_the_study_with_the_settings_that_it_has(recipe, tmp_path, monkeypatch):
    def begun(*_):
        raise Interrupted("stopped, saved", "")

    monkeypatch.setattr("gpt2lab.study.study._begun", begun)

    def command(name, out, *overrides):
        assert gpt2lab("run", name, "--out", out, *overrides) == 130
        return of_study(out).commands[0]

    def again(name, out):
        assert gpt2lab("run", out / name, "--out", out) == 130  # and not refused: its settings are the same
        return of_study(out).commands[0]

    as_it_is, changed = tmp_path / "as-it-is", tmp_path / "changed"
    assert command(recipe, as_it_is) == again("recipe.yaml", as_it_is) == "gpt2lab run STUDY/recipe.yaml --out STUDY"
    words = "gpt2lab run STUDY/resolved.yaml --out STUDY"
    given = ["tune.train.learning_rate=3e-5", "train.learning_rate=1e-5"]
    assert command(recipe, changed, *given) == again("resolved.yaml", changed) == words
    assert (changed / "recipe.yaml").read_text() == recipe.read_text()  # with its reasons
    assert command("quickstart", tmp_path / "shipped") == "gpt2lab run quickstart --out STUDY"
    assert command("quickstart", tmp_path / "few", "tune.train.steps=3") == words
    copy = tmp_path / "copy.yaml"
    copy.write_text(recipes.shipped()["quickstart"].replace("question: ", "question: Truly, "))
    assert command(copy, tmp_path / "edited") == "gpt2lab run STUDY/recipe.yaml --out STUDY"


@pytest.mark.parametrize("name", recipes.shipped())
def test_a_shipped_recipe_says_the_same_once_it_is_resolved(name, tmp_path):
    found = recipes.read(name, [])
    (tmp_path / "resolved.yaml").write_text(yaml.safe_dump(found.as_dict(), sort_keys=False, allow_unicode=True))
    assert recipes.read(str(tmp_path / "resolved.yaml"), []).as_dict() == found.as_dict()


def test_seeds_given_by_hand_keep_what_is_there(recipe):
    mine = recipes.read(str(recipe), [])
    assert recipes.run_name(mine, "lora", 1) == "lora"
    assert recipes.run_name(mine, "lora", 2) == "lora-seed-2"
    assert recipes.run_name(mine, "full", 1) == "full-seed-1"


def test_a_seed_that_was_trained_stays_itself_when_more_are_wanted_or_fewer(recipe, tmp_path):
    out = tmp_path / "study"
    assert gpt2lab("run", recipe, "--out", out) == 0
    begun = {path.name: path.stat().st_ino for path in (out / "runs").iterdir()}
    changed = {
        **RECIPE,
        "variants": {"full": {"method": "full", "seeds": 2}, "lora": {"method": "lora", "seeds": [3, 1]}},
    }
    recipe.write_text(yaml.safe_dump(changed))
    assert gpt2lab("run", recipe, "--out", out) == 0
    now = {path.name: path.stat().st_ino for path in (out / "runs").iterdir()}
    assert {name: now[name] for name in begun} == begun
    assert set(now) - set(begun) == {"lora-seed-3"}
    variants = of_study(out).variants
    assert [run.seed for run in variants["full"]] == [1, 2]
    assert [run.seed for run in variants["lora"]] == [1, 3]


def test_a_setting_that_a_recipe_says_no_more_is_another_study(recipe, tmp_path, capsys):
    """Or its next seed would be trained with a default, under the same name."""
    mine = {**RECIPE, "variants": {"lora": {"method": "lora", "lora": {"rank": 2}}}}
    recipe.write_text(yaml.safe_dump(mine))
    out = tmp_path / "study"
    assert gpt2lab("run", recipe, "--out", out, "--only", "base") == 0
    recipe.write_text(yaml.safe_dump({**mine, "variants": {"lora": {"method": "lora"}}}))
    capsys.readouterr()
    assert gpt2lab("run", recipe, "--out", out, "--only", "base", "--seeds", "1,2") == 2
    assert "variants.lora.lora.rank: 2 there, none asked for" in capsys.readouterr().err


@pytest.mark.parametrize("seeds", ["[]", "[1.5]", "[a]"])
def test_seeds_that_are_none_are_named_with_their_variant(recipe, tmp_path, capsys, seeds):
    recipe.write_text(recipe.read_text().replace("    seeds:\n    - 1\n    - 2\n", f"    seeds: {seeds}\n"))
    assert gpt2lab("run", recipe, "--out", tmp_path / "study") == 2
    assert "variants.full.seeds" in capsys.readouterr().err


def test_what_stands_at_the_top_of_a_recipe_can_be_said_too(recipe, tmp_path, capsys):
    """As the help lists it."""
    line = ["run", recipe, "--out", tmp_path / "study", "seeds=1,2,3", "draws=2"]
    assert gpt2lab(*line, "--print-commands") == 0
    commands = capsys.readouterr().out.splitlines()
    assert [command.split()[-1] for command in commands if "--only lora" in command] == ["1", "2", "3"]
    assert all("seeds=1,2,3 draws=2" in command for command in commands)
    assert gpt2lab(*line, "seed=1") == 2
    assert "seed: there is no such setting; did you mean seeds?" in capsys.readouterr().err


def test_a_plan_says_what_every_training_takes(capsys):
    assert gpt2lab("run", "from-scratch-fantasy", "--dry-run", "--json") == 0
    said = capsys.readouterr()
    found = last_json(said.out)
    assert found["at_least_seconds"] > 3600
    assert found["synthesize"]["count"] == 1000
    assert all(about["memory"] > 5e8 and about["disk"] > 1e8 for about in found["variants"].values())
    assert "try first: gpt2lab rehearse from-scratch-fantasy" in said.err
    assert "on top" in said.err  # how many tokens a large model writes is not known before


def test_a_model_may_stand_beside_as_it_is(recipe, tmp_path):
    out, other = tmp_path / "study", tmp_path / "other"
    assert gpt2lab("run", recipe, "--out", other, "--only", "base") == 0
    mine = {
        **RECIPE,
        "variants": {
            "lora": {"method": "lora"},
            "a-stranger": {"base": str(other / "runs" / "base"), "untouched": True},
        },
    }
    recipe.write_text(yaml.safe_dump(mine))
    assert gpt2lab("run", recipe, "--out", out) == 0
    assert not (out / "runs" / "a-stranger" / "run.json").exists()
    assert (out / "runs" / "a-stranger" / "samples.jsonl").is_file()
    stranger = of_study(out).variants["a-stranger"][0]
    assert [record["protocol"].partition("@")[0] for record in stranger.records] == ["perplexity/word"]
    assert ">a-stranger</h4>" in (out / "report.html").read_text()


def test_what_needs_a_base_may_be_measured_together_with_what_does_not(recipe, tmp_path):
    """Of the base itself, the others of them are measured."""
    both = {**RECIPE["measures"][0], "protocol": "perplexity/word, forgetting"}
    mine = {**RECIPE, "variants": {"lora": {"method": "lora"}}, "measures": [both]}
    recipe.write_text(yaml.safe_dump(mine))
    out = tmp_path / "study"
    assert gpt2lab("run", recipe, "--out", out) == 0
    measured = {
        run.name: {record["protocol"].partition("@")[0] for record in run.records} - {"perplexity/blocks"}
        for run in of_study(out).runs
    }
    assert measured == {"base": {"perplexity/word"}, "lora": {"perplexity/word", "forgetting"}}


def test_what_is_untouched_has_no_settings(recipe, tmp_path, capsys):
    mine = {
        **RECIPE,
        "variants": {"lora": {"method": "lora"}, "odd": {"base": "gpt2", "untouched": True, "method": "full"}},
    }
    recipe.write_text(yaml.safe_dump(mine))
    assert gpt2lab("run", recipe, "--out", tmp_path / "study") == 2
    assert "variants.odd" in capsys.readouterr().err


def test_a_protocol_that_is_none_is_named_before_anything_is_made(recipe, tmp_path, capsys):
    recipe.write_text(recipe.read_text().replace("perplexity/word", "perplexity/wrod"))
    assert gpt2lab("run", recipe, "--out", tmp_path / "study") == 2
    assert "did you mean perplexity/word" in capsys.readouterr().err
    assert not (tmp_path / "study").exists()


@pytest.mark.parametrize(
    ("name", "changes"),
    [("synthesized", {"synthesize": None}), ("corpus", {"base": "gpt2", "model": None, "train": None})],
)
def test_data_that_the_study_does_not_make_are_missed_at_once(recipe, tmp_path, capsys, name, changes):
    recipe.write_text(yaml.safe_dump({**RECIPE, **changes}))
    assert gpt2lab("run", recipe, "--out", tmp_path / "study") == 2
    assert f"{name} names what" in capsys.readouterr().err
    assert not (tmp_path / "study").exists()


def test_each_variant_may_be_searched_by_itself_and_each_prompt_drawn_several_times(recipe, tmp_path):
    mine = {
        **RECIPE,
        "variants": {
            "full": {"method": "full", "over": {"train.learning_rate": "1e-4,1e-2"}},
            "lora": {"method": "lora", "over": {"train.learning_rate": "1e-4,3e-2"}},
        },
        "draws": 3,
        "measures": [],
    }
    recipe.write_text(yaml.safe_dump(mine))
    out = tmp_path / "study"
    assert gpt2lab("run", recipe, "--out", out) == 0
    for name, rates in (("full", {1e-4, 1e-2}), ("lora", {1e-4, 3e-2})):
        found = files.read_json(out / "searches" / name / "result.json")
        assert {float(trial["point"]["train.learning_rate"]) for trial in found["trials"]} == rates
        stored = yaml.safe_load((out / "runs" / name / "run.yaml").read_text())
        assert stored["train"]["learning_rate"] == float(found["best"]["point"]["train.learning_rate"])
        assert [row["sample"] for row in lines.read(out / "runs" / name / "samples.jsonl")] == [0, 1, 2]
    page = (out / "report.html").read_text()
    assert "The search over train.learning_rate, with lora" in page
    assert re.search(r'data-bits title="\d+\.\d bits"', page)  # of each token that was written


def test_what_cannot_be_trained_has_no_length_that_could_be_unknown(recipe, capsys):
    mine = {
        **RECIPE,
        "tune": {**RECIPE["tune"], "data": {"source": "builtin:fantasy"}},
        "variants": {"lora": {"method": "lora"}, "too-many": {"method": "prompt", "prompt": {"tokens": 32}}},
    }
    recipe.write_text(yaml.safe_dump(mine))
    assert gpt2lab("run", recipe, "--dry-run") == 0
    said = capsys.readouterr().err
    assert "too-many cannot be trained" in said
    assert "on top" not in said
