"""The compiled step: one graph without a break, the eager loss and gradients, never compiled twice."""

import pytest
import torch

from gpt2lab.text.batches import UNSCORED, Batch
from gpt2lab.train import feed
from gpt2lab.train.compiling import loss_function
from gpt2lab.train.objectives import language_modelling
from gpt2lab.train.validation import Validate
from models import random_ids
from trainings import CPU, model_of, rows_in, settings_of, trained

pytestmark = pytest.mark.compile


@pytest.fixture(autouse=True)
def fresh_compiler():
    torch.compiler.reset()
    yield
    torch.compiler.reset()


@pytest.mark.parametrize("dropout", [0.0, 0.1])
def test_dropout_too_is_in_the_graph(dropout):
    model = model_of(settings_of(), dropout).train()
    ids = random_ids(2, 9, vocabulary=model.config.vocabulary).numpy()
    (inputs,) = feed.micro_batches(Batch(ids[:, :-1], ids[:, 1:]), 2, CPU)
    loss = torch.compile(lambda: language_modelling(model, inputs), fullgraph=True, backend="eager")
    torch.manual_seed(1)
    first = loss()
    first.backward()
    assert (loss().item() == first.item()) is (dropout == 0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_one_graph_without_a_break_and_the_eager_loss(monkeypatch, dtype):
    model = model_of(settings_of()).train().to(dtype)
    ids = random_ids(4, 17, vocabulary=model.config.vocabulary).numpy()
    (inputs,) = feed.micro_batches(Batch(ids[:, :-1], ids[:, 1:]), 4, CPU)
    losses, gradients = [], []
    graph = torch.compile(lambda: language_modelling(model, inputs), fullgraph=True)
    for function in (graph, lambda: language_modelling(model, inputs)):
        loss = function()
        loss.backward()
        losses.append(loss.item())
        gradients.append([parameter.grad.clone() for parameter in model.parameters()])
        model.zero_grad()
    assert losses[0] == pytest.approx(losses[1], rel=1e-5 if dtype == torch.float32 else 0.02)
    for one, other in zip(*gradients):
        tolerance = 1e-3 if dtype == torch.float32 else 0.3
        torch.testing.assert_close(one, other, rtol=tolerance, atol=tolerance)


def test_training_validation_and_samples_never_compile_it_again(tmp_path, monkeypatch):
    """A flag that evaluation turns, or a partial batch, once compiled the step anew each time."""
    from torch._dynamo.utils import counters

    graphs = []

    class Look:
        every = 1

        def __call__(self, model, step):
            with torch.no_grad():
                model(torch.zeros(1, 3 + step, dtype=torch.long))  # as sampling does, longer each time
            graphs.append(counters["stats"]["unique_graphs"])
            return {}

    counters.clear()
    rows = rows_in(tmp_path)
    trained(tmp_path, "run", compile=True, probes=[Validate([rows], 2), Look()], watch="nothing", micro_batch=4)
    assert graphs == [1] * 6


def test_a_partial_batch_is_padded_to_the_compiled_shape():
    """The last rows of a run are fewer, and the last block is shorter; neither is a new shape for the compiler."""
    model = model_of(settings_of())
    loss = loss_function(language_modelling, model, False)
    full = random_ids(4, 16, vocabulary=model.config.vocabulary).numpy()
    targets = full.copy()
    targets[3, 5:] = UNSCORED
    shapes = {tuple(part.ids.shape) for part in feed.micro_batches(Batch(full, targets), 3, CPU, one_shape=True)}
    assert shapes == {(3, 16)}
    padded = sum(loss(part).item() for part in feed.micro_batches(Batch(full, targets), 3, CPU, one_shape=True))
    plain = sum(loss(part).item() for part in feed.micro_batches(Batch(full, targets), 3, CPU))
    assert padded == pytest.approx(plain, rel=1e-6)
