"""The loop: the update does not depend on how it is cut up, and a run that was stopped ends as if it had not been."""

import errno
import math
import os
import signal

import pytest
import torch

from gpt2lab.core import files, lines
from gpt2lab.core.errors import Failed
from gpt2lab.train import checkpoint, loop, masters, randomness, saver, trial
from gpt2lab.train.objectives import language_modelling
from gpt2lab.train.state import State
from gpt2lab.train.step import Reading, Stepper
from gpt2lab.train.validation import Validate
from trainings import CONFIG, CPU, model_of, plan_of, rows_in, same_weights, settings_of, trained
from vocabularies import small


def test_the_first_loss_is_near_ln_vocabulary_and_falls(tmp_path):
    _, outcome, metrics = trained(tmp_path, "run", steps=30)
    assert outcome.finished
    assert metrics[0]["loss"] == pytest.approx(math.log(small().size), rel=0.03)
    assert metrics[-1]["loss"] < 0.7 * metrics[0]["loss"]


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
@pytest.mark.parametrize("micro_batch", [1, 2, 3, 4])
def test_the_update_does_not_depend_on_micro_batches(tmp_path, micro_batch, optimizer):
    """Means of means once gave a partial micro-batch the weight of a whole one."""
    whole, _, one = trained(tmp_path, "whole", optimizer=optimizer, steps=2)
    parts, _, other = trained(tmp_path, "parts", micro_batch=micro_batch, optimizer=optimizer, steps=2)
    for a, b in zip(one, other):
        assert a["loss"] == pytest.approx(b["loss"], rel=1e-5)
        assert a["gradient_norm"] == pytest.approx(b["gradient_norm"], rel=1e-4)
    for a, b in zip(whole.parameters(), parts.parameters()):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=2e-3 if optimizer == "muon" else 1e-5)


def test_the_update_is_pytorchs_own_adamw_after_its_own_clipping(tmp_path):
    """The fused step divides, clips and masks at once; a plain loop says what must come out."""
    ours, _, _ = trained(tmp_path, "ours", steps=3, clip=0.5)
    rows, settings = rows_in(tmp_path), settings_of(steps=3, clip=0.5)
    plan, theirs = plan_of(rows, settings), model_of(settings)
    decayed = [p for p in theirs.parameters() if p.dim() >= 2]
    others = [p for p in theirs.parameters() if p.dim() < 2]
    groups = [{"params": decayed, "weight_decay": 0.1}, {"params": others, "weight_decay": 0.0}]
    mover = torch.optim.AdamW(groups, betas=(0.9, 0.95))
    for step in range(3):
        batch = rows.batch(plan.rows_of(rows, step))
        logits = theirs(torch.from_numpy(batch.ids))
        targets = torch.from_numpy(batch.targets)
        torch.nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=-100).backward()
        torch.nn.utils.clip_grad_norm_(theirs.parameters(), 0.5)
        for group in mover.param_groups:
            group["lr"] = 1e-2 * plan.rate(step)
        mover.step()
        mover.zero_grad()
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


class Stop:
    """A probe that behaves like a user's Ctrl-C after a step."""

    every = 1

    def __init__(self, at):
        self.at = at

    def __call__(self, model, step):
        if step == self.at:
            os.kill(os.getpid(), signal.SIGTERM)
        return {}


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
@pytest.mark.parametrize("at", [1, 3, 5])
def test_a_run_that_was_stopped_and_resumed_is_bit_equal_to_one_that_was_not(tmp_path, at, optimizer, precision):
    given = {"dropout": 0.2, "micro_batch": 3, "optimizer": optimizer, "precision": precision, "average": 0.7}
    straight, _, expected = trained(tmp_path, "straight", **given)
    _, outcome, _ = trained(tmp_path, "stopped", probes=[Stop(at)], **given)
    assert (outcome.step, outcome.finished, outcome.saved) == (at, False, True)
    resumed, outcome, metrics = trained(tmp_path, "stopped", **given)
    assert outcome.finished
    assert metrics == expected
    assert same_weights(straight, resumed)


def test_a_damaged_checkpoint_is_named_and_the_one_before_it_is_used(tmp_path, capsys):
    straight, _, expected = trained(tmp_path, "straight", checkpoint_every=2)
    trained(tmp_path, "damaged", checkpoint_every=2, probes=[Stop(5)])
    newest = tmp_path / "damaged" / "checkpoints" / "step-00000005" / "model.safetensors"
    newest.write_bytes(newest.read_bytes()[:-1] + b"!")
    resumed, _, metrics = trained(tmp_path, "damaged", checkpoint_every=2)
    assert "step-00000005" in capsys.readouterr().err
    assert metrics == expected
    assert same_weights(straight, resumed)


def test_micro_batches_and_steps_have_dropout_masks_of_their_own(tmp_path):
    """One seed for all micro-batches of a step would drop the same places in each."""
    rows, settings = rows_in(tmp_path), settings_of(batch_rows=2)
    model, plan = model_of(settings, dropout=0.5), plan_of(rows, settings, micro_batch=1)
    seen = []

    def objective(inputs):
        x = model.transformer(inputs.ids)
        seen.append((x.detach() == model.transformer.ln_f.bias).float())
        seen.append(torch.rand(4))
        return language_modelling(model, inputs)

    stepper = Stepper(model, objective, plan, State(model, plan), loop.ALONE)
    batch = rows.batch(plan.rows_of(rows, 0))
    stepper.update(stepper.cut(batch), 0, pretend=True)
    stepper.update(stepper.cut(batch), 1, pretend=True)
    draws = seen[1::2]
    assert len({tuple(draw.tolist()) for draw in draws}) == len(draws) == 4


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_the_optimizers_state_is_there_before_the_first_activations(tmp_path, optimizer):
    """Made in the first step it lay between activations, and later ones found no room in what they left."""
    rows, settings = rows_in(tmp_path), settings_of(optimizer=optimizer)
    model, plan = model_of(settings), plan_of(rows, settings)
    state = State(model, plan)
    before = {key: tensor.data_ptr() for key, tensor in state.others().items()}
    assert {key.rpartition("/")[0] for key in before} == set(dict(model.named_parameters()))
    stepper = Stepper(model, lambda inputs: language_modelling(model, inputs), plan, state, loop.ALONE)
    stepper.update(stepper.cut(rows.batch(plan.rows_of(rows, 0))), 0)
    assert {key: tensor.data_ptr() for key, tensor in state.others().items()} == before
    state.load_others({key: tensor + 1 for key, tensor in state.others().items()})
    assert {key: tensor.data_ptr() for key, tensor in state.others().items()} == before


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_pretended_steps_change_nothing(tmp_path, precision):
    straight, _, expected = trained(tmp_path, "straight", dropout=0.1, precision=precision)
    rows, settings = rows_in(tmp_path), settings_of(precision=precision)
    model, plan = model_of(settings, 0.1), plan_of(rows, settings)
    tried = trial.try_out(model, language_modelling, rows, plan)
    assert same_weights(model, model_of(settings, 0.1))
    assert tried.first_loss == pytest.approx(expected[0]["loss"], rel=1e-3)
    loop.train(model, language_modelling, rows, plan, tmp_path / "after")
    assert same_weights(model, straight)
    model = model_of(settings, 0.1)
    state = State(model, plan)
    stepper = Stepper(model, lambda inputs: language_modelling(model, inputs), plan, state, loop.ALONE)
    stepper.update(stepper.cut(rows.batch(plan.rows_of(rows, 0))), 0, pretend=True)
    assert all(not tensor.any() for tensor in state.mover.state().values())


def poisoned(at, value=math.nan):
    """An objective whose loss or gradient is not finite in some steps."""
    calls = iter(range(10**9))

    def objective(model, inputs):
        loss = language_modelling(model, inputs)
        return loss * value if next(calls) in at else loss

    return objective


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_step_that_is_not_finite_never_reaches_the_weights(tmp_path, value, optimizer, capsys):
    model, _, metrics = trained(tmp_path, "run", objective=poisoned({2}, value), optimizer=optimizer)
    assert all(torch.isfinite(p).all() for p in model.parameters())
    assert [record.get("skipped", False) for record in metrics] == [False, False, True, False, False, False]
    assert metrics[2]["loss"] is None
    assert "step 3: the loss or a gradient is not finite" in capsys.readouterr().err


def test_a_masked_step_leaves_weights_and_optimizer_as_they_were(tmp_path):
    after_two, _, _ = trained(tmp_path, "two", steps=3, schedule="constant", probes=[Stop(2)])
    after_three, _, _ = trained(tmp_path, "three", steps=3, schedule="constant", objective=poisoned({2}))
    assert same_weights(after_two, after_three)
    two, three = (checkpoint.newest(tmp_path / name / "checkpoints").others() for name in ("two", "three"))
    assert all(torch.equal(two[key], three[key]) for key in two)


def test_many_bad_steps_in_a_row_stop_the_run_and_name_the_last_good_checkpoint(tmp_path):
    with pytest.raises(Failed, match="checkpoint of step 12 of this one is good"):
        trained(tmp_path, "run", steps=40, objective=poisoned(set(range(5, 40))), checkpoint_every=4)


def test_a_gradient_that_never_fits_into_fp16_stops_the_run_as_well(tmp_path, monkeypatch):
    monkeypatch.setattr(Reading, "overflowed", property(lambda self: self.skipped))
    with pytest.raises(Failed, match="40 steps in a row"):
        trained(tmp_path, "run", steps=80, objective=poisoned(set(range(5, 80))))


def test_the_second_damage_of_the_same_step_finds_a_name_of_its_own(tmp_path):
    for _ in range(2):
        trained(tmp_path, "run", steps=2)
        newest = checkpoint.paths(tmp_path / "run" / "checkpoints")[-1]
        (newest / "state.json").write_text("{}")
    trained(tmp_path, "run", steps=2)
    names = sorted(path.name for path in (tmp_path / "run" / "checkpoints").iterdir())
    assert names == ["damaged-step-00000002", "damaged-step-00000002-2", "step-00000002"]


def test_training_on_a_cpu_is_deterministic_and_fills_no_memory():
    randomness.be_deterministic(True)
    assert torch.are_deterministic_algorithms_enabled()
    assert not torch.utils.deterministic.fill_uninitialized_memory


def test_spikes_are_marked(tmp_path):
    _, _, metrics = trained(tmp_path, "run", steps=30, objective=poisoned({25}, 3.0), learning_rate=1e-5)
    assert [record["step"] for record in metrics if record.get("spike")] == [26]


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_out_of_gpu_memory_halves_the_micro_batch_and_the_update_stays(tmp_path, capsys, precision, monkeypatch):
    """Memory ends in the middle of the way back: gradients made so far once stayed, and were added again."""
    straight, _, expected = trained(tmp_path, "straight", precision=precision)
    rows, calls = [], []

    def objective(model, inputs):
        rows.append(len(inputs.ids))
        return language_modelling(model, inputs)

    def full(*given):
        calls.append(given)
        if rows[-1] > 2 and len(calls) % 3 == 0:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return hand_over(*given)

    hand_over = masters._hand_over
    monkeypatch.setattr(masters, "_hand_over", full)
    if precision == "fp32":
        monkeypatch.setattr(torch.Tensor, "backward", _backward_that_ends(rows))
    model, _, metrics = trained(tmp_path, "run", objective=objective, precision=precision)
    tolerance = 1e-5 if precision == "fp32" else 1e-2
    assert "micro-batches of 2 rows" in capsys.readouterr().err
    losses = [record["loss"] for record in expected]
    assert [record["loss"] for record in metrics] == pytest.approx(losses, rel=tolerance)
    for a, b in zip(straight.parameters(), model.parameters()):
        torch.testing.assert_close(a, b, rtol=10 * tolerance, atol=2 * tolerance)


def _backward_that_ends(rows):
    backward = torch.Tensor.backward

    def ends(self):
        backward(self)
        if rows[-1] > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")

    return ends


def test_a_micro_batch_that_does_not_fit_at_all_is_no_endless_loop(tmp_path):
    def objective(model, inputs):
        raise torch.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(torch.OutOfMemoryError):
        trained(tmp_path, "run", objective=objective)


class Says:
    """A probe with prepared answers."""

    every = 1

    def __init__(self, key, values):
        self.key, self.values = key, values

    def __call__(self, model, step):
        return {self.key: self.values[step - 1]}


@pytest.mark.parametrize(
    ("key", "values"),
    [
        ("validation_loss", [5, 3, 4, 4, 4, 4]),
        ("accuracy", [1, 3, 2, 2, 2, 2]),
        ("perplexity/word", [5, 3, 4, 4, 4, 4]),
        ("bits-per-byte", [5, 3, 4, 4, 4, 4]),
        ("choices/accuracy", [1, 3, 2, 2, 2, 2]),
        ("validation_loss", [math.nan, 3, math.nan, 4, 4, 4]),
    ],
)
def test_the_best_step_is_kept_and_becomes_the_model(tmp_path, key, values):
    given = {"watch": key, "keep": 1, "checkpoint_every": 1, "schedule": "constant"}
    model, outcome, _ = trained(tmp_path, "run", probes=[Says(key, values)], **given)
    second, _, _ = trained(tmp_path, "second", probes=[Stop(2)], **given)
    assert outcome.best_step == 2
    assert same_weights(model, second)
    names = [path.name for path in checkpoint.paths(tmp_path / "run" / "checkpoints")]
    assert names == ["step-00000002", "step-00000006"]


def test_patience_ends_a_run_that_brings_nothing_better(tmp_path):
    values = [5, 4, 3.99, 3.98, 3.97, 3.96]
    _, outcome, metrics = trained(
        tmp_path, "run", probes=[Says("validation_loss", values)], patience=2, minimum_change=0.1
    )
    assert (outcome.step, outcome.best_step, outcome.early, outcome.finished) == (4, 2, True, True)
    assert len(metrics) == 4


def test_patience_and_the_best_survive_an_interruption(tmp_path):
    values = [5, 3, 4, 4, 4, 4]
    given = {"patience": 3, "probes": [Says("validation_loss", values)]}
    straight, expected, _ = trained(tmp_path, "straight", **given)
    trained(tmp_path, "stopped", patience=3, probes=[Says("validation_loss", values), Stop(4)])
    resumed, outcome, _ = trained(tmp_path, "stopped", **given)
    assert outcome == expected
    assert same_weights(straight, resumed)


def test_the_average_is_the_mean_of_the_last_weights(tmp_path):
    seen = []

    class Look:
        every = 1

        def __call__(self, model, step):
            seen.append([p.detach().clone() for p in model.parameters()])
            return {}

    model, _, _ = trained(tmp_path, "run", average=0.5, probes=[Look()])
    for index, parameter in enumerate(model.parameters()):
        mean = torch.stack([weights[index] for weights in seen[3:]]).mean(0)
        torch.testing.assert_close(parameter, mean)


def test_epochs_end_in_a_partial_step_that_counts_its_own_targets(tmp_path):
    rows = rows_in(tmp_path)
    _, outcome, metrics = trained(tmp_path, "run", epochs=1, batch_rows=7, micro_batch=3)
    assert outcome.step == math.ceil(rows.rows / 7)
    assert sum(record["tokens"] for record in metrics) == rows.split.tokens - 1


def test_probes_change_nothing(tmp_path):
    straight, _, expected = trained(tmp_path, "straight", dropout=0.2)
    rows = rows_in(tmp_path)
    looked, _, metrics = trained(tmp_path, "looked", dropout=0.2, probes=[Validate([rows], 1)], watch="nothing")
    assert [record["loss"] for record in metrics] == [record["loss"] for record in expected]
    assert same_weights(straight, looked)


def test_on_a_gpu_a_step_is_read_one_step_later_and_the_records_are_the_same(tmp_path, monkeypatch):
    given = {"objective": poisoned({2}), "checkpoint_every": 3, "steps": 8}
    _, _, expected = trained(tmp_path, "at once", **given)
    read = []
    values = Reading.values
    monkeypatch.setattr(loop, "is_gpu", lambda device: True)
    monkeypatch.setattr(Reading, "values", lambda self: read.append((self.step, stepped[-1])) or values(self))
    update, stepped = Stepper.update, []

    def counted(self, batch, step, **given):
        stepped.append(step + 1)
        return update(self, batch, step, **given)

    monkeypatch.setattr(Stepper, "update", counted)
    _, _, late = trained(tmp_path, "late", **{**given, "objective": poisoned({2})})
    assert late == expected
    assert [later - step for step, later in read] == [1, 1, 0, 1, 1, 0, 1, 0]  # at once where a checkpoint is due


def test_validation_may_look_at_a_stated_number_of_tokens(tmp_path):
    rows = rows_in(tmp_path)
    _, _, metrics = trained(tmp_path, "run", probes=[Validate([rows], 0, tokens=40)])
    assert metrics[-1]["validation_tokens"] == 48


def test_frozen_weights_stay_bit_for_bit_and_have_no_optimizer_state(tmp_path):
    rules = ({"match": "transformer.wte.*, transformer.h.0.*", "frozen": True},)
    for precision in ("fp32", "bf16"):
        model, _, _ = trained(tmp_path, precision, precision=precision, groups=rules)
        before = model_of(settings_of())
        for (name, now), then in zip(model.named_parameters(), before.parameters()):
            assert torch.equal(now, then) == name.startswith(("transformer.wte", "transformer.h.0.")), name
        kept = checkpoint.newest(tmp_path / precision / "checkpoints").others()
        assert not any(key.startswith(("transformer.wte", "transformer.h.0.")) for key in kept)


def test_bf16_follows_fp32(tmp_path):
    _, _, exact = trained(tmp_path, "fp32", steps=40, learning_rate=3e-3)
    model, _, rough = trained(tmp_path, "bf16", steps=40, learning_rate=3e-3, precision="bf16")
    assert all(p.dtype == torch.float32 for p in model.parameters())
    assert rough[-1]["loss"] == pytest.approx(exact[-1]["loss"], rel=0.02)


def test_a_full_disk_is_loud_and_training_goes_on(tmp_path, monkeypatch, capsys):
    def full(kind, path):
        if kind == "write" and "step-00000004" in str(path):
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(files, "operation", full)
    _, outcome, metrics = trained(tmp_path, "run", checkpoint_every=2)
    assert outcome.finished
    assert len(metrics) == 6
    assert "step 4 could not be written" in (said := capsys.readouterr().err)
    assert "the one of step 2 is whole" in said
    names = [path.name for path in sorted((tmp_path / "run" / "checkpoints").iterdir())]
    assert names == ["step-00000002", "step-00000006"]


def test_the_last_ones_are_kept(tmp_path):
    trained(tmp_path, "run", checkpoint_every=1, keep=2)
    names = [path.name for path in sorted((tmp_path / "run" / "checkpoints").iterdir())]
    assert names == ["step-00000005", "step-00000006"]


def test_a_checkpoint_holds_what_was_there_when_it_was_asked_for(tmp_path):
    weights = {"a": torch.zeros(1000)}
    keeper = saver.Saver(tmp_path, 1)
    keeper.save(1, weights, {}, {"watch": {"best_step": None}, "sizes": {}})
    weights["a"] += 1
    keeper.finish()
    assert not checkpoint.newest(tmp_path).weights()["a"].any()


def test_sinks_get_every_record(tmp_path):
    seen = []
    trained(tmp_path, "run", sinks=[seen.append])
    assert [record["step"] for record in seen] == [1, 2, 3, 4, 5, 6]
    assert all(record["seconds"] > 0 for record in seen)


def test_what_was_measured_stands_apart_from_what_must_be_reproducible(tmp_path):
    trained(tmp_path, "run")
    assert all("seconds" not in record for record in lines.read(tmp_path / "run" / "metrics.jsonl"))
    assert [record["step"] for record in lines.read(tmp_path / "run" / "timings.jsonl")] == [1, 2, 3, 4, 5, 6]


def test_the_loss_scale_halves_on_overflow_and_grows_after_long_peace():
    from gpt2lab.train import loss_scale

    scale = loss_scale.LossScale(True, 1, CPU)
    scale.follow(torch.tensor(1.0))
    assert scale.factor == loss_scale.FIRST / 2
    for _ in range(loss_scale.STEPS_TO_GROW):
        scale.follow(torch.tensor(0.0))
    assert scale.factor == loss_scale.FIRST
    other = loss_scale.LossScale(True, 1, CPU)
    other.load(scale.state())
    assert (other.factor, other.streak) == (scale.factor, scale.streak)


def test_the_configuration_of_these_tests_has_a_padded_vocabulary():
    assert CONFIG.vocabulary % 128
