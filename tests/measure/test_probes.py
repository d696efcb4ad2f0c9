"""A probe sees the model as `evaluate` would, and training goes on as if it had not looked."""

import pytest
import torch

from command_line import gpt2lab
from gpt2lab.core import console, files, lines
from gpt2lab.core.errors import UserError
from gpt2lab.measure import perplexity, plans, probes, texts
from gpt2lab.measure.settings import DataSettings, EvaluateSettings, Evaluation
from trainings import BLOCK, same_weights, trained
from vocabularies import SAMPLE, small

NAMES = ["perplexity/token-window", "bits-per-byte", "choices"]
ITEMS = [
    {
        "context": SAMPLE[n : n + 9],
        "endings": [SAMPLE[n + 9 : n + 14], "xyz", "the cat"],
        "label": 0,
        "text": "naïve text",
    }
    for n in range(6)
]


@pytest.fixture
def data(tmp_path):
    path = tmp_path / "items.jsonl"
    files.write_text(path, "".join(lines.encode(item) for item in ITEMS))
    return str(path)


def probe(data, every=2, limit=None):
    settings = Evaluation(evaluate=EvaluateSettings(limit=limit))
    return probes.measure(NAMES, data, settings, every, small(), BLOCK)


@pytest.mark.parametrize("given", [{}, {"precision": "bf16"}, {"groups": []}, {"average": 0.5}])
def test_training_is_bit_equal_with_and_without_a_probe(tmp_path, data, given):
    with_probe, _, seen = trained(tmp_path, "with", probes=[probe(data)], dropout=0.1, **given)
    without, _, unseen = trained(tmp_path, "without", dropout=0.1, **given)
    assert same_weights(with_probe, without)
    looks = [record for record in seen if "bits-per-byte" in record]
    assert [record["step"] for record in looks] == [2, 4, 6]
    assert looks[0]["bits-per-byte"] != looks[-1]["bits-per-byte"]
    assert looks[0]["choices/items"] == len(ITEMS)
    assert 0 <= looks[0]["choices/accuracy"] <= 1
    plain = [{key: value for key, value in record.items() if not key.startswith(tuple(NAMES))} for record in seen]
    assert plain == unseen


def test_the_last_look_is_what_evaluate_says_of_the_model(tmp_path, data):
    model, _, seen = trained(tmp_path, "run", probes=[probe(data, every=0, limit=4)])
    settings = Evaluation(evaluate=EvaluateSettings(limit=4))
    plan = plans.plan("bits-per-byte", texts.read(data, DataSettings()), small(), BLOCK, settings)
    with torch.no_grad():
        record = perplexity.measure(model, plan)
    assert seen[-1]["bits-per-byte"] == record["value"]
    assert seen[-1]["bits-per-byte/tokens"] == record["counts"]["tokens_scored"]
    assert all("bits-per-byte" not in record for record in seen[:-1])


def test_a_probe_is_silent_and_what_it_leaves_out_was_said_before(tmp_path, data, capsys):
    made = probe(data)
    capsys.readouterr()
    trained(tmp_path, "run", probes=[made])
    with console.hushed():
        console.warn("nothing")
    said = capsys.readouterr()
    assert "windows" not in said.err
    assert "nothing" not in said.err


def test_what_cannot_be_a_probe_is_refused_before_training(data):
    with pytest.raises(UserError, match="'labels' cannot be measured while"):
        probes.measure(["labels"], data, Evaluation(), 1, small(), BLOCK)


def test_a_run_takes_probes_from_its_settings(tmp_path, data, capsys):
    from corpora import corpus

    made = corpus(tmp_path / "corpus").folder
    shape = ["model.layers=1", "model.heads=1", "model.width=16", "model.context=16", "train.precision=fp32"]
    line = ["pretrain", "--data", made, "--out", tmp_path / "run", *shape, "train.steps=4", "train.batch_rows=4"]
    assert gpt2lab(*line, "probe.protocols=bits-per-byte,choices", "probe.every=2") == 2
    assert "add probe.data=DATA" in capsys.readouterr().err
    assert not (tmp_path / "run" / "run.json").exists()
    asked = ["probe.protocols=bits-per-byte,choices", f"probe.data={data}", "probe.every=2", "probe.limit=3"]
    assert gpt2lab(*line, *asked) == 0
    seen = [record for record in lines.read(tmp_path / "run" / "metrics.jsonl") if "bits-per-byte" in record]
    assert [record["step"] for record in seen] == [2, 4]
    assert seen[0]["choices/items"] == 3


def test_a_run_keeps_the_best_by_a_probe_and_refuses_to_watch_what_nobody_says(tmp_path, data, capsys):
    from corpora import corpus

    made = corpus(tmp_path / "corpus").folder
    shape = ["model.layers=1", "model.heads=1", "model.width=16", "model.context=16", "train.precision=fp32"]
    line = ["pretrain", "--data", made, "--out", tmp_path / "run", *shape, "train.steps=4", "train.batch_rows=4"]
    asked = ["probe.protocols=bits-per-byte,choices", f"probe.data={data}", "probe.limit=3", "train.learning_rate=9"]
    assert gpt2lab(*line, *asked, "train.watch=bits_per_byte") == 2
    said = capsys.readouterr().err
    assert "nothing says 'bits_per_byte'" in said
    assert "one of: validation_loss, bits-per-byte, choices/accuracy" in said
    assert gpt2lab(*line, *asked, "train.watch=bits-per-byte", "train.patience=2") == 2
    assert "give probe.every as well" in capsys.readouterr().err
    assert not (tmp_path / "run" / "run.json").exists()
    assert gpt2lab(*line, *asked, "train.watch=bits-per-byte", "probe.every=1") == 0
    seen = {record["step"]: record["bits-per-byte"] for record in lines.read(tmp_path / "run" / "metrics.jsonl")}
    best = files.read_json(tmp_path / "run" / "run.json")["best_step"]
    assert seen[best] == min(seen.values())
