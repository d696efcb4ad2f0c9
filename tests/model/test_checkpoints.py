"""nanoGPT's and llm.c's checkpoints, written here as those programs write them, and nothing unpickled."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from gpt2lab.core.errors import UserError
from gpt2lab.model.config import GPT2Config
from gpt2lab.model.reading import read_model
from models import TINY, language_model, random_ids

IDS = random_ids(2, 12)


def logits(model, vocabulary=TINY.vocabulary):
    with torch.no_grad():
        return model(IDS)[..., :vocabulary]


def nanogpt(path, model, prefix="", bias=True, **arguments):
    config = model.config
    state = {prefix + name: p.detach().clone() for name, p in model.named_parameters()}
    state[prefix + "lm_head.weight"] = state[prefix + "transformer.wte.weight"]
    if not bias:
        state = {name: tensor for name, tensor in state.items() if not name.endswith(".bias")}
    model_args = {
        "n_layer": config.layers,
        "n_head": config.heads,
        "n_embd": config.width,
        "block_size": config.context,
        "bias": bias,
        "vocab_size": config.vocabulary,
        "dropout": 0.0,
        **arguments,
    }
    torch.save({"model": state, "model_args": model_args, "iter_num": 5, "config": {"out_dir": "x"}}, path)


EXACT_GELU = replace(TINY, activation="gelu", start_of_text=None, end_of_text=None)


@pytest.mark.parametrize("prefix", ["", "_orig_mod."])
def test_nanogpt(tmp_path, prefix):
    model = language_model(EXACT_GELU, vocabulary_multiple=1)
    nanogpt(tmp_path / "ckpt.pt", model, prefix)
    found = read_model(tmp_path / "ckpt.pt")
    assert found.config == EXACT_GELU
    torch.testing.assert_close(logits(found), logits(model))


def test_nanogpt_without_biases_is_the_same_function(tmp_path):
    model = language_model(EXACT_GELU, vocabulary_multiple=1)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith(".bias"):
                parameter.zero_()
    nanogpt(tmp_path / "ckpt.pt", model, bias=False)
    torch.testing.assert_close(logits(read_model(tmp_path / "ckpt.pt")), logits(model))


def test_nanogpts_padded_vocabulary_is_cut_to_gpt2s(tmp_path, capsys):
    padded = replace(EXACT_GELU, layers=1, width=8, vocabulary=50304)
    nanogpt(tmp_path / "ckpt.pt", language_model(padded, vocabulary_multiple=1))
    found = read_model(tmp_path / "ckpt.pt")
    assert found.config.vocabulary == 50257
    assert found.config.end_of_text == 50256
    assert "47 unused rows" in capsys.readouterr().out


@dataclass
class PickledConfig:
    n_layer: int = 1


def test_a_checkpoint_with_pickled_objects_is_refused_with_the_line_that_converts_it(tmp_path):
    """build-nanogpt stores its configuration as a Python object; opening that could run anything."""
    torch.save({"model": {}, "config": PickledConfig()}, tmp_path / "model.pt")
    with pytest.raises(UserError, match="pickled Python objects") as caught:
        read_model(tmp_path / "model.pt")
    assert "torch.load" in caught.value.way_out


def test_the_line_that_converts_build_nanogpts_checkpoint_gives_the_same_model(tmp_path):
    """That program uses GELU's tanh form where nanoGPT uses the exact one."""
    import shlex
    import subprocess
    import sys

    code = (
        "import dataclasses, sys, torch; sys.path[:0] = [{tests!r}]; from models import TINY, language_model\n"
        "class Config: pass\n"
        "c = Config(); c.__dict__.update(n_layer=3, n_head=4, n_embd=32, block_size=24, vocab_size=101)\n"
        "torch.save({{'model': language_model(TINY, 1).state_dict(), 'config': c}}, {path!r})\n"
    )
    path = tmp_path / "model.pt"
    module = tmp_path / "train.py"
    module.write_text(
        code.format(tests=str(Path(__file__).parent.parent), path=str(path)).replace("class Config", "class Config")
    )
    (tmp_path / "program.py").write_text("class Config: pass\n")
    module.write_text(module.read_text().replace("class Config: pass\n", "from program import Config\n"))
    subprocess.run([sys.executable, module], check=True, cwd=tmp_path)
    with pytest.raises(UserError, match="pickled") as caught:
        read_model(path)
    line = shlex.split(caught.value.way_out.partition(": ")[2])
    subprocess.run([sys.executable, *line[1:]], check=True, cwd=tmp_path)
    torch.testing.assert_close(logits(read_model(tmp_path / "model.plain.pt")), logits(language_model(TINY, 1)))


def test_opening_a_hostile_checkpoint_runs_nothing(tmp_path):
    class Hostile:
        def __reduce__(self):
            return (open, (str(tmp_path / "written"), "w"))

    torch.save({"model": Hostile()}, tmp_path / "model.pt")
    with pytest.raises(UserError):
        read_model(tmp_path / "model.pt")
    assert not (tmp_path / "written").exists()


KINDS = ("ln_1.weight", "ln_1.bias", "attn.c_attn.weight", "attn.c_attn.bias", "attn.c_proj.weight", "attn.c_proj.bias")
KINDS += ("ln_2.weight", "ln_2.bias", "mlp.c_fc.weight", "mlp.c_fc.bias", "mlp.c_proj.weight", "mlp.c_proj.bias")


def llmc(path, model, version):
    config: GPT2Config = model.config
    state = dict(model.named_parameters())
    header = np.zeros(256, "<i4")
    padded = len(state["transformer.wte.weight"])
    header[:8] = (
        20240326, version, config.context, config.vocabulary, config.layers, config.heads, config.width, padded,
    )  # fmt: skip
    names = ["transformer.wte.weight", "transformer.wpe.weight"]
    names += [f"transformer.h.{layer}.{kind}" for kind in KINDS for layer in range(config.layers)]
    names += ["transformer.ln_f.weight", "transformer.ln_f.bias"]
    dtype = {3: torch.float32, 5: torch.bfloat16}[version]
    with path.open("wb") as file:
        file.write(header.tobytes())
        for name in names:
            file.write(state[name].detach().to(dtype).contiguous().view(torch.uint8).numpy().tobytes())


def test_llmc_fp32(tmp_path):
    config = replace(TINY, start_of_text=None, end_of_text=None)
    model = language_model(config, vocabulary_multiple=128)
    llmc(tmp_path / "gpt2.bin", model, 3)
    found = read_model(tmp_path / "gpt2.bin")
    assert found.config == config
    torch.testing.assert_close(logits(found), logits(model))


def test_llmc_bf16(tmp_path):
    model = language_model(vocabulary_multiple=128)
    llmc(tmp_path / "gpt2.bin", model, 5)
    rounded = model.bfloat16().float()
    torch.testing.assert_close(logits(read_model(tmp_path / "gpt2.bin")), logits(rounded))


def test_llmc_cut_short_or_of_another_version_is_said(tmp_path):
    path = tmp_path / "gpt2.bin"
    llmc(path, language_model(vocabulary_multiple=128), 3)
    whole = path.read_bytes()
    for size in (500, len(whole) - 4):
        path.write_bytes(whole[:size])
        with pytest.raises(UserError, match="cut short"):
            read_model(path)
    path.write_bytes(whole[:4] + (1).to_bytes(4, "little") + whole[8:])
    with pytest.raises(UserError, match="version 1 is not known"):
        read_model(path)


def test_any_other_file_is_no_model(tmp_path):
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(UserError, match="not a model"):
        read_model(tmp_path / "notes.txt")
    torch.save({"weights": torch.ones(2)}, tmp_path / "other.pt")
    with pytest.raises(UserError, match="not a nanoGPT checkpoint"):
        read_model(tmp_path / "other.pt")
