"""Every parameter in exactly one group, at the rate and decay that were asked for."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpt2lab.core.errors import UserError
from gpt2lab.model.config import parameter_count
from gpt2lab.train import groups
from gpt2lab.train.settings import GroupSettings, TrainSettings
from models import TINY, language_model

PATTERNS = ["*", "*.ln_*", "transformer.wte.*", "transformer.h.0.*, *.bias", "*c_attn*"]


def parted(model=None, **given):
    return groups.split(model or language_model(), TrainSettings(steps=1, learning_rate=1.0, **given))


def rates(found):
    return {name: group.rate for group in found for name in group.parameters}


@given(
    st.lists(st.tuples(st.sampled_from(PATTERNS), st.floats(0, 4), st.none() | st.floats(0, 1)), max_size=3),
    st.sampled_from(["adamw", "muon"]),
    st.sampled_from([1.0, 0.5]),
)
def test_every_parameter_is_in_exactly_one_group(rules, optimizer, layer_decay):
    settings = [GroupSettings(match=match, rate=rate, weight_decay=decay) for match, rate, decay in rules]
    model = language_model()
    found = parted(model, groups=tuple(settings), optimizer=optimizer, layer_decay=layer_decay)
    names = [name for group in found for name in group.parameters]
    assert sorted(names) == sorted(name for name, _ in model.named_parameters())
    assert sum(group.count(TINY.vocabulary) for group in found) == parameter_count(TINY)


def test_matrices_decay_and_norms_and_biases_do_not():
    for group in parted(weight_decay=0.3):
        assert all((p.dim() >= 2) == (group.weight_decay == 0.3) for p in group.parameters.values())


def test_the_first_pattern_that_matches_decides():
    rules = (GroupSettings(match="*.ln_f.*", rate=5), GroupSettings(match="*.ln_*", rate=2, weight_decay=0.7))
    found = rates(parted(groups=rules))
    assert found["transformer.ln_f.weight"] == 5
    assert found["transformer.h.0.ln_1.weight"] == 2
    assert found["transformer.h.0.attn.c_attn.weight"] == 1


def test_a_group_that_says_nothing_of_freezing_thaws_nothing_and_one_that_does_may():
    model = language_model()
    still = GroupSettings(match="transformer.wte.*, transformer.h.0.*", frozen=True)
    rules = (GroupSettings(match="*.wte.*", frozen=False), GroupSettings(match="*", weight_decay=0.7), still)
    settings = TrainSettings(steps=1, groups=rules)
    groups.freeze(model, settings)
    moving = {name: group for group in groups.split(model, settings) for name in group.parameters}
    assert "transformer.wte.weight" in moving
    assert not any(name.startswith("transformer.h.0.") for name in moving)
    assert {group.weight_decay for group in moving.values()} == {0.7}


def test_a_decay_of_ones_own_leaves_the_methods_rate():
    rules = (GroupSettings(match="*", weight_decay=0.0), GroupSettings(match="*.c_attn.*", rate=16))
    assert rates(parted(groups=rules))["transformer.h.0.attn.c_attn.weight"] == 16


def test_frozen_parameters_take_no_part():
    model = language_model()
    rules = (GroupSettings(match="transformer.wte.*, transformer.h.0.*", frozen=True),)
    settings = TrainSettings(steps=1, groups=rules)
    groups.freeze(model, settings)
    names = {name for group in groups.split(model, settings) for name in group.parameters}
    assert "transformer.wte.weight" not in names
    assert not any(name.startswith("transformer.h.0.") for name in names)
    assert "transformer.h.1.ln_1.weight" in names


def test_layer_decay_falls_from_the_head_to_the_embeddings():
    found = rates(parted(layer_decay=0.5))
    assert found["transformer.ln_f.weight"] == 1
    blocks = [found[f"transformer.h.{layer}.ln_1.weight"] for layer in range(TINY.layers)]
    assert blocks == [0.5 ** (TINY.layers - layer) for layer in range(TINY.layers)]
    assert found["transformer.wte.weight"] == blocks[0] / 2


def test_muon_moves_the_blocks_matrices_alone():
    for group in parted(optimizer="muon"):
        by_muon = {name for name in group.parameters if ".h." in name and name.endswith("weight") and ".ln" not in name}
        assert by_muon == (set(group.parameters) if group.optimizer == "muon" else set())


def test_a_pattern_that_matches_nothing_is_a_mistake_that_is_named():
    with pytest.raises(UserError, match=r"like 'h\.7\.\*'"):
        groups.freeze(language_model(), TrainSettings(steps=1, groups=(GroupSettings(match="h.7.*"),)))
