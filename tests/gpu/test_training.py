"""What only a GPU can show: the loss scale, bf16 beside fp32, compiled beside eager, exact resume."""

import os
import signal

import numpy as np
import pytest
import torch

from command_line import gpt2lab
from corpora import corpus
from gpt2lab.core import files, lines
from gpt2lab.model import block
from gpt2lab.model.config import GPT2Config
from gpt2lab.model.gpt2 import GPT2, build, initialise
from gpt2lab.model.reading import read_model
from gpt2lab.text.batches import Blocks
from gpt2lab.train import feed, loop, randomness
from gpt2lab.train.cross_entropy import summed_nll
from gpt2lab.train.objectives import language_modelling
from gpt2lab.train.plan import Plan
from gpt2lab.train.settings import TrainSettings
from vocabularies import SAMPLE, small

pytestmark = pytest.mark.gpu
SHAPE = GPT2Config(4, 4, 128, 128, small().size).with_dropout(0.0)


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    texts = [f"Text {n}: {SAMPLE[n % 300 : n % 300 + 200]}" for n in range(400)]
    return Blocks(corpus(tmp_path_factory.mktemp("gpu") / "corpus", texts).split("train"), 128)


def trained(rows, folder, precision, *, dropout=0.0, probes=(), **given):
    settings = TrainSettings(**{"steps": 200, "learning_rate": 1e-3, "precision": precision, **given})
    device = torch.device("cuda")
    randomness.be_deterministic(settings.deterministic)
    model = build(GPT2, SHAPE.with_dropout(dropout))
    initialise(model, 1)
    plan = Plan(settings, device, precision, rows.rows, 16, 8, settings.steps)
    loop.train(model.to(device), language_modelling, rows, plan, folder, probes)
    return model, [record["loss"] for record in lines.read(folder / "metrics.jsonl")]


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_lower_precision_follows_fp32_over_200_steps(rows, tmp_path, precision):
    _, exact = trained(rows, tmp_path / "fp32", "fp32")
    _, rough = trained(rows, tmp_path / precision, precision)
    assert sum(rough[-20:]) == pytest.approx(sum(exact[-20:]), rel=0.02)


def test_the_loss_scale_finds_its_place_and_no_step_is_called_bad(rows, tmp_path):
    trained(rows, tmp_path / "run", "fp16", steps=60)
    records = list(lines.read(tmp_path / "run" / "metrics.jsonl"))
    assert not any(record.get("skipped") for record in records)


def test_compiled_and_eager_agree(rows, tmp_path):
    _, eager = trained(rows, tmp_path / "eager", "bf16", steps=50)
    _, compiled = trained(rows, tmp_path / "compiled", "bf16", steps=50, compile=True)
    assert compiled == pytest.approx(eager, rel=0.02)


class Stop:
    every = 7

    def __call__(self, model, step):
        os.kill(os.getpid(), signal.SIGTERM)
        return {}


@pytest.mark.parametrize("device", ["cuda", "cuda:0", torch.device("cuda", 0)])
def test_micro_batches_wait_in_pinned_memory(rows, device):
    part = feed.cut(rows.batch(np.arange(4)), 4, device).parts[0]
    assert part.ids.is_pinned()
    assert part.targets.is_pinned()
    assert torch.equal(part.to(torch.device(device)).ids.cpu(), part.ids)


def test_what_is_made_again_on_the_way_back_changes_no_gradient(monkeypatch):
    """bf16 weights, the whole model."""
    model = build(GPT2, SHAPE)
    initialise(model, 1)
    model = model.cuda().bfloat16()
    ids = torch.randint(0, SHAPE.vocabulary, (4, 128), device="cuda")
    found = []
    for function in (block.linear_after, lambda cheap, x, linear: linear(cheap(x))):
        monkeypatch.setattr(block, "linear_after", function)
        model(ids)[..., : SHAPE.vocabulary].float().square().mean().backward()
        found.append([parameter.grad.clone() for parameter in model.parameters()])
        model.zero_grad()
    for ours, theirs in zip(*found):
        torch.testing.assert_close(ours, theirs, rtol=0.05, atol=1e-4)


def test_a_heads_gradient_in_fp16_may_be_larger_than_fp16_holds():
    """Every target alike, one hidden dimension large: as many trained models have it."""
    x = torch.full((4096, 64), 0.01, device="cuda")
    x[:, 0] = 60
    weight = torch.zeros(500, 64, device="cuda", requires_grad=True)
    targets = torch.zeros(4096, dtype=torch.long, device="cuda")
    with torch.autocast("cuda", torch.float16):
        loss = summed_nll(x, weight, None, targets)
    loss.backward()
    assert weight.grad[0, 0].item() == pytest.approx(-4096 * 60, rel=0.01)


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_resume_is_bit_equal_where_it_is_promised(rows, tmp_path, precision):
    given = {"dropout": 0.1, "steps": 20, "deterministic": True}
    straight, expected = trained(rows, tmp_path / "straight", precision, **given)
    trained(rows, tmp_path / "stopped", precision, probes=[Stop()], **given)
    resumed, losses = trained(rows, tmp_path / "stopped", precision, **given)
    assert losses == expected
    assert all(torch.equal(a, b) for a, b in zip(straight.parameters(), resumed.parameters()))


@pytest.fixture(scope="module")
def tunable(tmp_path_factory):
    """A base, and corpora of text and of labelled texts with its tokenizer."""
    folder = tmp_path_factory.mktemp("tunable")
    prepare = ["--tokenizer", "builtin", "prepare.vocabulary=500"]
    assert gpt2lab("prepare", "builtin:fantasy", "--out", folder / "text", *prepare) == 0
    assert gpt2lab("prepare", "builtin:topics", "--out", folder / "labels", "--tokenizer", folder / "text") == 0
    shape = ["model.layers=2", "model.heads=2", "model.width=64", "model.context=64"]
    limits = ["train.steps=20", "train.batch_rows=8", "--device", "cuda"]
    assert gpt2lab("pretrain", "--data", folder / "text", "--out", folder / "base", *shape, *limits) == 0
    return folder


@pytest.mark.parametrize("task", ["text", "labels"])
@pytest.mark.parametrize("method", ["full", "lora", "qlora", "prompt", "partial"])
def test_every_method_learns_is_looked_at_and_opens_on_a_cpu(tunable, tmp_path, method, task):
    """Train, evaluate, train, and the written folder gives the last validation's loss again."""
    if method == "qlora":
        pytest.importorskip("bitsandbytes")
    given = ["--base", tunable / "base", "--data", tunable / task, "--task", task, "--method", method]
    limits = ["train.epochs=none", "train.steps=12", "train.batch_rows=8", "train.learning_rate=1e-2"]
    more = ["train.validate_every=3", "train.schedule=constant", "--device", "cuda"]
    assert gpt2lab("finetune", *given, "--out", tmp_path / "run", *limits, *more) == 0
    records = list(lines.read(tmp_path / "run" / "metrics.jsonl"))
    validated = [record["validation_loss"] for record in records if "validation_loss" in record]
    assert len(validated) == 4
    assert validated[-1] < validated[0]
    assert files.read_json(tmp_path / "run" / "run.json")["peak_memory"] > 1e6
    assert next(read_model(tmp_path / "run").parameters()).device.type == "cpu"
