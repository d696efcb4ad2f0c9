"""`gpt2lab runs`: what was trained is found, watched, compared, and tidied up without losing anything of worth."""

import os
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from command_line import gpt2lab, last_json
from corpora import corpus
from gpt2lab.core import files, lines, lock
from gpt2lab.study import cleaning, runs, showing_runs

SHAPE = ["model.layers=1", "model.heads=1", "model.width=16", "model.context=16"]
TRAIN = ["train.steps=6", "train.batch_rows=8", "train.precision=fp32", "train.validate_every=2"]
EVERYTHING = ("run.yaml", "run.json", "metrics.jsonl", "timings.jsonl", "model", "results")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Two pretrainings that differ in a seed, and a tuning of the first."""
    place = tmp_path_factory.mktemp("runs")
    data = corpus(place / "corpus").folder
    for seed in (1, 2):
        line = ["pretrain", "--data", data, "--out", place / f"seed-{seed}", *SHAPE, *TRAIN, f"train.seed={seed}"]
        assert gpt2lab(*line) == 0
    tuned = ["--base", place / "seed-1", "--data", data, "--method", "full", "--out", place / "tuned"]
    assert gpt2lab("finetune", *tuned, "train.steps=2", "train.batch_rows=8", "train.precision=fp32") == 0
    return place


@pytest.fixture
def place(made, tmp_path):
    """A copy that a test may change."""
    shutil.copytree(made, tmp_path / "runs", symlinks=True)
    return tmp_path / "runs"


def unfinished(run):
    record = files.read_json(run / "run.json")
    files.write_json(run / "run.json", {key: value for key, value in record.items() if key != "finished"})
    files.write_json(run / "run.json", {**files.read_json(run / "run.json"), "state": "unfinished"})
    shutil.rmtree(run / "model")
    return run


def contents(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def holder(pid, host=None):
    return {"pid": pid, "host": host or socket.gethostname(), "since": "now", "command": "gpt2lab"}


def test_list_says_what_how_far_how_good_and_how_big(made, capsys):
    assert gpt2lab("runs", "list", made, "--json") == 0
    found = {Path(run["run"]).name: run for run in last_json(capsys.readouterr().out)}
    assert list(found) == ["seed-1", "seed-2", "tuned"]
    one = found["seed-1"]
    assert (one["kind"], one["steps"], one["steps_to_do"], one["state"]) == ("pretrain", 6, 6, "finished")
    looks = [line for line in lines.read(made / "seed-1" / "metrics.jsonl") if "validation_loss" in line]
    assert one["best"] == min(line["validation_loss"] for line in looks)
    assert one["best_step"] == files.read_json(made / "seed-1" / "run.json")["best_step"]
    assert one["bytes"] == sum(path.stat().st_size for path in (made / "seed-1").rglob("*") if path.is_file())
    assert (found["tuned"]["method"], found["tuned"]["task"]) == ("full", "text")
    gpt2lab("runs", "list", made)
    assert "validation_loss" in capsys.readouterr().out


def test_list_passes_over_what_is_no_run_and_names_what_is_damaged(place, capsys):
    (place / "seed-2" / "run.json").write_text("{")
    (place / ".hidden").mkdir()
    shutil.copytree(place / "seed-1", place / ".hidden" / "run")
    assert gpt2lab("runs", "list", place, "--json") == 0
    printed = capsys.readouterr()
    assert [Path(run["run"]).name for run in last_json(printed.out)] == ["seed-1", "tuned"]
    assert "left out: not valid JSON" in printed.err
    assert gpt2lab("runs", "list", place / "nowhere") == 2
    assert gpt2lab("runs", "show", place) == 2


def test_a_run_whose_writer_lives_is_running_and_one_whose_writer_died_is_unfinished(place):
    run = unfinished(place / "seed-1")
    assert runs.open_run(run).state == "unfinished"
    files.write_json(run / ".lock", holder(os.getpid()))
    assert runs.open_run(run).state == "running"
    files.write_json(run / ".lock", holder(2**22 + 1))
    assert runs.open_run(run).state == "unfinished"
    files.write_json(run / ".lock", holder(2**22 + 1, "elsewhere"))
    assert runs.open_run(run).state == "running"


def test_show_has_settings_losses_results_and_the_way_back_to_random_weights(made, capsys):
    assert gpt2lab("runs", "show", made / "tuned", "--json") == 0
    found = last_json(capsys.readouterr().out)
    assert found["settings"]["train"]["steps"] == 2
    assert found["losses"] == [line["loss"] for line in lines.read(made / "tuned" / "metrics.jsonl")]
    assert [result["protocol"] for result in found["results"]] == ["perplexity/blocks@1"]
    assert len(found["lineage"]) == 3
    assert str(made / "seed-1") in found["lineage"][1]
    assert found["lineage"][2] == "random weights"
    gpt2lab("runs", "show", made / "seed-1")
    text = capsys.readouterr().out
    assert "train.learning_rate" in text
    assert "█" in text
    assert "perplexity/blocks@1" in text
    assert "next: gpt2lab export" in text


def test_diff_names_settings_that_differ_and_puts_results_measured_alike_side_by_side(made, capsys):
    assert gpt2lab("runs", "diff", made / "seed-1", made / "seed-2", "--json") == 0
    found = last_json(capsys.readouterr().out)
    assert found["settings"] == {"train.seed": [1, 2]}
    (pair,) = found["results"]
    expected = [files.read_json(next((made / f"seed-{n}" / "results").glob("*.json")))["value"] for n in (1, 2)]
    assert pair["values"] == expected
    assert pair["wording"]
    assert found["alone"] == []


def test_a_run_beside_itself_shows_no_difference(made, capsys):
    assert gpt2lab("runs", "diff", made / "seed-1", made / "seed-1", "--json") == 0
    found = last_json(capsys.readouterr().out)
    assert found["settings"] == {}
    assert "no difference shown" in found["results"][0]["wording"]


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"protocol": "perplexity/blocks@2"}, "not measured for the other"),
        ({"settings": {"block": 8}}, "with other settings: "),
        ({"data": {"hash": "other"}}, "on other data"),
    ],
)
def test_results_that_were_not_measured_alike_never_stand_side_by_side(place, capsys, change, why):
    (path,) = (place / "seed-2" / "results").glob("*.json")
    record = files.read_json(path)
    files.write_json(path, record | {key: record[key] | v if isinstance(v, dict) else v for key, v in change.items()})
    assert gpt2lab("runs", "diff", place / "seed-1", place / "seed-2", "--json") == 0
    found = last_json(capsys.readouterr().out)
    assert found["results"] == []
    assert [alone["why"].startswith(why) for alone in found["alone"]] == [True, True]


def test_clean_says_what_could_go_and_touches_nothing_without_yes(place, capsys):
    shutil.copytree(place / "seed-1" / "model", place / "seed-1" / "model-before-1")
    before = contents(place)
    assert gpt2lab("runs", "clean", place, "--json") == 0
    found = last_json(capsys.readouterr().out)
    assert contents(place) == before
    assert found["removed_bytes"] == 0
    named = {os.path.relpath(spare["path"], place) for spare in found["spare"]}
    expected = {f"{name}/checkpoints" for name in ("seed-1", "seed-2", "tuned")} | {"seed-1/model-before-1"}
    assert named == expected
    sizes = {name: sum(len(data) for path, data in before.items() if path.is_relative_to(name)) for name in expected}
    assert {os.path.relpath(spare["path"], place): spare["bytes"] for spare in found["spare"]} == sizes


def test_clean_with_yes_leaves_models_results_and_everything_an_unfinished_run_goes_on_from(place, capsys):
    run = unfinished(place / "seed-2")
    (run / "checkpoints" / "damaged-step-00000004").mkdir()
    (run / "checkpoints" / "damaged-step-00000004" / "x").write_text("x")
    dead = place / "seed-1" / f".metrics.jsonl.{socket.gethostname()}.{2**22 + 1}.writing"
    alive = place / "seed-1" / f".other.{socket.gethostname()}.{os.getpid()}.writing"
    for path in (dead, alive):
        path.write_text("half")
    before = contents(place)
    assert gpt2lab("runs", "clean", place, "--yes", "--json") == 0
    after = contents(place)
    gone = {str(path) for path in before.keys() - after.keys()}
    assert all("checkpoints" in name or name.endswith(".writing") for name in gone)
    assert not [name for name in gone if name.startswith("seed-2/checkpoints/step-")]
    assert "seed-2/checkpoints/damaged-step-00000004/x" in gone
    assert str(dead.relative_to(place)) in gone
    assert alive.exists()
    assert last_json(capsys.readouterr().out)["removed_bytes"] == sum(
        len(before[p]) for p in before.keys() - after.keys()
    )
    assert {path: after[path] for path in after} == {path: before[path] for path in after}
    for name in ("seed-1", "tuned"):
        assert all((place / name / kept).exists() for kept in EVERYTHING)
    assert gpt2lab("pretrain", "--resume", "--out", run) == 0
    assert gpt2lab("generate", place / "tuned", "--prompt", "The", "--max-new-tokens", 2) == 0


def test_a_prolonged_base_keeps_the_weights_that_adapters_stand_on(place, capsys):
    """They are named where the adapter misses them, and never removed."""
    base, adapter = place / "seed-1", place / "adapter"
    data = files.read_json(base / "run.json")["corpus_folder"]
    given = ["--base", base, "--data", data, "--method", "lora", "--out", adapter]
    assert gpt2lab("finetune", *given, "train.steps=1", "train.batch_rows=8", "train.precision=fp32") == 0
    assert gpt2lab("pretrain", "--extend", "--out", base, "train.steps=7") == 0
    assert gpt2lab("pretrain", "--extend", "--out", base, "train.steps=8") == 0
    capsys.readouterr()
    assert gpt2lab("generate", adapter, "--prompt", "The", "--max-new-tokens", 2) == 2
    assert f"those are in {base / 'model-before-1'}" in capsys.readouterr().err
    for folder in (base, place):
        assert gpt2lab("runs", "clean", folder, "--yes") == 0
        assert f"model-before-1: kept, the adapter {adapter / 'model'} stands on it" in capsys.readouterr().out
    assert [path.name for path in base.glob("model-before-*")] == ["model-before-1"]
    about = adapter / "model" / "gpt2lab.json"
    files.write_json(about, {**files.read_json(about), "base": "../../seed-1/model-before-1"})
    assert gpt2lab("generate", adapter, "--prompt", "The", "--max-new-tokens", 2) == 0


def test_a_run_that_is_being_written_is_left_alone(place, capsys):
    run = unfinished(place / "seed-1")
    (run / "model-before-1").mkdir()
    found = cleaning.spares(place)
    with lock.locked(run / ".lock"):
        assert not [spare for spare in cleaning.spares(place) if spare.run == run]
        cleaning.remove(found)  # it began between the look and the yes
    assert (run / "model-before-1").is_dir()
    assert "left alone" in capsys.readouterr().err


def test_what_a_link_leads_to_is_not_removed(place, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    (place / "seed-1" / "checkpoints").rename(elsewhere)
    (place / "seed-1" / "checkpoints").symlink_to(elsewhere)
    kept = contents(elsewhere)
    assert gpt2lab("runs", "clean", place, "--yes") == 0
    assert contents(elsewhere) == kept


def test_follow_ends_with_the_run_and_counts_what_was_written_before_a_restart_once(place):
    """A resumed run cuts its metrics back to its checkpoint: the curve begins again there."""
    run = unfinished(place / "seed-1")
    files.write_json(run / ".lock", holder(os.getpid()))
    metrics = run / "metrics.jsonl"
    whole = metrics.read_bytes().splitlines(keepends=True)
    tail = showing_runs.Tail(metrics)
    tail.look()
    assert len(tail.records) == 6
    metrics.write_bytes(b"".join(whole[:3]) + b'{"torn')
    tail.look()
    assert [record["step"] for record in tail.records] == [1, 2, 3]
    metrics.write_bytes(b"".join(whole[:4]))
    tail.look()
    assert [record["step"] for record in tail.records] == [1, 2, 3, 4]
    looks = 0

    def sleep(_):
        nonlocal looks
        looks += 1
        if looks == 3:
            files.write_json(run / "run.json", {**files.read_json(run / "run.json"), "state": "finished"})

    assert showing_runs.follow(run, sleep) == "finished"
    assert looks == 3


def test_follow_from_a_second_terminal_ends_by_ctrl_c_and_leaves_the_run_alone(place):
    run = unfinished(place / "seed-1")
    files.write_json(run / ".lock", holder(os.getpid()))
    watcher = subprocess.Popen(
        [sys.executable, "-m", "gpt2lab", "runs", "show", run, "--follow"], stdout=subprocess.PIPE, text=True
    )
    assert watcher.stdout is not None
    shown = ""
    while "step 6 of 6" not in shown:
        shown += watcher.stdout.readline()
    assert shown.startswith("loss")
    assert watcher.poll() is None
    before = contents(run)
    os.kill(watcher.pid, signal.SIGINT)
    watcher.communicate(timeout=30)
    assert watcher.returncode == 0
    assert contents(run) == before
