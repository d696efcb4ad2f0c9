"""Our blocks in four bits are transformers' with bitsandbytes, and an adapter trained on them opens in PEFT there."""

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, BitsAndBytesConfig

from command_line import gpt2lab
from gpt2lab.model import quantised
from gpt2lab.model.reading import read_language_model, read_model
from gpt2lab.model.settings import QloraSettings
from gpt2lab.model.writing import write_model
from gpt2lab.text.corpus import open_corpus
from models import TINY, language_model, random_ids

peft = pytest.importorskip("peft")
pytest.importorskip("bitsandbytes")
SHAPE = ["model.layers=2", "model.heads=2", "model.width=64", "model.context=64"]
SHORT = ["train.epochs=none", "train.steps=4", "train.batch_rows=8", "train.precision=fp32", "train.learning_rate=1e-2"]


def in_four_bits(kind, folder, double=True, **more):
    """In training mode, without dropout: evaluating, bitsandbytes computes in bf16 on CPUs with AVX512-BF16."""
    how = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=double,
        bnb_4bit_compute_dtype=torch.float32,
        llm_int8_skip_modules=["lm_head", "score"],
    )
    no_dropout = {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0}
    place = {"device_map": "cpu", "dtype": torch.float32}
    return kind.from_pretrained(folder, quantization_config=how, **place, **no_dropout, **more).train()


def close(ours, theirs):
    return (ours - theirs).abs().max() < 1e-5 * theirs.abs().max()


@pytest.mark.parametrize("double", [True, False])
def test_logits_on_a_quantised_base(tmp_path, double):
    from dataclasses import replace

    model = language_model(replace(TINY, width=64))
    write_model(tmp_path / "base", model)
    untouched = model(random_ids(2, 20))[..., : TINY.vocabulary]
    quantised.quantise(model, QloraSettings(double_quantisation=double))
    ours = model(random_ids(2, 20))[..., : TINY.vocabulary]
    theirs = in_four_bits(AutoModelForCausalLM, tmp_path / "base", double)(random_ids(2, 20)).logits
    assert close(ours, theirs)
    assert not close(untouched, theirs)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("qlora")
    prepare = ["--tokenizer", "builtin", "prepare.vocabulary=500"]
    assert gpt2lab("prepare", "builtin:fantasy", "--out", folder / "text", *prepare) == 0
    assert gpt2lab("prepare", "builtin:topics", "--out", folder / "labels", "--tokenizer", folder / "text") == 0
    limits = ["train.steps=4", "train.batch_rows=8", "train.precision=fp32"]
    assert gpt2lab("pretrain", "--data", folder / "text", "--out", folder / "base", *SHAPE, *limits) == 0
    return folder


def tuned(place, task, *more):
    given = ["--base", place / "base", "--data", place / task, "--task", task, "--method", "qlora"]
    out = place / f"tuned-{task}-{len(more)}"
    assert gpt2lab("finetune", *given, "--out", out, *SHORT, *more) == 0
    return out / "model"


@pytest.mark.parametrize("more", [[], ["lora.targets=all", "lora.rank=3"]])
def test_an_adapter_for_text_opens_in_peft_on_either_base(place, more):
    adapter, base = tuned(place, "text", *more), place / "base" / "model"
    ids = torch.arange(3, 40)[None]
    plain = peft.PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), adapter)(ids).logits
    packed = peft.PeftModel.from_pretrained(in_four_bits(AutoModelForCausalLM, base), adapter).train()(ids).logits
    assert close(read_language_model(adapter)(ids)[..., :500], packed)
    assert close(read_language_model(adapter, into_original=True)(ids)[..., :500], plain)
    assert not close(plain, packed)


def test_an_adapter_for_labels_opens_in_peft_on_either_base(place):
    adapter, base = tuned(place, "labels"), place / "base" / "model"
    classes = len(open_corpus(place / "labels").manifest["labels"])
    ids = torch.arange(3, 30)[None]
    kind = AutoModelForSequenceClassification
    plain = peft.PeftModel.from_pretrained(kind.from_pretrained(base, num_labels=classes), adapter)(ids).logits
    on_packed = in_four_bits(kind, base, num_labels=classes)
    packed = peft.PeftModel.from_pretrained(on_packed, adapter).train()(ids).logits
    assert close(read_model(adapter)(ids), packed)
    assert close(read_model(adapter, into_original=True)(ids), plain)
