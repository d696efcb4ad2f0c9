"""`finetune --method qlora`: a run like any other, on a base in four bits."""

import shutil

import pytest
import torch

from command_line import gpt2lab, last_json
from gpt2lab.core import files, hardware, lines
from gpt2lab.core.errors import UserError
from gpt2lab.model import quantised
from gpt2lab.model.reading import read_language_model, read_model, tokenizer_of
from gpt2lab.study import methods
from gpt2lab.study.settings import TuneDataSettings, TuneSettings
from gpt2lab.train import checkpoint

bitsandbytes = pytest.importorskip("bitsandbytes")
SHAPE = ["model.layers=2", "model.heads=2", "model.width=64", "model.context=64"]
SHORT = ["train.epochs=none", "train.batch_rows=8", "train.learning_rate=1e-2"]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A base, and two corpora with its tokenizer."""
    folder = tmp_path_factory.mktemp("qlora")
    prepare = ["--tokenizer", "builtin", "prepare.vocabulary=500"]
    assert gpt2lab("prepare", "builtin:fantasy", "--out", folder / "text", *prepare) == 0
    assert gpt2lab("prepare", "builtin:topics", "--out", folder / "labels", "--tokenizer", folder / "text") == 0
    limits = ["train.steps=4", "train.batch_rows=8", "train.precision=fp32"]
    assert gpt2lab("pretrain", "--data", folder / "text", "--out", folder / "base", *SHAPE, *limits) == 0
    return folder


def tune(place, out, *more, task="text", method="qlora"):
    given = ["--base", place / "base", "--data", place / task, "--task", task, "--method", method]
    return gpt2lab("finetune", *given, "--out", out, *SHORT, *more)


def metrics(out):
    return list(lines.read(out / "metrics.jsonl"))


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("task", ["text", "labels"])
def test_it_learns_and_is_evaluated_in_between(place, tmp_path, task, precision):
    """Train, evaluate, train: the way on which bitsandbytes' own layer fails on CPUs with AVX512-BF16."""
    more = ["train.steps=12", "train.validate_every=3", "lora.targets=all", f"train.precision={precision}"]
    assert tune(place, tmp_path / "run", *more, task=task) == 0
    found = [record["validation_loss"] for record in metrics(tmp_path / "run") if "validation_loss" in record]
    assert len(found) == 4
    assert found[-1] < found[0]
    packed = files.read_json(tmp_path / "run" / "model" / "gpt2lab.json")["quantised"]
    assert packed == {"format": "nf4", "block_size": 64, "double_quantisation": True}


@pytest.mark.parametrize("task", ["text", "labels"])
def test_a_run_that_was_interrupted_ends_as_if_it_never_was(place, tmp_path, task):
    more = ["train.steps=6", "train.checkpoint_every=3", "train.validate_every=2", "train.precision=bf16"]
    more += ["train.keep=9", "lora.dropout=0.1"]
    assert tune(place, tmp_path / "straight", *more, task=task) == 0
    run = tmp_path / "run"
    shutil.copytree(tmp_path / "straight", run)
    files.write_json(run / "run.json", {**files.read_json(run / "run.json"), "state": "unfinished"})
    shutil.rmtree(run / "model")
    for step in (4, 5, 6):
        shutil.rmtree(checkpoint.folder_of(run / "checkpoints", step), ignore_errors=True)
    assert gpt2lab("finetune", "--resume", "--out", run) == 0
    assert metrics(run) == metrics(tmp_path / "straight")
    one, other = read_model(run), read_model(tmp_path / "straight")
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters()))


def test_a_checkpoint_holds_nothing_but_what_moves(place, tmp_path):
    assert tune(place, tmp_path / "run", "train.steps=2", task="labels") == 0
    stored = checkpoint.newest(tmp_path / "run" / "checkpoints").weights()
    assert all("lora_" in name or name == "score.weight" for name in stored)


def test_what_is_read_is_the_model_that_was_trained(place, tmp_path):
    """The last validation looked at the packed model; the folder gives the same loss."""
    from gpt2lab.text.batches import Blocks
    from gpt2lab.text.corpus import open_corpus
    from gpt2lab.train.validation import summed_loss

    more = ["train.steps=4", "train.validate_every=4", "train.precision=fp32"]
    assert tune(place, tmp_path / "run", *more) == 0
    held_out = Blocks(open_corpus(place / "text").split("validation"), 64)
    total, scored = summed_loss(read_language_model(tmp_path / "run"), held_out)
    assert total / scored == pytest.approx(metrics(tmp_path / "run")[-1]["validation_loss"], rel=1e-6)
    total, scored = summed_loss(read_language_model(tmp_path / "run", into_original=True), held_out)
    assert total / scored != pytest.approx(metrics(tmp_path / "run")[-1]["validation_loss"], rel=1e-6)


def test_the_base_of_a_reading_is_dequantised_and_the_adapter_is_added(place, tmp_path):
    assert tune(place, tmp_path / "run", "train.steps=2", "qlora.block_size=32", "qlora.double_quantisation=false") == 0
    expected = read_language_model(place / "base")
    quantised.quantise(expected, quantised.QloraSettings(block_size=32, double_quantisation=False))
    quantised.dequantise(expected)
    for name, weight in read_language_model(tmp_path / "run").named_parameters():
        assert torch.equal(weight, expected.get_parameter(name)) != name.endswith("c_attn.weight"), name


def test_parameters_are_announced_as_for_lora_and_take_less_memory(place, tmp_path, capsys):
    said = {}
    for method in ("lora", "qlora"):
        assert tune(place, tmp_path / method, "train.steps=1", "--dry-run", "--json", method=method) == 0
        said[method] = last_json(capsys.readouterr().out)
    assert said["qlora"]["parameters"] == said["lora"]["parameters"]
    assert said["qlora"]["trainable"] == said["lora"]["trainable"]
    assert said["qlora"]["in_four_bits"] == 2 * 12 * 64 * 64
    assert said["lora"]["in_four_bits"] == 0


def test_a_qlora_run_can_be_the_base_of_the_next(place, tmp_path):
    assert tune(place, tmp_path / "first", "train.steps=2") == 0
    more = ["--base", tmp_path / "first", "train.steps=2"]
    assert tune(place, tmp_path / "second", *more) == 0
    assert files.read_json(tmp_path / "second" / "run.json")["base"]["path"] == str(tmp_path / "first")
    read_language_model(tmp_path / "second")


def test_a_block_size_that_does_not_fit_is_one_line_before_training(place, tmp_path, capsys):
    assert tune(place, tmp_path / "run", "train.steps=2", "qlora.block_size=128") == 2
    assert "which is no multiple of qlora.block_size (128)" in capsys.readouterr().err
    assert tune(place, tmp_path / "run", "train.steps=2", "qlora.block_size=48") == 2
    assert "qlora.block_size" in capsys.readouterr().err
    assert not (tmp_path / "run" / "run.json").exists()


def test_mps_is_refused(place, monkeypatch):
    monkeypatch.setattr(hardware, "choose_device", lambda wanted: torch.device("mps"))
    settings = TuneSettings(base="", data=TuneDataSettings(source=""), method="qlora")
    with pytest.raises(UserError, match="not on mps"):
        methods.apply(settings, read_model(place / "base"), tokenizer_of(place / "base" / "model"))


def test_an_adapter_quantised_in_an_unknown_way_is_refused(place, tmp_path, capsys):
    assert tune(place, tmp_path / "run", "train.steps=1") == 0
    about = tmp_path / "run" / "model" / "gpt2lab.json"
    files.write_json(about, {**files.read_json(about), "quantised": {"format": "nf2"}})
    assert gpt2lab("generate", tmp_path / "run", "--prompt", "x") == 2
    assert "quantised in an unknown way" in capsys.readouterr().err


def test_pissa_needs_weights_that_can_change(place, tmp_path, capsys):
    assert tune(place, tmp_path / "run", "train.steps=1", "lora.pissa=true") == 2
    assert "PiSSA takes its start out of the weights" in capsys.readouterr().err


def test_merging_is_exact_on_what_the_packed_weights_stand_for_and_measured_on_the_original(place, tmp_path, capsys):
    assert tune(place, tmp_path / "run", "train.steps=2") == 0
    moved = {}
    for name, more in {"exact": [], "original": ["--into-original"]}.items():
        capsys.readouterr()
        assert gpt2lab("merge", tmp_path / "run", "--out", tmp_path / name, "--json", *more) == 0
        moved[name] = last_json(capsys.readouterr().out)["logits_moved"]
    assert moved["exact"] < 1e-5
    assert moved["original"] > 1e-3


@pytest.mark.parametrize("task", ["text", "labels"])
def test_it_opens_in_peft_on_a_base_in_four_bits(place, tmp_path, task):
    """What transformers packs is bit for bit what ours stood on; on the weights before packing the logits differ."""
    import peft
    import transformers

    assert tune(place, tmp_path / "run", "train.steps=3", "lora.targets=all", "train.precision=fp32", task=task) == 0
    kind = {
        "text": transformers.AutoModelForCausalLM,
        "labels": transformers.AutoModelForSequenceClassification,
    }[task]
    ours, ids = read_model(tmp_path / "run"), torch.arange(3, 40)[None]
    more = {} if task == "text" else {"num_labels": len(ours.config.labels), "pad_token_id": 0}
    four_bits = transformers.BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True
    )
    base = place / "base" / "model"
    packed = kind.from_pretrained(base, quantization_config=four_bits, **more)
    theirs = kind.from_pretrained(base, **more)
    for name, module in packed.named_modules():
        if "Linear4bit" in type(module).__name__ and ".h." in name:
            weight = bitsandbytes.functional.dequantize_4bit(module.weight.data, module.weight.quant_state)
            theirs.get_submodule(name).weight.data = weight.float().t().contiguous()
    logits = {}
    for name, model in (("in four bits", theirs), ("as it was", kind.from_pretrained(base, **more))):
        logits[name] = peft.PeftModel.from_pretrained(model, tmp_path / "run" / "model").eval()(ids).logits.detach()
    found = ours(ids).detach()[..., : logits["as it was"].shape[-1]]
    moved = {name: float((found - theirs).abs().max() / found.abs().max()) for name, theirs in logits.items()}
    assert moved["in four bits"] < 1e-5
    assert moved["as it was"] > 1e-3
