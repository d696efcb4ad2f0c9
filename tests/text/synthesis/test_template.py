"""`{name}` becomes a value, once and plainly; what a text gets depends on seed and number alone."""

import os
import subprocess
import sys
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpt2lab.core.errors import UserError
from gpt2lab.text.synthesis import recipes, template
from gpt2lab.text.synthesis.settings import PromptSettings
from syntheses import recipe_file

HOSTILE = st.sampled_from(
    ["{a}", "{b}", "{0}", "{a.__class__}", "{a[0]}", "{{a}}", "%s", "${a}", "\\1", "\\g<0>", "{", "}"]
)
PIECES = st.lists(st.one_of(st.text(max_size=5), HOSTILE), max_size=6).map("".join)


@given(a=PIECES, b=PIECES, before=st.text(alphabet="xyz {}%$\\", max_size=8))
def test_a_value_goes_in_as_it_is_and_is_never_looked_at_again(a, b, before):
    filled = template.fill(f"{before.replace('{', '(')}|{{a}}|{{b}}|{{a}}", {"a": a, "b": b})
    assert filled == f"{before.replace('{', '(')}|{a}|{b}|{a}"


@pytest.mark.parametrize(
    "text", ['{"json": 1}', "{}", "{ a }", "{0}", "{a.b}", "{a[0]}", "{a!r}", "{a:>9}", "%(a)s", "$a"]
)
def test_other_braces_mean_nothing(text):
    assert template.fill(text, {"a": "VALUE"}) == text


def test_a_text_has_the_same_variables_in_every_process_and_beside_other_variables():
    few = PromptSettings(user="{a}", variables={"a": ("1", "2", "3", "4", "5")}, seed=7)
    more = PromptSettings(user="{a}{b}", variables={"b": ("x", "y"), "a": ("1", "2", "3", "4", "5")}, seed=7)
    drawn = [template.prompt(few, number).variables["a"] for number in range(30)]
    assert [template.prompt(more, number).variables["a"] for number in range(30)] == drawn
    code = (
        "from gpt2lab.text.synthesis import template; from gpt2lab.text.synthesis.settings import PromptSettings;"
        "s = PromptSettings(user='{a}', variables={'a': ('1', '2', '3', '4', '5')}, seed=7);"
        "print(','.join(template.prompt(s, n).variables['a'] for n in range(30)))"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "3"}
    printed = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert printed.stdout.strip() == ",".join(drawn)


def test_every_value_comes_up_about_equally_often_and_another_seed_draws_others():
    settings = PromptSettings(user="{a}", variables={"a": ("1", "2", "3", "4")})
    counts = Counter(template.prompt(settings, number).variables["a"] for number in range(4000))
    assert all(850 < count < 1150 for count in counts.values())
    other = settings.model_copy(update={"seed": 2})
    same = sum(template.prompt(settings, n).variables == template.prompt(other, n).variables for n in range(1000))
    assert 150 < same < 350


MISTAKES = [
    ({"prompt": {"user": "{tga}{b}{c}"}}, "did you mean {tag}?"),
    ({"prompt": {"user": "{tag}{b}{c} {zebra}"}}, "add the variable zebra: ['{zebra}']"),
    ({"prompt": {"variables": {"tag": []}}}, "has no values"),
    ({"prompt": {"variables": {"extra": ["1"]}}}, "'extra' is not in the template"),
    ({"prompt": {"user": "  ", "variables": {}}}, "prompt.user is empty"),
    ({"model": {"options": {"n": 3}}}, "may not set 'n'"),
    ({"checks": {"fewest_words": 9, "most_words": 3}}, "no text has 9 words or more"),
    ({"checks": {"fewest_word": 9}}, "did you mean checks.fewest_words?"),
]


@pytest.mark.parametrize(("changes", "message"), MISTAKES, ids=[message for _, message in MISTAKES])
def test_a_mistake_in_a_recipe_is_named_before_anything_is_paid(changes, message, tmp_path):
    with pytest.raises(UserError) as error:
        recipes.read(str(recipe_file(tmp_path / "r.yaml", **changes)))
    assert message in str(error.value)


def test_a_variable_may_hold_what_looks_like_itself(tmp_path):
    file = recipe_file(tmp_path / "r.yaml", prompt={"user": "{tag}{b}{c} {x}", "variables": {"x": ["{x}"]}})
    made = template.prompt(recipes.read(str(file)).prompt, 3)
    assert made.user == "".join(made.variables[name] for name in ("tag", "b", "c")) + " {x}"


@pytest.mark.parametrize("name", recipes.shipped())
def test_shipped_recipes_are_right_and_give_a_reason_beside_their_choices(name):
    used = recipes.read(name)
    assert used.name == name
    assert recipes.shipped()[name].read_text().count("#") > 10


def test_the_shipped_recipe_steers_the_grammar_by_words_that_it_knows():
    from gpt2lab.text.fantasy import VARIABLES

    variables = recipes.read("fantasy-locations").prompt.variables
    for name, known in VARIABLES.items():
        assert set(variables[name]) <= set(known), name
