"""What we write, others open: everyday transformers code runs unchanged on our folders, and ours on theirs."""

import shutil
import warnings
from dataclasses import replace

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from gpt2lab.model.config import GPT2Config
from gpt2lab.model.reading import read_model
from gpt2lab.model.writing import write_model
from gpt2lab.text import tokenizer as tokenizers
from models import classifier, language_model

TEXT = "Artificial intelligence will change how people write. " * 3


@pytest.fixture(scope="module")
def tokenizer():
    return tokenizers.train(["Artificial intelligence will write text that people read. " * 20, TEXT], 300)


@pytest.fixture(scope="module")
def config(tokenizer):
    end = tokenizer.end_of_text
    return GPT2Config(2, 2, 16, 64, tokenizer.size, start_of_text=end, end_of_text=end)


@pytest.fixture(scope="module")
def folder(tmp_path_factory, tokenizer, config):
    place = tmp_path_factory.mktemp("folders") / "model"
    write_model(place, language_model(config), tokenizer)
    return place


def everyday(caplog, capsys, work):
    """Do it and insist that transformers had nothing to complain about."""
    transformers.logging.set_verbosity_warning()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = work()
    assert not [record for record in caplog.records if record.levelname in ("WARNING", "ERROR")]
    printed = capsys.readouterr()
    assert "not initialized" not in printed.err
    assert "UNEXPECTED" not in printed.err + printed.out
    assert "MISSING" not in printed.err + printed.out
    return found


def test_auto_model_and_auto_tokenizer(folder, tokenizer, config, caplog, capsys):
    def work():
        return (
            transformers.AutoModelForCausalLM.from_pretrained(folder),
            transformers.AutoTokenizer.from_pretrained(folder),
        )

    model, auto = everyday(caplog, capsys, work)
    ids = auto(TEXT)["input_ids"]
    assert ids == tokenizer.encode(TEXT).tolist()
    assert auto.eos_token_id == config.end_of_text
    assert auto.model_max_length == 64
    assert auto.decode(ids) == TEXT
    ours = read_model(folder)
    with torch.no_grad():
        his = model(torch.tensor([ids[:20]])).logits
        mine = ours(torch.tensor([ids[:20]]))[..., : config.vocabulary]
    assert (mine - his).abs().max() <= 1e-5 * his.abs().max()


def test_pipeline_for_text_generation(folder, caplog):
    writer = transformers.pipeline("text-generation", model=str(folder))
    found = writer("Artificial intelligence will", max_new_tokens=5, do_sample=True, num_return_sequences=3)
    assert len(found) == 3
    assert all(sample["generated_text"].startswith("Artificial intelligence will") for sample in found)


def test_a_folder_saved_by_transformers_is_read(tmp_path, config):
    torch.manual_seed(1)
    raw = {"n_layer": 2, "n_head": 2, "n_embd": 16, "n_positions": 64, "vocab_size": config.vocabulary}
    theirs = transformers.GPT2LMHeadModel(transformers.GPT2Config(**raw)).eval()
    theirs.save_pretrained(tmp_path / "theirs")
    ids = torch.arange(30)[None]
    with torch.no_grad():
        expected = theirs(ids).logits
        found = read_model(tmp_path / "theirs")(ids)[..., : config.vocabulary]
    assert (found - expected).abs().max() <= 1e-5 * expected.abs().max()


def test_a_sharded_folder_saved_by_transformers_is_read(tmp_path, config):
    raw = {"n_layer": 2, "n_head": 2, "n_embd": 16, "n_positions": 64, "vocab_size": config.vocabulary}
    theirs = transformers.GPT2LMHeadModel(transformers.GPT2Config(**raw)).eval()
    theirs.save_pretrained(tmp_path / "theirs", max_shard_size="10KB")
    assert (tmp_path / "theirs" / "model.safetensors.index.json").is_file()
    ids = torch.arange(30)[None]
    with torch.no_grad():
        expected = theirs(ids).logits
        found = read_model(tmp_path / "theirs")(ids)[..., : config.vocabulary]
    assert (found - expected).abs().max() <= 1e-5 * expected.abs().max()


@pytest.mark.parametrize("moved", [0.0, 0.3])
def test_a_stored_head_is_tied_where_it_is_the_embedding_and_the_models_own_where_it_differs(
    folder, tmp_path, tokenizer, config, caplog, capsys, moved
):
    """transformers does not believe a config.json that ties what the file holds apart."""
    shutil.copytree(folder, tmp_path / "model")
    tensors = load_file(folder / "model.safetensors")
    noise = torch.randn(config.vocabulary, config.width, generator=torch.Generator().manual_seed(1))
    tensors["lm_head.weight"] = tensors["transformer.wte.weight"] + moved * noise
    save_file(tensors, tmp_path / "model" / "model.safetensors", {"format": "pt"})
    ours = read_model(tmp_path / "model")
    assert ours.config.tied_head == (moved == 0)
    assert ("not tied" in capsys.readouterr().err) == (moved > 0)
    write_model(tmp_path / "again", ours, tokenizer)
    again = everyday(
        caplog, capsys, lambda: transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "again")
    )  # without a word on heads
    caplog.clear()
    theirs = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "model")
    ids = torch.arange(30)[None]
    with torch.no_grad():
        expected = theirs(ids).logits
        for model in (ours, read_model(tmp_path / "again"), again):
            found = model(ids)
            found = getattr(found, "logits", found)[..., : config.vocabulary]
            assert (found - expected).abs().max() <= 1e-5 * expected.abs().max()


def test_a_classifier_folder_both_ways(tmp_path, tokenizer, config, caplog, capsys):
    labelled = replace(config, labels=("World", "Sports", "Sci/Tech"), padding=config.end_of_text)
    ours = classifier(labelled)
    write_model(tmp_path / "ours", ours, tokenizer)

    def work():
        return transformers.AutoModelForSequenceClassification.from_pretrained(tmp_path / "ours")

    theirs = everyday(caplog, capsys, work).eval()
    assert theirs.config.id2label == {0: "World", 1: "Sports", 2: "Sci/Tech"}
    auto = transformers.AutoTokenizer.from_pretrained(tmp_path / "ours")
    assert auto.padding_side == "right"
    batch = auto(["Artificial intelligence", "will write text that people read"], padding=True, return_tensors="pt")
    with torch.no_grad():
        his = theirs(**batch).logits
        mine = ours(batch["input_ids"], batch["attention_mask"])
    assert (mine - his).abs().max() <= 1e-5 * his.abs().max()
    theirs.save_pretrained(tmp_path / "theirs")
    found = read_model(tmp_path / "theirs")
    assert found.config.labels == labelled.labels
    with torch.no_grad():
        assert torch.equal(found(batch["input_ids"], batch["attention_mask"]), mine)


@pytest.mark.real_data
def test_the_hubs_tiny_gpt2_gives_transformers_logits(real_data):
    theirs = transformers.AutoModelForCausalLM.from_pretrained(real_data / "tiny-gpt2").eval()
    ids = torch.randint(0, 50257, (2, 40), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        expected = theirs(ids).logits
        found = read_model(real_data / "tiny-gpt2")(ids)[..., :50257]
    assert (found - expected).abs().max() <= 1e-5 * expected.abs().max()
