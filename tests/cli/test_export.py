"""`gpt2lab export`: what others get opens in their programs, says how it was measured, and nothing of this machine."""

import re
import shutil

import huggingface_hub
import pytest
import torch
import yaml
from huggingface_hub import ModelCard, constants
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification

from command_line import gpt2lab, last_json
from gpt2lab.core import files
from gpt2lab.model.reading import read_model, weight_hash
from loopback_hub import LoopbackHub

peft = pytest.importorskip("peft")
SHAPE = ["model.layers=2", "model.heads=2", "model.width=16", "model.context=64", "train.precision=fp32"]
TUNE = ["train.epochs=none", "train.steps=2", "train.batch_rows=4", "train.precision=fp32", "train.learning_rate=1e-2"]
CODE = re.compile(r"```python\n(.*?)```", re.DOTALL)
IDS = torch.arange(3, 40)[None]
TOKEN = "hf_right"


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A base that was measured, a classifier, and an adapter of the base."""
    folder = tmp_path_factory.mktemp("export")
    tokenizer = ["--tokenizer", "builtin", "prepare.vocabulary=500"]
    assert gpt2lab("prepare", "builtin:fantasy", "--out", folder / "text", *tokenizer) == 0
    (folder / "a|b.txt").write_text("The tower stands by the sea. " * 30)
    limits = ["train.steps=4", "train.batch_rows=8"]
    assert gpt2lab("pretrain", "--data", folder / "text", "--out", folder / "base", *SHAPE, *limits) == 0
    protocols = "perplexity/token-window,bits-per-byte"
    assert gpt2lab("evaluate", folder / "base", "--protocol", protocols, "--data", folder / "a|b.txt") == 0
    assert gpt2lab("prepare", "builtin:topics", "--out", folder / "labels", "--tokenizer", folder / "text") == 0
    classes = ["--data", folder / "labels", "--task", "labels", "--method", "full", "--out", folder / "classes"]
    assert gpt2lab("finetune", "--base", folder / "base", *classes, *TUNE) == 0
    adapter = ["--data", folder / "text", "--method", "lora", "--out", folder / "lora"]
    assert gpt2lab("finetune", "--base", folder / "base", *adapter, *TUNE) == 0
    return folder


@pytest.fixture
def server(online, monkeypatch, place):
    """A Hub that has the base."""
    huggingface_hub.close_session()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    model = {path.name: path.read_bytes() for path in (place / "base" / "model").iterdir()}
    with LoopbackHub({"someone/base": model}, writer=TOKEN) as running:
        online(running)
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        yield running
    huggingface_hub.close_session()


def export(place, run, out, *more):
    assert gpt2lab("export", place / run, "--out", out, *more) == 0
    return out


def logits(model):
    with torch.no_grad():
        found = model(IDS)
    return found if torch.is_tensor(found) else found.logits


def close(one, other):
    return (one[..., : other.shape[-1]] - other).abs().max() < 1e-5 * other.abs().max()


def test_the_exported_model_has_the_same_logits_in_transformers(place, tmp_path):
    out = export(place, "base", tmp_path / "out")
    assert close(logits(read_model(place / "base")), logits(AutoModelForCausalLM.from_pretrained(out)))
    assert weight_hash(out) == weight_hash(place / "base" / "model")


def test_an_exported_classifier_has_them_too(place, tmp_path):
    theirs = AutoModelForSequenceClassification.from_pretrained(export(place, "classes", tmp_path / "out"))
    ours = read_model(place / "classes")
    assert [theirs.config.id2label[n] for n in range(len(ours.config.labels))] == list(ours.config.labels)
    ids = torch.arange(3, 30)[None]
    with torch.no_grad():
        assert close(ours(ids), theirs(ids).logits)


@pytest.mark.parametrize("run", ["base", "classes"])
def test_the_code_on_the_card_runs_as_it_stands(place, tmp_path, monkeypatch, capsys, run):
    out = export(place, run, tmp_path / "out")
    (code,) = CODE.findall((out / "README.md").read_text())
    monkeypatch.chdir(tmp_path)
    exec(code, {})
    assert capsys.readouterr().out.strip()


def test_the_hub_understands_the_head_of_the_card_and_its_values_are_the_records(place, tmp_path):
    out = export(place, "base", tmp_path / "out")
    card = ModelCard.load(out / "README.md")
    assert card.data.library_name == "transformers"
    assert card.data.pipeline_tag == "text-generation"
    records = [files.read_json(path) for path in (place / "base" / "results").glob("*.json")]
    expected = {record["protocol"]: record["value"] for record in records}
    assert len(expected) == 3
    assert {r.metric_name.partition("(")[2].rstrip(")"): r.metric_value for r in card.data.eval_results} == expected


def test_every_value_on_the_card_stands_with_its_protocol_and_its_interval(place, tmp_path):
    text = (export(place, "base", tmp_path / "out") / "README.md").read_text()
    rows = [re.split(r"(?<!\\)\|", line)[1:-1] for line in text.splitlines() if line.startswith("| ")]
    assert all(len(row) == 7 for row in rows)  # also where a file's name has a bar in it
    table = {row[0].strip(): [cell.strip() for cell in row] for row in reversed(rows)}  # the first of each protocol
    for path in (place / "base" / "results").glob("*.json"):
        record = files.read_json(path)
        row = table[record["protocol"]]
        assert row[2] == (f"{record['value']:.4f}" if record["value"] < 100 else f"{record['value']:,.2f}")
        assert (row[3] == "none") == (record.get("interval") is None)
    assert "Nothing makes it true, safe or fair" in text
    assert "no interval: " in text
    assert "Trained from random weights" in text


def test_nothing_exported_names_a_place_on_this_machine(place, tmp_path):
    for run in ("base", "classes"):
        out = export(place, run, tmp_path / run)
        told = [path.read_bytes() for path in out.iterdir() if path.suffix != ".safetensors"]
        assert not [text for text in told if b"/tmp" in text or str(place.parent).encode() in text]


def test_results_of_other_weights_stay_out(place, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(place / "base", run)
    path = sorted((run / "results").glob("perplexity-token*.json"))[0]
    record = files.read_json(path)
    files.write_json(path, {**record, "model": {**record["model"], "weights": "of an earlier model"}})
    text = (export(tmp_path, "run", tmp_path / "out") / "README.md").read_text()
    assert "perplexity/token-window" not in text
    assert "bits-per-byte" in text


def test_an_adapter_whose_base_is_a_folder_here_is_refused_and_merging_is_the_way_out(place, tmp_path, capsys):
    assert gpt2lab("export", place / "lora", "--out", tmp_path / "out") == 2
    assert "gpt2lab merge" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    assert gpt2lab("merge", place / "lora", "--out", tmp_path / "my merged") == 0
    assert f"next: gpt2lab evaluate '{tmp_path / 'my merged'}' --data FILE" in capsys.readouterr().out
    out = export(tmp_path, "my merged", tmp_path / "out")
    assert close(logits(read_model(place / "lora")), logits(AutoModelForCausalLM.from_pretrained(out)))
    assert "merged into its base" in (out / "README.md").read_text()


@pytest.mark.parametrize("method", ["lora", "prompt"])
def test_an_adapter_of_a_hub_model_names_it_and_opens_in_peft_and_here(place, server, tmp_path, method):
    given = ["--base", "someone/base", "--data", place / "text", "--method", method, "--out", tmp_path / "run"]
    assert gpt2lab("finetune", *given, *TUNE) == 0
    out = export(tmp_path, "run", tmp_path / "out")
    assert files.read_json(out / "adapter_config.json")["base_model_name_or_path"] == "someone/base"
    expected = logits(read_model(tmp_path / "run"))
    assert close(logits(read_model(out)), expected[..., :500])
    base = AutoModelForCausalLM.from_pretrained(place / "base" / "model")
    with torch.no_grad():
        theirs = peft.PeftModel.from_pretrained(base, out).eval()(IDS).logits
    assert close(expected, theirs[:, -expected.shape[1] :])
    card = ModelCard.load(out / "README.md").data
    assert (card.base_model, card.library_name) == ("someone/base", "peft")
    assert not [path for path in out.iterdir() if path.suffix == ".json" and str(tmp_path) in path.read_text()]
    server.models["someone/adapter"] = every = {path.name: path.read_bytes() for path in out.iterdir()}
    server.models["someone/bare"] = {name: every[name] for name in ("adapter_config.json", "adapter_model.safetensors")}
    for name in ("someone/adapter", "someone/bare"):  # from the Hub, as we and as PEFT would have put it there
        assert close(logits(read_model(name)), expected[..., :500])


def test_the_bases_name_may_be_given(place, server, tmp_path):
    out = export(place, "lora", tmp_path / "out", "--base", "someone/base")
    assert close(logits(read_model(out)), logits(read_model(place / "lora"))[..., :500])
    assert gpt2lab("export", place / "lora", "--out", tmp_path / "no", "--base", "not a name") == 2


def test_push_uploads_the_folder_and_it_can_be_used_by_its_name(place, server, tmp_path, capsys):
    out = export(place, "base", tmp_path / "out", "--push", "owner/tiny", "--json")
    assert last_json(capsys.readouterr().out)["commit"].startswith(f"{server.endpoint}/owner/tiny/commit/")
    assert server.models["owner/tiny"] == {path.name: path.read_bytes() for path in out.iterdir()}
    assert torch.equal(logits(read_model("owner/tiny")), logits(read_model(place / "base")))
    assert "from_pretrained('owner/tiny')" in (out / "README.md").read_text()


def test_nothing_is_uploaded_without_push(place, server, tmp_path):
    export(place, "base", tmp_path / "out")
    assert server.requests == []


def test_without_token_or_network_push_is_refused_before_anything_is_made(place, server, tmp_path, monkeypatch, capsys):
    line = ("export", place / "base", "--out", tmp_path / "out", "--push", "owner/tiny")
    monkeypatch.delenv("HF_TOKEN")
    assert gpt2lab(*line) == 2
    assert "HF_TOKEN is not set" in capsys.readouterr().err
    monkeypatch.setenv("GPT2LAB_OFFLINE", "1")
    assert gpt2lab(*line) == 2
    assert "offline, so nothing can be uploaded" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    assert server.requests == []


def test_exporting_twice_says_so_keeps_a_card_that_was_edited_and_refuses_anything_else(place, tmp_path, capsys):
    out = export(place, "base", tmp_path / "out")
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    export(place, "base", out)
    assert "already exported" in capsys.readouterr().out
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before
    (out / "README.md").write_text("my own card")
    export(place, "base", out)
    assert (out / "README.md").read_text() == "my own card"
    (out / "config.json").write_text("{}")
    assert gpt2lab("export", place / "base", "--out", out) == 2
    assert "something else is here: README.md, config.json" in capsys.readouterr().err


def test_a_card_nobody_touched_takes_the_repositorys_name_when_it_is_pushed(place, server, tmp_path):
    out = export(place, "base", tmp_path / "out")
    export(place, "base", out, "--push", "owner/tiny")
    assert b"from_pretrained('owner/tiny')" in server.models["owner/tiny"]["README.md"]


def test_an_unfinished_run_is_not_exported(place, tmp_path, capsys):
    run = tmp_path / "my run"
    shutil.copytree(place / "base", run)
    files.write_json(run / "run.json", {**files.read_json(run / "run.json"), "state": "unfinished"})
    assert gpt2lab("export", run, "--out", tmp_path / "out") == 2
    assert f"gpt2lab pretrain --resume --out '{run}'" in capsys.readouterr().err


def test_settings_on_the_card_are_all_settings(place, tmp_path):
    text = (export(place, "base", tmp_path / "out") / "README.md").read_text()
    stored = yaml.safe_load((place / "base" / "run.yaml").read_text())
    told = yaml.safe_load(text.partition("<summary>all settings</summary>\n\n```yaml\n")[2].partition("```")[0])
    assert told == {**stored, "data": {"source": "text"}}
