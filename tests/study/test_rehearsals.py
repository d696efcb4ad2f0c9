"""A rehearsal is the study itself, smaller: the same stages, variants, methods and measures."""

import pytest

from command_line import gpt2lab
from gpt2lab.core import files
from gpt2lab.core.errors import UserError
from gpt2lab.study import recipe as recipes
from gpt2lab.study import rehearsal
from gpt2lab.study.report.facts import of_study


@pytest.mark.parametrize("name", rehearsal.shipped())
def test_stages_variants_methods_and_measures_are_those_of_the_study(name):
    full, (small, _) = recipes.read(name, []), rehearsal.read(name)
    assert (small.base is None) == (full.base is None)
    assert recipes.searches(small) == recipes.searches(full)
    assert small.probe.protocols == full.probe.protocols
    assert small.draws == full.draws
    assert small.untouched == full.untouched
    assert list(small.variants) == list(full.variants)
    assert recipes.trained(small) == recipes.trained(full)
    assert getattr(small.synthesize, "recipe", None) == getattr(full.synthesize, "recipe", None)
    for variant in recipes.trained(full):
        wanted = recipes.tuning(full, variant, "base")
        found = recipes.tuning(small, variant, "base")
        assert (found.method, found.task) == (wanted.method, wanted.task)
        for kind in ("lora", "prompt", "partial", "qlora", "model", "sample", "track"):
            assert getattr(found, kind) == getattr(wanted, kind)
        same = ("learning_rate", "schedule", "optimizer", "weight_decay", "layer_decay", "clip", "watch", "patience")
        assert all(getattr(found.train, key) == getattr(wanted.train, key) for key in same)
    assert [measure.protocol for measure in small.measures] == [measure.protocol for measure in full.measures]
    assert small.prompts == full.prompts


def test_every_study_has_a_rehearsal():
    assert set(rehearsal.shipped()) == set(recipes.shipped()) - {"quickstart"}


@pytest.mark.parametrize("key", ["question", "variants.full.method", "tune.train.learning_rate", "measures.0.protocol"])
def test_what_would_change_the_study_may_not_be_set(key):
    assert not rehearsal.ALLOWED.fullmatch(key)


def test_a_name_without_a_rehearsal_is_refused():
    with pytest.raises(UserError, match="there is no rehearsal of 'quickstart'"):
        rehearsal.read("quickstart")


@pytest.mark.parametrize("name", rehearsal.shipped())
def test_it_is_known_by_its_settings_wherever_its_base_was_made(name):
    small, _ = rehearsal.read(name)
    made = {key: {**own, **({"base": "/a/run"} if own.get("base") else {})} for key, own in small.variants.items()}
    stored = {**small.as_dict(), "base": small.base and "/a/run", "variants": made}
    assert rehearsal.is_one(stored)
    assert not rehearsal.is_one(recipes.read(name, []).as_dict())
    assert not rehearsal.is_one({**stored, "draws": 77})


def test_one_goes_from_end_to_end_and_is_not_done_twice(tmp_path, capsys):
    assert gpt2lab("rehearse", "fineweb-124m", "--out", tmp_path / "study") == 0
    run = tmp_path / "study" / "runs" / "base"
    assert files.read_json(run / "run.json")["state"] == "finished"
    assert any("hellaswag" in path.name for path in (run / "results").glob("*.json"))
    assert of_study(tmp_path / "study").commands[0] == "gpt2lab rehearse fineweb-124m --out STUDY"
    capsys.readouterr()
    assert gpt2lab("rehearse", "fineweb-124m", "--out", tmp_path / "study") == 0
    assert "already finished" in capsys.readouterr().out


def test_a_rehearsal_in_which_something_failed_has_failed(tmp_path, monkeypatch, capsys):
    page = tmp_path / "report.html"

    def fails(*_):
        (tmp_path / "runs" / "lora").mkdir(parents=True)
        files.write_json(tmp_path / "runs" / "lora" / "failed.json", {"reason": "a typo"})
        return page

    monkeypatch.setattr("gpt2lab.study.study.run", fails)
    assert gpt2lab("rehearse", "fineweb-124m", "--out", tmp_path) == 1
    assert "not all could be trained: lora" in capsys.readouterr().err
