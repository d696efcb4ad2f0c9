"""Models and tokenizers by Hub id, over the real client, against a Hub on loopback."""

import json

import numpy as np
import pytest
import torch

from gpt2lab.core.errors import UserError
from gpt2lab.model.reading import read_model
from gpt2lab.model.writing import write_model
from gpt2lab.text import tokenizer as tokenizers
from loopback_hub import LoopbackHub
from models import TINY, language_model, random_ids
from vocabularies import SAMPLE, small


@pytest.fixture
def stored(tmp_path):
    write_model(tmp_path / "made", language_model(), small())
    return {path.name: path.read_bytes() for path in (tmp_path / "made").iterdir()}


def logits(model):
    with torch.no_grad():
        return model(random_ids(1, 9))[..., : TINY.vocabulary]


def test_a_model_comes_down_once_without_the_forms_we_do_not_read(stored, online):
    extra = {"pytorch_model.bin": b"x" * 5000, "tf_model.h5": b"x" * 5000, "onnx/model.onnx": b"x"}
    with LoopbackHub(models={"someone/tiny": {**stored, **extra}}) as hub:
        online(hub)
        assert torch.equal(logits(read_model("someone/tiny")), logits(language_model()))
        asked = {request.path for request in hub.requests}
        assert not [path for path in asked if "pytorch_model" in path or "tf_model" in path or "onnx" in path]
        sent = hub.sent()
        assert torch.equal(logits(read_model("someone/tiny")), logits(language_model()))
        assert hub.sent() == sent


def test_gpt2_is_found_where_it_lives(stored, online):
    """`gpt2` only redirects to openai-community/gpt2 on the real Hub."""
    with LoopbackHub(models={"openai-community/gpt2": stored}) as hub:
        online(hub)
        assert torch.equal(logits(read_model("gpt2")), logits(language_model()))


def test_afterwards_it_works_offline(stored, online, monkeypatch):
    with LoopbackHub(models={"someone/tiny": stored}) as hub:
        online(hub)
        read_model("someone/tiny")
    monkeypatch.setenv("GPT2LAB_OFFLINE", "1")
    assert torch.equal(logits(read_model("someone/tiny")), logits(language_model()))


def test_sharded_weights_come_down_with_their_index(stored, online):
    from safetensors.torch import load, save

    tensors = load(stored.pop("model.safetensors"))
    names = sorted(tensors)
    shards = {"model-00001-of-00002.safetensors": names[:5], "model-00002-of-00002.safetensors": names[5:]}
    for file, part in shards.items():
        stored[file] = save({name: tensors[name] for name in part})
    index = {"weight_map": {name: file for file, part in shards.items() for name in part}}
    stored["model.safetensors.index.json"] = json.dumps(index).encode()
    with LoopbackHub(models={"someone/sharded": stored}) as hub:
        online(hub)
        assert torch.equal(logits(read_model("someone/sharded")), logits(language_model()))


@pytest.mark.parametrize("form", [("tokenizer.json", "tokenizer_config.json"), ("vocab.json", "merges.txt")])
def test_a_tokenizer_by_hub_id_gives_the_same_ids(stored, online, form):
    with LoopbackHub(models={"openai-community/gpt2": {name: stored[name] for name in form}}) as hub:
        online(hub)
        found = tokenizers.load("gpt2")
        assert found.hash == small().hash
        assert np.array_equal(found.encode(SAMPLE), small().encode(SAMPLE))


def test_what_is_not_there_is_one_clear_line(stored, online):
    without = {name: content for name, content in stored.items() if not name.startswith("model")}
    with LoopbackHub(models={"someone/empty": without}) as hub:
        online(hub)
        with pytest.raises(UserError, match="no weights that can be read"):
            read_model("someone/empty")
        with pytest.raises(UserError, match="does not exist, or is private"):
            read_model("someone/nobody")


def test_without_network_and_cache_it_says_so():
    with pytest.raises(UserError, match="offline, and not in the cache"):
        read_model("someone/tiny")
