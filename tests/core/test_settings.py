"""Settings are strict: every problem at once, each with its place and a did-you-mean."""

from typing import Annotated, Any, Literal

import pytest
from pydantic import Field

from gpt2lab.core import settings
from gpt2lab.core.errors import UserError
from gpt2lab.core.settings import AtCommas, Positive, PositiveFloat, Settings


class Inner(Settings):
    learning_rate: PositiveFloat = 1e-3
    """How fast."""
    steps: Positive | None = None
    tags: tuple[str, ...] = ()
    fused: bool = False
    kind: Literal["a", "b"] = "a"
    size: Literal[32, 64] = 32
    extra: dict[str, int] | None = None


class Free(Settings):
    tune: dict[str, Any] = Field(default_factory=dict)
    variants: dict[str, dict[str, Any]] = Field(default_factory=dict)
    over: dict[str, str] = Field(default_factory=dict)
    options: dict[str, str | int | None] = Field(default_factory=dict)
    names: Annotated[tuple[str, ...], AtCommas] = ()


class Outer(Settings):
    train: Inner = Inner()
    several: tuple[Inner, ...] = ()
    name: str = "x"


def resolve(tmp_path, yaml="", *overrides, values=None):
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml)
    return settings.resolve(Outer, file=path, overrides=overrides, values=values)


def test_overrides_are_typed_by_the_model(tmp_path):
    found = resolve(
        tmp_path,
        "train: {steps: 3}",
        "train.learning_rate=2e-4",
        "train.steps=none",
        "train.tags=a,b",
        "train.fused=true",
        "train.extra={a: 1}",
        "train.size=64",
    )
    assert found.train.model_dump() == {
        "learning_rate": 2e-4,
        "steps": None,
        "tags": ("a", "b"),
        "fused": True,
        "kind": "a",
        "size": 64,
        "extra": {"a": 1},
    }


def test_yaml_numbers_with_exponents_are_numbers(tmp_path):
    """YAML 1.1 reads 1e-3 as text; people mean a number."""
    assert resolve(tmp_path, "train:\n  learning_rate: 1e-3").train.learning_rate == 1e-3


def test_the_later_wins_file_then_values_then_overrides(tmp_path):
    assert resolve(tmp_path, "name: file", values={"name": "value"}).name == "value"


def test_all_problems_come_at_once_with_line_key_and_did_you_mean(tmp_path):
    yaml = "train:\n  learnin_rate: 1\n  steps: -5\n  kind: c\n"
    with pytest.raises(UserError) as caught:
        resolve(tmp_path, yaml, "train.stesp=4", "train.fused=perhaps")
    text = str(caught.value)
    assert "5 settings are wrong" in text
    assert (
        "train.learnin_rate: there is no such setting; did you mean train.learning_rate? (recipe.yaml, line 2)" in text
    )
    assert "train.steps: input should be greater than 0 (got -5) (recipe.yaml, line 3)" in text
    assert "train.kind" in text
    assert "train.stesp: there is no such setting; did you mean train.steps?" in text
    assert "on the command line: train.fused=perhaps" in text


def test_a_key_that_stands_twice_is_refused(tmp_path):
    """YAML would silently take the last one."""
    with pytest.raises(UserError, match="stands twice") as caught:
        resolve(tmp_path, "name: a\nname: b\n")
    assert "line 2" in str(caught.value)


@pytest.mark.parametrize("text", ["a: [", "- a\n- b", "train: 5"])
def test_what_is_no_settings_file_is_one_clear_line(tmp_path, text):
    with pytest.raises(UserError):
        resolve(tmp_path, text)


@pytest.mark.parametrize("number", ["nan", "inf", "-1", "0", "abc"])
def test_numbers_that_cannot_work_are_refused(tmp_path, number):
    with pytest.raises(UserError, match=r"train\.learning_rate"):
        resolve(tmp_path, "", f"train.learning_rate={number}")


def test_only_dotted_keys_are_overrides():
    values, overrides = settings.split(["runs/a=b", "train.steps=3", "a=1", "x.y", "train.a.b_2=c=d", "./x.y=1"])
    assert overrides == ["train.steps=3", "train.a.b_2=c=d"]
    assert values == ["runs/a=b", "a=1", "x.y", "./x.y=1"]


def test_help_comes_from_the_text_under_each_field():
    assert ("train.learning_rate", "0.001", "How fast.") in settings.describe(Outer)


def test_an_override_under_something_that_is_no_group_is_a_clear_error(tmp_path):
    with pytest.raises(UserError, match=r"name\.deep"):
        resolve(tmp_path, "", "name.deep.er=1")


def test_a_key_of_one_of_several_is_looked_for_among_its_own(tmp_path):
    with pytest.raises(UserError, match=r"did you mean several\.1\.steps\?"):
        resolve(tmp_path, "several: [{steps: 1}, {stesp: 2}]")


def test_a_setting_that_is_asked_for_no_more_is_a_difference():
    there, wanted = {"method": "lora", "lora": {"rank": 2}}, {"method": "lora"}
    assert settings.differences(there, wanted) == ["lora.rank: 2 there, none asked for"]
    assert settings.differences(wanted, there) == ["lora.rank: none there, 2 asked for"]
    assert settings.differences(there, {"lora": {"rank": 2}, "seed": 1}) == [
        "seed: none there, 1 asked for",
        "method: lora there, none asked for",
    ]


def test_overrides_of_free_groups_are_what_a_file_would_hold():
    said = ["tune.train.steps=4", "tune.train.clip=none", "tune.train.rate=1e-4", "tune.lora.targets=[a, b]"]
    said += ["tune.data.text=a: b", "variants.lora.untouched=false", "variants.lora.seeds=5"]
    found = settings.resolve(Free, overrides=said)
    assert found.tune == {
        "train": {"steps": 4, "clip": None, "rate": "1e-4"},
        "lora": {"targets": ["a", "b"]},
        "data": {"text": "a: b"},
    }
    assert found.variants == {"lora": {"untouched": False, "seeds": 5}}


def test_where_no_groups_can_be_an_override_is_one_key_with_dots():
    said = ["over.train.learning_rate=1e-4,2e-4", "options.model.name=x", "options.requests.count=5"]
    found = settings.resolve(Free, overrides=said)
    assert found.over == {"train.learning_rate": "1e-4,2e-4"}
    assert found.options == {"model.name": "x", "requests.count": 5}
    variants = {"full": {"over": {"train.clip": "1,2"}}}
    found = settings.resolve(Free, values={"variants": variants}, overrides=["variants.full.over.train.clip=3,4"])
    assert found.variants == {"full": {"over": {"train.clip": "3,4"}}}


@pytest.mark.parametrize("given", ["a, b", ["a", "b"]])
def test_names_may_stand_with_commas_or_as_a_list(given):
    assert settings.resolve(Free, values={"names": given}).names == ("a", "b")
