"""An adapter we trained opens in PEFT on transformers' GPT-2, with the logits that we compute."""

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification

from command_line import gpt2lab, last_json
from gpt2lab.core import files, lines
from gpt2lab.model import lora
from gpt2lab.model.reading import read_language_model, read_model, read_with_adapter
from gpt2lab.model.settings import LoraSettings
from gpt2lab.text.corpus import open_corpus

peft = pytest.importorskip("peft")
SHAPE = ["model.layers=2", "model.heads=2", "model.width=16", "model.context=64", "train.precision=fp32"]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A base, and two corpora with its tokenizer."""
    folder = tmp_path_factory.mktemp("adapters")
    prepare = ["--tokenizer", "builtin", "prepare.vocabulary=500"]
    assert gpt2lab("prepare", "builtin:fantasy", "--out", folder / "text", *prepare) == 0
    assert gpt2lab("prepare", "builtin:topics", "--out", folder / "labels", "--tokenizer", folder / "text") == 0
    limits = ["train.steps=4", "train.batch_rows=8"]
    assert gpt2lab("pretrain", "--data", folder / "text", "--out", folder / "base", *SHAPE, *limits) == 0
    return folder


def tune(place, name, task, method, *more):
    given = ["--base", place / "base", "--data", place / task, "--task", task, "--method", method]
    limits = [
        "train.epochs=none",
        "train.steps=3",
        "train.batch_rows=8",
        "train.precision=fp32",
        "train.learning_rate=1e-2",
    ]
    assert gpt2lab("finetune", *given, "--out", place / name, *limits, *more) == 0
    return place / name / "model"


@pytest.mark.parametrize(
    "more",
    [
        [],
        ["lora.targets=all", "lora.rank=3"],
        ["lora.rslora=true"],
        ["lora.dora=true"],
        ["lora.pissa=true", "lora.rank=3", "lora.targets=all"],
        ["lora.pissa=true", "lora.rslora=true", "lora.rank=2"],
    ],
)
def test_a_language_model(place, more):
    name = "-".join(["text", *more]).replace("=", "-")
    adapter = tune(place, name, "text", "lora", *more)
    ids = torch.arange(3, 40)[None]
    ours = read_language_model(adapter)(ids)[..., :500]
    base = AutoModelForCausalLM.from_pretrained(place / "base" / "model")
    untouched = base(ids).logits.detach()
    theirs = peft.PeftModel.from_pretrained(base, adapter)(ids).logits
    assert (ours - theirs).abs().max() < 1e-5 * theirs.abs().max()
    assert (theirs - untouched).abs().max() > 1e-4 * theirs.abs().max()


@pytest.mark.parametrize(
    "more",
    [
        [],
        ["lora.targets=all"],
        ["lora.rslora=true"],
        ["lora.dora=true", "lora.targets=all"],
        ["lora.pissa=true", "lora.rank=3", "lora.targets=all"],
    ],
)
def test_a_classifier(place, more):
    adapter = tune(place, "-".join(["classes", *more]).replace("=", "-"), "labels", "lora", *more)
    names = open_corpus(place / "labels").manifest["labels"]
    ours = read_model(adapter)
    assert list(ours.config.labels) == [str(name) for name in names]
    base = AutoModelForSequenceClassification.from_pretrained(place / "base" / "model", num_labels=len(names))
    theirs = peft.PeftModel.from_pretrained(base, adapter)
    ids = torch.arange(3, 30)[None]
    expected = theirs(ids).logits
    assert (ours(ids) - expected).abs().max() < 1e-5 * expected.abs().max()


@pytest.mark.parametrize("more", [["prompt.tokens=5"], ["prompt.tokens=7", "prompt.text=A place in the world:"]])
def test_a_prompt_tuned_language_model(place, more):
    name = "-".join(["prompt", *more]).replace("=", "-").replace(" ", "")
    adapter = tune(place, name, "text", "prompt", *more)
    ids = torch.arange(3, 40)[None]
    ours = read_language_model(adapter)(ids)[..., :500]
    base = AutoModelForCausalLM.from_pretrained(place / "base" / "model")
    untouched = base(ids).logits.detach()
    theirs = peft.PeftModel.from_pretrained(base, adapter)(ids).logits[:, -ids.shape[1] :]
    assert (ours - theirs).abs().max() < 1e-5 * theirs.abs().max()
    assert (theirs - untouched).abs().max() > 1e-4 * theirs.abs().max()


def test_a_prompt_tuned_classifier_one_unpadded_text_at_a_time(place):
    adapter = tune(place, "prompt-classes", "labels", "prompt")
    ours = read_model(adapter)
    base = AutoModelForSequenceClassification.from_pretrained(
        place / "base" / "model", num_labels=len(ours.config.labels)
    )
    theirs = peft.PeftModel.from_pretrained(base, adapter)
    for length in (1, 17, ours.window):
        ids = torch.arange(3, 3 + length)[None]
        expected = theirs(ids).logits
        assert (ours(ids) - expected).abs().max() < 1e-5 * expected.abs().max()


def test_a_prompt_tuned_classifier_says_the_same_under_any_padding(place):
    """PEFT's own does not: it reads the class off a padding token."""
    model = read_model(tune(place, "prompt-padded", "labels", "prompt"))
    texts = [torch.randint(0, 500, (length,)) for length in (3, 11, 20)]
    alone = torch.cat([model(text[None]) for text in texts])
    for side in ("left", "right"):
        ids, mask = torch.zeros(3, 25, dtype=torch.long), torch.zeros(3, 25, dtype=torch.bool)
        for row, text in enumerate(texts):
            where = slice(25 - len(text), 25) if side == "left" else slice(0, len(text))
            ids[row, where], mask[row, where] = text, True
        assert (model(ids, mask) - alone).abs().max() < 1e-5 * alone.abs().max()


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_merged_adapter_is_a_plain_model_and_it_is_said_how_far_logits_moved(place, capsys, precision):
    adapter = tune(place, f"to-merge-{precision}", "text", "lora", "lora.targets=all")
    out = place / f"merged-{precision}"
    assert gpt2lab("merge", adapter.parent, "--out", out, "--precision", precision, "--json") == 0
    moved = last_json(capsys.readouterr().out)["logits_moved"]
    ids = torch.arange(3, 40)[None]
    ours = read_language_model(adapter)(ids)[..., :500]
    plain = AutoModelForCausalLM.from_pretrained(out, dtype="auto")
    assert plain.dtype == {"fp32": torch.float32, "bf16": torch.bfloat16}[precision]
    assert (ours - plain.float()(ids).logits).abs().max() < 3 * max(moved, 1e-6) * ours.abs().max()
    assert moved < 1e-5 if precision == "fp32" else 1e-5 < moved < 0.1


def test_soft_tokens_are_not_merged(place, capsys):
    adapter = tune(place, "soft", "text", "prompt")
    assert gpt2lab("merge", adapter, "--out", place / "never") == 2
    assert "a prompt-tuned model stays an adapter" in capsys.readouterr().err


def test_a_classifiers_records_count_texts(place):
    """They once said tokens, and a utilisation of 0 %."""
    run = tune(place, "counted", "labels", "full").parent
    assert [record["texts"] for record in lines.read(run / "metrics.jsonl")] == [8, 8, 8]


def test_a_classifier_s_adapter_is_measured_by_its_labels_unless_asked_otherwise(place, capsys):
    adapter = tune(place, "by-labels", "labels", "lora")
    assert gpt2lab("evaluate", adapter, "--data", place / "labels", "--json") == 0
    assert last_json(capsys.readouterr().out)["protocol"] == "labels@1"


def test_trainable_parameters_are_the_published_ones():
    from gpt2lab.model import lora
    from gpt2lab.model.config import GPT2Config
    from gpt2lab.model.gpt2 import GPT2, build
    from gpt2lab.model.settings import LoraSettings

    for targets, expected in ((("c_attn",), 294_912), (("all",), 1_179_648)):
        model = build(GPT2, GPT2Config(12, 12, 768))
        lora.add(model, LoraSettings(targets=targets), 1)
        assert sum(p.numel() for p in model.parameters() if p.requires_grad) == expected


def test_partial_tuning_moves_the_published_number_and_leaves_the_rest_bit_for_bit(place):
    from gpt2lab.model.config import GPT2Config
    from gpt2lab.model.gpt2 import GPT2Classifier, build
    from gpt2lab.study import methods
    from gpt2lab.study.settings import TuneSettings
    from gpt2lab.train import groups

    settings = TuneSettings(base="", data={"source": ""}, method="partial", task="labels")
    config = GPT2Config(12, 12, 768, labels=("a", "b", "c", "d"), padding=0)
    model = build(GPT2Classifier, config)
    arranged = settings.train.model_copy(update={"groups": methods.groups(settings, config)})
    groups.freeze(model, arranged)
    assert sum(p.numel() for p in model.parameters() if p.requires_grad) == 42_531_840
    before = read_model(place / "base")
    after = read_model(tune(place, "partial", "text", "partial"))
    for (name, old), new in zip(before.named_parameters(), after.parameters()):
        assert torch.equal(old, new) == name.startswith(("transformer.w", "transformer.h.0.")), name


@pytest.mark.parametrize("task", ["text", "labels"])
def test_a_tuned_model_can_be_the_base_of_the_next(place, task):
    first = tune(place, f"first-{task}", task, "lora")
    given = ["--base", first.parent, "--data", place / task, "--task", task, "--method", "full"]
    limits = ["train.epochs=none", "train.steps=2", "train.batch_rows=8", "train.precision=fp32"]
    assert gpt2lab("finetune", *given, "--out", place / f"second-{task}", *limits) == 0
    assert files.read_json(place / f"second-{task}" / "run.json")["base"]["path"] == str(first.parent)


def test_an_adapter_of_another_base_is_refused(place, capsys):
    adapter = tune(place, "moved", "text", "lora")
    about = files.read_json(adapter / "gpt2lab.json")
    files.write_json(adapter / "gpt2lab.json", {**about, "base_weights": "another"})
    assert gpt2lab("generate", adapter, "--prompt", "x") == 2
    assert "other weights than the one it was tuned on" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["lora.rank=0"], "lora.rank"),
        (["lora.targets=c_magic"], "no linear layer is named 'c_magic'"),
        (['train.groups=[{"match": "*", "frozen": true}]'], "every parameter is frozen"),
    ],
)
def test_what_cannot_be_tuned_is_one_line_before_training(place, tmp_path, capsys, more, message):
    given = ["--base", place / "base", "--data", place / "text", "--method", "lora", "--task", "text"]
    assert gpt2lab("finetune", *given, "--out", tmp_path / "run", *more) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "run" / "run.json").exists()


def test_a_corpus_without_classes_cannot_make_a_classifier(place, tmp_path, capsys):
    given = ["--base", place / "base", "--data", place / "text", "--method", "full", "--task", "labels"]
    assert gpt2lab("finetune", *given, "--out", tmp_path / "run") == 2
    assert "these texts have no labels" in capsys.readouterr().err


@pytest.mark.parametrize("method", ["lora", "prompt"])
def test_an_adapter_on_an_adapter_stands_on_that_one_merged(place, method):
    """PEFT begins from a whole model, so the run keeps one."""
    first = tune(place, f"under-{method}", "text", "lora", "lora.targets=all")
    out, ids = place / f"over-{method}", torch.arange(3, 40)[None]
    given = ["--base", first, "--data", place / "text", "--method", method, "--out", out]
    assert gpt2lab("finetune", *given, "train.steps=3", "train.batch_rows=8", "train.precision=fp32") == 0
    stored = files.read_json(out / "model" / "adapter_config.json")["base_model_name_or_path"]
    theirs = peft.PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(stored), out / "model")(ids).logits
    ours = read_language_model(out)(ids)[..., :500]
    theirs = theirs[:, -ids.shape[1] :]  # after soft tokens, where there are any
    assert (ours - theirs).abs().max() < 1e-5 * theirs.abs().max()
    (out / "base").rename(out / "gone")
    assert gpt2lab("generate", out, "--prompt", "x", "--max-new-tokens", "2") != 0  # it is what the adapter stands on


def test_pissa_has_no_more_directions_than_the_matrix(place, tmp_path, capsys):
    given = ["--base", place / "base", "--data", place / "text", "--method", "lora", "--out", tmp_path / "run"]
    assert gpt2lab("finetune", *given, "lora.pissa=true", "lora.rank=20") == 2
    assert (
        "lora.rank is 20, and PiSSA begins with a matrix's own directions, 16 here at most" in capsys.readouterr().err
    )
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *(("alpha_pattern", {"c_attn": 4}), ("rank_pattern", {"c_attn": 4}), ("alora_invocation_tokens", [1, 2])),
        *(
            ("bias", "all"),
            ("use_qalora", True),
            ("layers_to_transform", 0),
            ("revision", "v2"),
            ("a_setting_of_next_year", 0.5),
        ),
    ],
)
def test_an_adapter_that_is_more_than_low_rank_matrices_is_refused(place, key, value, capsys):
    """To pass over what it asks for would be wrong logits in silence."""
    adapter = tune(place, f"own-{key}", "text", "lora")
    stored = files.read_json(adapter / "adapter_config.json")
    files.write_json(adapter / "adapter_config.json", {**stored, key: value})
    assert gpt2lab("generate", adapter, "--prompt", "x") == 2
    assert f"this adapter uses PEFT's {key}" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        *(("r", None, "the adapter's r is None"), ("r", "8", "the adapter's r is '8'")),
        *(("lora_alpha", 0, "lora_alpha is 0"), ("target_modules", None, "target_modules is None")),
        ("base_model_name_or_path", None, "does not say which model it stands on"),
    ],
)
def test_a_setting_that_an_adapter_cannot_be_without_is_asked_for_in_one_line(place, capsys, key, value, message):
    adapter = tune(place, f"without-{key}-{value}", "text", "lora")
    (adapter / "gpt2lab.json").unlink()
    stored = files.read_json(adapter / "adapter_config.json")
    files.write_json(adapter / "adapter_config.json", {**stored, key: value})
    assert gpt2lab("generate", adapter, "--prompt", "x") == 2
    assert message in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize("method", ["lora", "prompt"])
def test_an_adapters_file_that_is_cut_short_or_not_there_is_one_line(place, capsys, method):
    adapter = tune(place, f"damaged-{method}", "text", method)
    file = adapter / "adapter_model.safetensors"
    whole = file.read_bytes()
    for size in (0, 100, len(whole) - 1):
        file.write_bytes(whole[:size])
        assert gpt2lab("generate", adapter, "--prompt", "x") == 2
        assert "damaged or cut short" in capsys.readouterr().err
    file.rename(adapter / "adapter_model.bin")
    assert gpt2lab("generate", adapter, "--prompt", "x") == 2
    assert "the adapter has no adapter_model.safetensors" in capsys.readouterr().err


def test_every_setting_that_peft_leaves_alone_is_read_over(place):
    """Also those that are new in the PEFT that is here."""
    adapter = tune(place, "all-settings", "text", "lora")
    stored = files.read_json(adapter / "adapter_config.json")
    settings = {key: value for key, value in peft.LoraConfig().to_dict().items() if key not in stored}
    files.write_json(adapter / "adapter_config.json", {**settings, **stored, "enable_lora": None})
    assert read_language_model(adapter)


def test_targets_that_are_an_expression_are_read_as_peft_does(place):
    adapter = tune(place, "expressed", "text", "lora", "lora.targets=all")
    ids, expected = torch.arange(3, 40)[None], read_language_model(adapter)
    stored = files.read_json(adapter / "adapter_config.json")
    files.write_json(adapter / "adapter_config.json", {**stored, "target_modules": r".*\.(attn|mlp)\.c_(attn|proj|fc)"})
    assert torch.equal(read_language_model(adapter)(ids), expected(ids))


@pytest.mark.parametrize("method", ["lora", "prompt"])
def test_peft_and_transformers_find_the_base_by_themselves(place, method):
    adapter, ids = tune(place, f"alone-{method}", "text", method), torch.arange(3, 40)[None]
    theirs = [peft.AutoPeftModelForCausalLM.from_pretrained(adapter)(ids).logits[:, -37:]]
    if method == "lora":
        theirs.append(AutoModelForCausalLM.from_pretrained(adapter)(ids).logits)
    ours = read_language_model(adapter)(ids)[..., :500]
    for logits in theirs:
        assert (ours - logits).abs().max() < 1e-5 * logits.abs().max()


@pytest.mark.parametrize("task", ["text", "labels"])
def test_an_adapter_that_peft_made_opens_here(place, tmp_path, task):
    """It names its base, and has neither a config.json nor a tokenizer."""
    kind = {"text": AutoModelForCausalLM, "labels": AutoModelForSequenceClassification}[task]
    more = {} if task == "text" else {"num_labels": 3, "pad_token_id": 0}
    settings = peft.LoraConfig(
        r=3,
        target_modules=["c_attn", "c_fc"],
        fan_in_fan_out=True,
        task_type={"text": "CAUSAL_LM", "labels": "SEQ_CLS"}[task],
    )
    theirs = peft.get_peft_model(kind.from_pretrained(place / "base" / "model", **more), settings).eval()
    with torch.no_grad():
        for name, parameter in theirs.named_parameters():
            if "lora_B" in name:
                parameter.normal_(0, 0.3, generator=torch.Generator().manual_seed(len(name)))
    theirs.save_pretrained(tmp_path / "theirs")
    ours, ids = read_model(tmp_path / "theirs"), torch.arange(3, 40)[None]
    logits = theirs(ids).logits
    assert (ours(ids)[..., : logits.shape[-1]] - logits).abs().max() < 1e-5 * logits.abs().max()
    assert len(ours.config.labels) == (0 if task == "text" else 3)
    verb = (
        ["generate", tmp_path / "theirs", "--prompt", "x"]
        if task == "text"
        else ["predict", tmp_path / "theirs", "--text", "x"]
    )
    assert gpt2lab(*verb) == 0


@pytest.mark.parametrize("more", [{"use_dora": True}, {"use_rslora": True}, {"init_lora_weights": "orthogonal"}])
def test_what_peft_saves_is_read_and_what_is_saved_again_opens_in_peft(place, tmp_path, more):
    settings = peft.LoraConfig(r=4, target_modules=["c_attn", "c_proj"], task_type="CAUSAL_LM", **more)
    base = place / "base" / "model"
    theirs = peft.get_peft_model(AutoModelForCausalLM.from_pretrained(base), settings).eval()
    with torch.no_grad():
        for name, parameter in theirs.named_parameters():
            if "lora_" in name:
                parameter.add_(0.3 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(len(name))))
    theirs.save_pretrained(tmp_path / "theirs")
    ids = torch.arange(3, 40)[None]
    expected = theirs(ids).logits
    ours = read_with_adapter(tmp_path / "theirs")
    kept = LoraSettings(rank=4, rslora="use_rslora" in more, dora="use_dora" in more)
    lora.write(tmp_path / "ours", ours, kept, str(base))
    again = peft.AutoPeftModelForCausalLM.from_pretrained(tmp_path / "ours")(ids).logits
    for logits in (ours(ids)[..., :500], again):
        assert (logits - expected).abs().max() < 1e-5 * expected.abs().max()
    names = [load_file(tmp_path / who / "adapter_model.safetensors").keys() for who in ("theirs", "ours")]
    assert names[0] == names[1]


def test_magnitudes_under_the_name_they_once_had_here_are_read(place):
    adapter = tune(place, "old-dora", "text", "lora", "lora.dora=true")
    ids, expected = torch.arange(3, 40)[None], read_language_model(adapter)
    file = adapter / "adapter_model.safetensors"
    longer = {f"{name}.weight" if name.endswith("vector") else name: tensor for name, tensor in load_file(file).items()}
    save_file(longer, file)
    assert any(name.endswith("vector.weight") for name in longer)
    assert torch.equal(read_language_model(adapter)(ids), expected(ids))


@pytest.mark.parametrize("start", ["pissa", "olora"])
def test_an_adapter_whose_start_changed_peft_s_base_is_refused(place, tmp_path, capsys, start):
    """On the base as it was its logits would be wrong by a tenth, in silence."""
    settings = peft.LoraConfig(
        r=3, target_modules=["c_attn"], fan_in_fan_out=True, task_type="CAUSAL_LM", init_lora_weights=start
    )
    base = AutoModelForCausalLM.from_pretrained(place / "base" / "model")
    peft.get_peft_model(base, settings).save_pretrained(tmp_path / "theirs")
    assert gpt2lab("generate", tmp_path / "theirs", "--prompt", "x") == 2
    assert f"PEFT's {start}" in capsys.readouterr().err


def test_an_adapter_for_a_model_of_another_width_is_one_line(place, tmp_path, capsys):
    """Of one that PEFT made nothing but its shapes says so."""
    adapter = tune(place, "too-narrow", "text", "lora")
    shape = [word.replace("width=16", "width=32") for word in SHAPE]
    limits = ["--data", place / "text", "--out", tmp_path / "wide", "train.steps=1", "train.batch_rows=8"]
    assert gpt2lab("pretrain", *limits, *shape) == 0
    (adapter / "gpt2lab.json").unlink()
    stored = files.read_json(adapter / "adapter_config.json")
    wide = str(tmp_path / "wide" / "model")
    files.write_json(adapter / "adapter_config.json", {**stored, "base_model_name_or_path": wide})
    for verb in (["generate", adapter, "--prompt", "x"], ["merge", adapter, "--out", tmp_path / "merged"]):
        assert gpt2lab(*verb) == 2
        assert "the adapter is for another base" in capsys.readouterr().err


def test_a_base_that_was_moved_is_named_as_such(place, tmp_path, capsys):
    given = ["--data", place / "text", "--out", tmp_path / "base", "train.steps=1", "train.batch_rows=8"]
    assert gpt2lab("pretrain", *given, *SHAPE) == 0
    more = ["--data", place / "text", "--method", "lora", "train.steps=1", "train.epochs=none"]
    assert gpt2lab("finetune", "--base", tmp_path / "base", *more, "--out", tmp_path / "run") == 0
    (tmp_path / "base").rename(tmp_path / "elsewhere")
    assert gpt2lab("generate", tmp_path / "run", "--prompt", "x") == 2
    said = capsys.readouterr().err
    assert "the base that this adapter stands on is not where it was" in said
    assert f"made on {tmp_path / 'base' / 'model'}" in said


def test_a_plain_adapter_has_no_other_weights_to_go_into(place, tmp_path, capsys):
    adapter = tune(place, "plain", "text", "lora")
    assert gpt2lab("merge", adapter, "--out", tmp_path / "merged", "--into-original") == 2
    assert "was tuned on the original weights" in capsys.readouterr().err


def test_a_group_cannot_thaw_what_an_adapter_does_not_hold(place, tmp_path, capsys):
    """It would move, and be lost."""
    given = ["--base", place / "base", "--data", place / "text", "--method", "lora", "--out", tmp_path / "run"]
    assert gpt2lab("finetune", *given, 'train.groups=[{"match": "*.ln_1.bias", "frozen": false}]') == 2
    assert "cannot move" in capsys.readouterr().err


def test_a_prompts_text_that_is_cut_is_counted(place, capsys):
    tune(place, "long-text", "text", "prompt", "prompt.tokens=2", "prompt.text=a place of wonder and old stone")
    assert "tokens of prompt.text the first 2 are taken" in capsys.readouterr().err
