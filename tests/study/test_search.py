"""A search: every point once, the same table after an interruption, and a winner judged by a fresh seed."""

import csv
import shutil

import optuna
import pytest
import torch

from command_line import gpt2lab, last_json
from corpora import corpus
from gpt2lab.core import files, lines
from gpt2lab.core.errors import UserError
from gpt2lab.study import search as searching
from gpt2lab.study.axis import axis_of
from gpt2lab.study.settings import SearchSettings, resumed
from gpt2lab.train.loop import Diverged

SHAPE = ["model.layers=1", "model.heads=1", "model.width=16", "model.context=16"]
SHORT = ["train.epochs=none", "train.steps=6", "train.batch_rows=8", "train.precision=fp32", "train.validate_every=2"]
RATES = "train.learning_rate=1e-4,1e-2,1e-3"


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("search")
    corpus(folder / "corpus")
    given = ["--data", folder / "corpus", "--out", folder / "base", *SHAPE]
    assert gpt2lab("pretrain", *given, "train.steps=4", "train.batch_rows=8", "train.precision=fp32") == 0
    return folder


def search(place, out, *more):
    given = ["--base", place / "base", "--data", place / "corpus", "--method", "full", "--out", out]
    return gpt2lab("search", *given, *SHORT, *more)


def rows(out):
    return list(csv.DictReader((out / "table.csv").open()))


def test_a_grid_is_tried_whole_and_the_best_is_trained_again_with_a_fresh_seed(place, capsys):
    out = place / "grid"
    assert search(place, out, "--over", RATES, "--json") == 0
    found = last_json(capsys.readouterr().out)
    assert [row["train.learning_rate"] for row in rows(out)] == ["1e-4", "1e-2", "1e-3"]
    best = min(rows(out), key=lambda row: float(row["validation_loss"]))
    assert found["best"]["point"]["train.learning_rate"] == best["train.learning_rate"] == "1e-2"
    assert found["retrained"]["seed"] != 1
    assert files.read_json(out / "best" / "run.json")["state"] == "finished"
    assert (out / "curve.svg").stat().st_size > 1000
    assert (out / "curve.png").read_bytes().startswith(b"\x89PNG")


def test_a_trial_tells_what_sets_it_apart(place, capsys):
    assert search(place, place / "told", "--over", RATES) == 0
    out = capsys.readouterr().out
    assert out.count("model: ") == 1
    assert out.count("resume: ") == 1
    for number, rate in enumerate(("0.0001", "0.01", "0.001"), 1):
        begin = out.index(f"trial {number}: ")
        assert rate in out[begin : out.index(f"trial {number} finished")]


def test_after_a_kill_no_finished_trial_is_repeated_and_the_table_is_the_same(place, monkeypatch, capsys):
    """As if the power had gone in the middle of the second trial."""
    straight, out = place / "straight", place / "killed"
    assert search(place, straight, "--over", RATES) == 0
    assert search(place, out, "--over", RATES) == 0
    second = out / rows_of(out)[1]["run"]
    (second / "trial.json").unlink()
    shutil.rmtree(second / "model")
    run = files.read_json(second / "run.json")
    files.write_json(second / "run.json", {**run, "state": "unfinished"})
    shutil.rmtree(out / rows_of(out)[2]["run"])
    (out / "result.json").unlink()
    trained = []
    real = searching.finetune
    monkeypatch.setattr(searching, "finetune", lambda *given, **more: trained.append(given[1]) or real(*given, **more))
    assert search(place, out, "--over", RATES) == 0
    assert len(trained) == 3  # the interrupted one, the missing one, and the finished retraining, which says so
    assert (out / "table.csv").read_bytes() == (straight / "table.csv").read_bytes()


def rows_of(out):
    return files.read_json(out / "result.json")["trials"] if (out / "result.json").is_file() else []


def test_draws_from_a_range_are_the_same_again(place):
    more = ["--over", "train.learning_rate=1e-4..1e-1", "--over", "train.clip=0.5,1", "search.trials=4"]
    for name in ("drawn", "again"):
        assert search(place, place / name, *more, "search.retrain=false") == 0
    assert rows(place / "drawn") == rows(place / "again")
    values = [float(row["train.learning_rate"]) for row in rows(place / "drawn")]
    assert len(set(values)) == 4
    assert all(1e-4 <= value <= 1e-1 for value in values)


@pytest.mark.parametrize("steps", [4, 6, 40])
def test_a_diverged_trial_is_marked_and_survived(place, steps):
    """Also one that ends before a training is given up."""
    out = place / f"diverged-{steps}"
    more = ["--over", "train.learning_rate=1e-3,1e30", "train.clip=none", f"train.steps={steps}"]
    assert search(place, out, *more, "search.retrain=false") == 0
    assert [row["state"] for row in rows(out)] == ["finished", "diverged"]


def test_hopeless_trials_are_ended_early(place):
    out = place / "pruned"
    more = ["--over", "train.learning_rate=1e-2,8e-3,6e-3,1e-7", "search.prune=true", "search.retrain=false"]
    assert search(place, out, *more) == 0
    table = rows(out)
    assert [row["state"] for row in table] == ["finished"] * 3 + ["pruned"]
    pruned = out / "trials"
    steps = sorted(len(list(lines.read(run / "metrics.jsonl"))) for run in pruned.iterdir())
    assert steps[0] < 6 == steps[1]


def test_a_grid_goes_on_beyond_its_edge(place, monkeypatch, capsys):
    """Only what is new is trained, and the earlier winner stays at hand."""
    straight, out = place / "wide", place / "widened"
    assert search(place, straight, "--over", RATES) == 0
    assert search(place, out, "--over", "train.learning_rate=1e-4,1e-3") == 0
    trained = []
    real = searching.finetune
    monkeypatch.setattr(searching, "finetune", lambda *given, **more: trained.append(given[1]) or real(*given, **more))
    assert search(place, out, "--over", RATES) == 0
    assert [run.parent.name for run in trained] == ["trials", "widened"]
    assert (out / "table.csv").read_bytes() == (straight / "table.csv").read_bytes()
    rates = [resumed(out / name).train.learning_rate for name in ("best-1", "best")]
    assert rates == [1e-3, 1e-2]
    assert files.read_json(out / "best-1" / "run.json")["state"] == "finished"
    assert f"kept as {out / 'best-1'}" in capsys.readouterr().out


def test_draws_go_on_with_more_of_them(place):
    more = ["--over", "train.learning_rate=1e-4..1e-1", "search.retrain=false"]
    assert search(place, place / "many", *more, "search.trials=4") == 0
    for trials in (2, 4):
        assert search(place, place / "more", *more, f"search.trials={trials}") == 0
    assert rows(place / "more") == rows(place / "many")
    assert search(place, place / "more", *more, "search.trials=3") == 2


@pytest.mark.parametrize(
    ("over", "message"),
    [
        (["train.learning_rate=1e-2"], "over.train.learning_rate: 1e-3,1e-4 there, 1e-2 asked for"),
        (["train.learning_rate=1e-3"], "over.train.learning_rate: 1e-3,1e-4 there, 1e-3 asked for"),
        (["train.learning_rate=1e-4..1e-3"], "over.train.learning_rate: 1e-3,1e-4 there, 1e-4..1e-3 asked for"),
        (["train.learning_rate=1e-3,1e-4", "train.clip=1,2"], "over.train.clip: none there, 1,2 asked for"),
        (["train.clip=1,2"], "over.train.learning_rate: 1e-3,1e-4 there, none asked for"),
    ],
)
def test_another_search_does_not_enter_the_same_folder(place, capsys, over, message):
    out = place / "taken"
    if not out.exists():
        assert search(place, out, "--over", "train.learning_rate=1e-3,1e-4", "search.retrain=false") == 0
    given = [part for axis in over for part in ("--over", axis)]
    assert search(place, out, *given, "search.retrain=false") == 2
    assert message in capsys.readouterr().err


def test_runs_and_searches_do_not_enter_each_others_folders(place, tmp_path, capsys):
    given = ["--base", place / "base", "--data", place / "corpus", "--method", "full", *SHORT]
    over = ["--over", "train.learning_rate=1e-3", "search.retrain=false"]
    for here, out in (("a run", place / "base"), ("a search", tmp_path / "search"), ("a study", tmp_path / "study")):
        name = {"a search": "search.json", "a study": "study.json"}.get(here)
        if name:
            files.write_json(out / name, {})
        others = [["search", *given, *over], ["finetune", *given], ["finetune", *given, "--seeds", "1,2"]]
        for line in others if here == "a study" else others[1:] if here == "a search" else others[::2]:
            capsys.readouterr()
            assert gpt2lab(*line, "--out", out) == 2
            assert f"{here} is here" in capsys.readouterr().err


@pytest.mark.parametrize(
    "over", ["train.learning_rate", "--learning_rate=1", "train.clip=1..", "train.clip=a..b", "x.y="]
)
def test_what_cannot_be_searched_is_refused(over):
    with pytest.raises(UserError, match="not understood"):
        axis_of(over)


def test_every_point_is_checked_before_the_first_is_trained(place, capsys):
    assert search(place, place / "wrong", "--over", "train.clip=1,-1") == 2
    assert "train.clip" in capsys.readouterr().err
    assert not (place / "wrong" / "trials").exists()


def test_a_trial_that_goes_on_remembers_what_it_saw_before(tmp_path):
    """Its best look is where its checkpoint is, and what was seen since may be worse than half of the others."""
    how = SearchSettings(prune=True, prune_after=1)
    other = searching.Trial(1, {}, "", "finished", 5.0, 2, {2: 5.5, 4: 5.0})
    files.write_text(tmp_path / "metrics.jsonl", lines.encode({"step": 2, "validation_loss": 4.0}))
    searching._hopeless(tmp_path, "validation_loss", [other], how)({"step": 4, "validation_loss": 6.0})
    with pytest.raises(searching.Pruned):
        searching._hopeless(tmp_path / "new", "validation_loss", [other], how)({"step": 4, "validation_loss": 6.0})


def test_a_search_on_another_base_at_the_same_path_is_another_search(place, tmp_path, capsys):
    shutil.copytree(place / "base" / "model", tmp_path / "base")
    given = ["--base", tmp_path / "base", "--data", place / "corpus", "--method", "full", "--out", tmp_path / "search"]
    more = ["--over", "train.learning_rate=1e-3", "search.retrain=false"]
    assert gpt2lab("search", *given, *SHORT, *more) == 0
    limits = ["train.steps=1", "train.batch_rows=8", "train.seed=2", "train.precision=fp32"]
    assert gpt2lab("pretrain", "--data", place / "corpus", "--out", tmp_path / "other", *SHAPE, *limits) == 0
    shutil.rmtree(tmp_path / "base")
    shutil.copytree(tmp_path / "other" / "model", tmp_path / "base")
    capsys.readouterr()
    assert gpt2lab("search", *given, *SHORT, *more) == 2
    assert "made_of.base" in capsys.readouterr().err


def test_without_validation_nothing_is_tried(place, tmp_path, capsys):
    (tmp_path / "text.txt").write_text("a few words\n\nand some more\n")
    given = [
        "--base",
        place / "base",
        "--data",
        tmp_path / "text.txt",
        "--method",
        "full",
        "--out",
        tmp_path / "search",
    ]
    capsys.readouterr()
    assert gpt2lab("search", *given, *SHORT, "prepare.validation=0", "--over", RATES) == 2
    assert "the corpus has no validation split" in capsys.readouterr().err
    assert not (tmp_path / "search" / "trials").exists()


@pytest.mark.parametrize(
    "over",
    [
        "base=a,b",
        "task=text,labels",
        "prepare.validation=0.1,0.2",
        "train.watch=a,b",
        "data.label=a,b",
        "train.block=8,9",
        "train.seed=1,2",
        "train.epochs=1,2",
    ],
)
def test_what_all_trials_must_share_is_no_axis(over):
    """Or each would be judged by another number."""
    with pytest.raises(UserError, match="all trials of a search share"):
        axis_of(over)


def test_methods_are_an_axis_like_any_other_and_each_brings_its_own_rate(place):
    out = place / "methods"
    assert search(place, out, "--over", "method=full,lora,prompt", "prompt.tokens=2", "search.retrain=false") == 0
    found = [resumed(out / row["run"]) for row in rows_of(out)]
    assert [(one.method, one.train.learning_rate, one.train.weight_decay) for one in found] == [
        ("full", 5e-5, 0.01),
        ("lora", 2e-4, 0.01),
        ("prompt", 5e-3, 0.0),
    ]


@pytest.mark.parametrize("rate", [1e-3, 5e-5])
def test_a_rate_that_was_given_is_every_methods(place, rate):
    """Also where it is what the first of them has anyway."""
    out = place / f"one-rate-{rate}"
    more = ["--over", "method=full,lora", f"train.learning_rate={rate}", "search.retrain=false"]
    assert search(place, out, *more) == 0
    assert [resumed(out / row["run"]).train.learning_rate for row in rows_of(out)] == [rate, rate]


def test_lists_are_values_too(place):
    out = place / "lists"
    more = ["--over", "method=lora", "--over", "lora.targets=[c_attn,c_fc],c_attn", "search.retrain=false"]
    assert search(place, out, *more) == 0
    assert [resumed(out / row["run"]).lora.targets for row in rows_of(out)] == [("c_attn", "c_fc"), ("c_attn",)]
    assert [row["lora.targets"] for row in rows(out)] == ["[c_attn,c_fc]", "c_attn"]


def test_what_only_a_model_can_refuse_is_refused_before_the_first_trial_too(place, capsys):
    more = [
        "--over",
        "method=lora",
        "--over",
        "lora.targets=c_attn,nope",
        "--over",
        "lora.pissa=false,true",
        "lora.rank=99",
    ]
    assert search(place, place / "targets", *more) == 2
    said = capsys.readouterr().err
    assert "no linear layer is named 'nope'" in said
    assert "lora.targets=c_attn, lora.pissa=true" in said
    assert not (place / "targets" / "trials").exists()


def test_a_trial_that_is_refused_when_it_begins_is_marked_and_survived(place, monkeypatch, capsys):
    """For good: a winner that came later would find the best one's folder taken."""
    real = searching.finetune

    def finetune(settings, *given, **more):
        if settings.train.learning_rate == 1e-2:
            raise UserError("not today")
        return real(settings, *given, **more)

    out = place / "refused"
    monkeypatch.setattr(searching, "finetune", finetune)
    assert search(place, out, "--over", RATES) == 0
    assert "not today" in capsys.readouterr().err
    monkeypatch.setattr(searching, "finetune", real)
    assert search(place, out, "--over", RATES) == 0
    assert [row["state"] for row in rows(out)] == ["finished", "refused", "finished"]


def test_a_retraining_that_diverges_is_marked_too(place, monkeypatch, capsys):
    real = searching.finetune

    def finetune(settings, out, *given, **more):
        if out.name == "best":
            raise Diverged("not finite")
        return real(settings, out, *given, **more)

    monkeypatch.setattr(searching, "finetune", finetune)
    assert search(place, place / "unlucky", "--over", "train.learning_rate=1e-3", "--json") == 0
    assert last_json(capsys.readouterr().out)["retrained"]["state"] == "diverged"


def test_a_setting_of_another_method_is_no_axis(place, capsys):
    """All its trials would be one."""
    assert search(place, place / "idle", "--over", "lora.rank=2,4") == 2
    assert "lora.rank has no effect with full" in capsys.readouterr().err


def test_an_axis_stands_once(place, capsys):
    twice = ["--over", "train.learning_rate=1e-3,1e-2", "--over", "train.learning_rate=5e-3"]
    assert search(place, place / "twice", *twice) == 2
    assert "train.learning_rate stands twice" in capsys.readouterr().err
    assert not (place / "twice" / "trials").exists()


def test_trials_with_soft_tokens_and_without_read_rows_of_one_length(place, capsys):
    """Or each would be validated with another context."""
    more = ["--over", "method=full,prompt", "prompt.tokens=6", "search.retrain=false"]
    assert search(place, place / "soft", *more) == 0
    assert "rows of 10 tokens for all trials" in capsys.readouterr().out
    assert [resumed(place / "soft" / row["run"]).train.block for row in rows_of(place / "soft")] == [10, 10]


def test_the_method_that_is_searched_need_not_be_named_as_well(place):
    given = ["--base", place / "base", "--data", place / "corpus", "--out", place / "unnamed"]
    assert gpt2lab("search", *given, *SHORT, "--over", "method=partial,full", "search.retrain=false") == 0


def test_a_best_that_only_guesses_is_no_find(place, tmp_path, capsys):
    given = ["--base", place / "base", "--data", "builtin:topics", "--task", "labels", "--out", tmp_path / "search"]
    assert gpt2lab("search", *given, "--method", "full", *SHORT, "--over", "train.learning_rate=1e-7") == 0
    assert "no better than guessing (1.3863" in capsys.readouterr().err


def test_a_best_at_the_edge_of_a_grid_is_said(place, tmp_path, capsys):
    assert search(place, tmp_path / "edge", "--over", "train.learning_rate=1e-4,1e-2", "search.retrain=false") == 0
    assert (
        "the best train.learning_rate is the highest that was tried: one beyond it may be better"
        in capsys.readouterr().out
    )


@pytest.mark.parametrize(
    ("over", "more", "message"),
    [
        ("train.batch_rows=4,8", [], "each value of train.batch_rows would read another amount of text"),
        (RATES, ["train.minutes=1"], "minutes are no budget for a search"),
    ],
)
def test_all_trials_have_the_same_budget(place, tmp_path, capsys, over, more, message):
    assert search(place, tmp_path / "search", "--over", over, *more) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "search" / "trials").exists()


def test_batches_of_several_sizes_may_read_the_same_text(place, tmp_path):
    more = ["--over", "train.batch_rows=4,8", "train.steps=none", "train.tokens=512", "search.retrain=false"]
    assert search(place, tmp_path / "search", *more) == 0
    runs = [tmp_path / "search" / row["run"] for row in rows_of(tmp_path / "search")]
    steps = [files.read_json(run / "run.json")["steps"] for run in runs]
    assert steps == [8, 4]


def test_a_trial_for_which_memory_ends_is_marked_and_survived(place, tmp_path, monkeypatch):
    """By PyTorch's own words for it."""
    real = searching.finetune

    def finetune(settings, *given, **more):
        if settings.train.learning_rate == 1e-2:
            torch.empty(2**60, dtype=torch.uint8)
        return real(settings, *given, **more)

    monkeypatch.setattr(searching, "finetune", finetune)
    assert search(place, tmp_path / "search", "--over", RATES) == 0
    assert [row["state"] for row in rows(tmp_path / "search")] == ["finished", "out of memory", "finished"]


def test_draws_are_not_led_to_where_a_trial_came_to_nothing(monkeypatch):
    """However good one look at it was before."""
    told = []
    monkeypatch.setattr(optuna.Study, "tell", lambda self, trial, *given, **more: told.append((*given, *more.values())))
    trials = []
    points = searching._points([axis_of("train.learning_rate=1e-4..1")], SearchSettings(trials=4), trials, True)
    for state, _ in zip(("finished", "diverged", "pruned", "refused"), points):
        trials.append(searching.Trial(len(trials) + 1, {}, "", state, 1.0, 2, {2: 1.0}))
    next(points, None)
    states = optuna.trial.TrialState
    assert told == [(1.0,), (states.FAIL,), (states.PRUNED,), (states.FAIL,)]
