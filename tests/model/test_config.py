from dataclasses import replace

import pytest

from gpt2lab.core.errors import UserError
from gpt2lab.model.config import GPT2Config, from_huggingface, named_size, parameter_count, to_huggingface
from models import TINY, classifier, language_model


@pytest.mark.parametrize(
    ("size", "count"),
    [("small", 124_439_808), ("medium", 354_823_168), ("large", 774_030_080), ("xl", 1_557_611_200)],
)
def test_parameter_counts_are_the_published_ones(size, count):
    assert parameter_count(named_size(size)) == count


def test_a_classifier_of_four_classes_counts_as_published():
    assert parameter_count(replace(named_size("small"), labels=("a", "b", "c", "d"))) == 124_442_880


@pytest.mark.parametrize("multiple", [1, 64, 128])
def test_the_count_is_the_models_own_without_padding(multiple):
    model = language_model(vocabulary_multiple=multiple)
    padding = (model.transformer.wte.weight.shape[0] - TINY.vocabulary) * TINY.width
    assert sum(p.numel() for p in model.parameters()) - padding == parameter_count(TINY)
    labelled = replace(TINY, labels=("a", "b"))
    model = classifier(labelled, multiple)
    assert sum(p.numel() for p in model.parameters()) - padding == parameter_count(labelled)


@pytest.mark.parametrize(
    "config",
    [
        TINY,
        TINY.with_dropout(0.1),
        replace(TINY, inner=50, activation="gelu", tied_head=False, scale_attention_by_layer=True),
        replace(TINY, labels=("World", "Sports"), padding=100),
    ],
)
def test_config_json_and_back_is_the_same(config):
    assert from_huggingface(to_huggingface(config), "here") == config


def test_of_several_ids_for_an_end_of_text_the_first_is_taken():
    raw = {**to_huggingface(TINY), "eos_token_id": [99, 100], "bos_token_id": [98]}
    assert from_huggingface(raw, "here") == replace(TINY, end_of_text=99, start_of_text=98)


def test_another_model_is_named():
    with pytest.raises(UserError, match="model_type is 'llama'"):
        from_huggingface({"model_type": "llama"}, "config.json")


def test_a_shape_that_cannot_exist_is_refused():
    with pytest.raises(UserError, match="width of 30 cannot be split over 4 heads"):
        GPT2Config(layers=1, heads=4, width=30)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *(("n_layer", "two"), ("n_inner", -1), ("n_inner", "50"), ("resid_pdrop", None), ("attn_pdrop", "x")),
        *(("layer_norm_epsilon", None), ("eos_token_id", "end"), ("eos_token_id", []), ("tie_word_embeddings", 1)),
        *(("n_embd", 0), ("n_embd", [32]), ("activation_function", 3), ("activation_function", "maxout")),
    ],
)
def test_a_field_that_cannot_be_is_named(key, value):
    with pytest.raises(UserError) as caught:
        from_huggingface({"model_type": "gpt2", key: value}, "config.json")
    assert repr(value) in str(caught.value)


@pytest.mark.parametrize("raw", [[], None, "gpt2", {}, {"model_type": ["gpt2"]}])
def test_what_is_no_config_is_no_gpt2(raw):
    with pytest.raises(UserError, match="not a GPT-2"):
        from_huggingface(raw, "config.json")


@pytest.mark.parametrize("names", [["a", "b"], {"a": "0"}, {"0": "a", "2": "b"}])
def test_class_names_must_be_numbered(names):
    raw = {"model_type": "gpt2", "architectures": ["GPT2ForSequenceClassification"], "id2label": names}
    with pytest.raises(UserError, match="id2label"):
        from_huggingface(raw, "config.json")
