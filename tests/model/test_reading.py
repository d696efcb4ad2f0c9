"""Every form a GPT-2 is stored in, and one clear line for what cannot be read."""

import json
import shutil
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file, save_file

from gpt2lab.core.errors import UserError
from gpt2lab.model import layout
from gpt2lab.model.reading import find_model, read_language_model, read_model, weight_hash
from gpt2lab.model.writing import write_model
from models import TINY, classifier, language_model, random_ids

IDS = random_ids(2, 12)


@pytest.fixture
def folder(tmp_path):
    write_model(tmp_path / "model", language_model())
    return tmp_path / "model"


def logits(model):
    with torch.no_grad():
        return model(IDS)[..., : TINY.vocabulary]


EXPECTED = logits(language_model())


def reads_the_same(place):
    assert torch.equal(logits(read_model(place)), EXPECTED)


def tensors_of(folder):
    return load_file(folder / "model.safetensors")


def rewrite(folder, tensors, **config):
    save_file(tensors, folder / "model.safetensors")
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **config}))


def test_what_is_written_is_read_bit_for_bit_whatever_the_padding(folder):
    reads_the_same(folder)
    with torch.no_grad():
        for multiple in (1, 50):
            found = logits(read_model(folder, vocabulary_multiple=multiple))
            torch.testing.assert_close(found, EXPECTED)


def test_files_never_show_the_padding(folder):
    assert tensors_of(folder)["transformer.wte.weight"].shape == (101, 32)
    assert "lm_head.weight" not in tensors_of(folder)


def test_a_classifier_and_its_class_names_come_back(tmp_path):
    model = classifier(replace(TINY, labels=("World", "Sports"), padding=100))
    write_model(tmp_path / "model", model)
    found = read_model(tmp_path / "model")
    assert found.config == model.config
    assert torch.equal(found(IDS), model(IDS))
    with pytest.raises(UserError, match="this is a classifier"):
        read_language_model(tmp_path / "model")


def test_sharded_safetensors(folder):
    tensors = tensors_of(folder)
    names = sorted(tensors)
    parts = {"model-00001-of-00002.safetensors": names[:9], "model-00002-of-00002.safetensors": names[9:]}
    for file, part in parts.items():
        save_file({name: tensors[name] for name in part}, folder / file)
    index = {"weight_map": {name: file for file, part in parts.items() for name in part}}
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    reads_the_same(folder)
    (folder / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(UserError, match="1 of 2 shards are missing: model-00002"):
        read_model(folder)


def test_old_bin_files_without_pickled_objects(folder):
    torch.save(tensors_of(folder), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    reads_the_same(folder)


def test_names_without_the_prefix_stored_masks_and_a_stored_head(folder):
    """As old checkpoints on the Hub have it: gpt2 itself is stored like this."""
    bare = {name.removeprefix("transformer."): tensor for name, tensor in tensors_of(folder).items()}
    for layer in range(TINY.layers):
        bare[f"h.{layer}.attn.bias"] = torch.ones(1, 1, 24, 24).tril()
        bare[f"h.{layer}.attn.masked_bias"] = torch.tensor(-1e4)
    rewrite(folder, bare | {"lm_head.weight": bare["wte.weight"].clone()})
    reads_the_same(folder)


def test_a_compiled_or_wrapped_models_names(folder):
    rewrite(folder, {f"_orig_mod.module.{name}": tensor for name, tensor in tensors_of(folder).items()})
    reads_the_same(folder)


def test_an_own_head_is_read_and_written(tmp_path):
    model = language_model(replace(TINY, tied_head=False))
    write_model(tmp_path / "model", model)
    assert torch.equal(logits(read_model(tmp_path / "model")), logits(model))


def test_half_precision_weights_are_read_into_fp32(folder):
    rewrite(folder, {name: tensor.bfloat16() for name, tensor in tensors_of(folder).items()})
    model = read_model(folder)
    assert all(parameter.dtype == torch.float32 for parameter in model.parameters())
    assert (logits(model) - EXPECTED).abs().max() < 0.1 * EXPECTED.abs().max()


def test_a_run_folder_is_its_model(folder, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(folder, run / "model")
    (run / "run.json").write_text("{}")
    reads_the_same(run)
    shutil.rmtree(run / "model")
    with pytest.raises(UserError, match="this run has no model yet"):
        find_model(run)


def test_the_weight_hash_follows_the_weights(folder, tmp_path):
    before = weight_hash(folder)
    assert weight_hash(folder) == before
    tensors = tensors_of(folder)
    tensors["transformer.ln_f.bias"][0] += 1
    rewrite(folder, tensors)
    assert weight_hash(folder) != before


def test_a_tied_weight_stored_under_the_heads_name_alone_is_read(folder):
    """As safetensors' save_model writes it."""
    tensors = tensors_of(folder)
    tensors["lm_head.weight"] = tensors.pop("transformer.wte.weight")
    rewrite(folder, tensors)
    reads_the_same(folder)


@pytest.mark.parametrize(
    "content", [b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", b"<html>", b"{}", b""]
)
def test_what_only_bears_the_name_of_weights_is_damaged_and_nobody_is_told_to_unpickle_it(folder, content):
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(content)
    with pytest.raises(UserError, match="damaged") as caught:
        read_model(folder)
    assert "weights_only=False" not in str(caught.value)


def test_a_checkpoint_of_something_else_is_one_clear_line(folder):
    (folder / "model.safetensors").unlink()
    for content in (
        [1, 2],
        torch.ones(3),
        {1: torch.ones(2)},
        {"wte.weight": "text"},
        {"wte.weight": torch.ones(2, 2).char()},
    ):
        torch.save(content, folder / "pytorch_model.bin")
        with pytest.raises(UserError):
            read_model(folder)


def test_a_missing_tensor_is_named(folder):
    tensors = tensors_of(folder)
    del tensors["transformer.h.1.mlp.c_fc.weight"]
    rewrite(folder, tensors)
    with pytest.raises(UserError, match=r"1 tensor missing: transformer\.h\.1\.mlp\.c_fc\.weight"):
        read_model(folder)


def test_a_misshapen_tensor_is_named_with_both_shapes(folder):
    rewrite(folder, tensors_of(folder), vocab_size=99)
    with pytest.raises(UserError, match=r"wte.weight has the shape \(101, 32\), config.json says \(99, 32\)"):
        read_model(folder)


def test_tensors_without_a_place_are_said_aloud(folder, capsys):
    rewrite(folder, {**tensors_of(folder), "v_head.weight": torch.ones(1, 32)})
    reads_the_same(folder)
    assert "v_head.weight" in capsys.readouterr().err


def test_a_file_cut_short_anywhere_is_damaged_and_never_a_traceback(folder):
    path = folder / "model.safetensors"
    whole = path.read_bytes()
    for size in (0, 4, 100, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:size])
        with pytest.raises(UserError, match="damaged or cut short"):
            read_model(folder)


def test_an_old_file_cut_short_is_damaged(folder):
    torch.save(tensors_of(folder), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    whole = (folder / "pytorch_model.bin").read_bytes()
    for size in (0, 100, len(whole) // 2, len(whole) - 1):
        (folder / "pytorch_model.bin").write_bytes(whole[:size])
        with pytest.raises(UserError, match="damaged or cut short"):
            read_model(folder)


def test_a_folder_without_weights_or_config_says_what_it_misses(folder, tmp_path):
    (folder / "model.safetensors").unlink()
    with pytest.raises(UserError, match="no weights here"):
        read_model(folder)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"no config\.json here"):
        read_model(tmp_path / "empty")


def test_a_path_that_does_not_exist_is_not_taken_for_a_hub_id():
    with pytest.raises(UserError, match="no such model folder"):
        read_model("./runs/nowhere")


def test_a_model_is_never_written_over(folder):
    with pytest.raises(UserError, match="exists already"):
        write_model(folder, language_model())


@pytest.mark.real_data
def test_a_real_checkpoint_of_the_hub(real_data):
    place = real_data / "tiny-gpt2"
    model = read_model(place)
    assert sum(layout.take(n, p, 50257).numel() for n, p in layout.parameters(model).items()) == 102_714
    with torch.no_grad():
        assert torch.isfinite(model(IDS)[..., :50257]).all()
