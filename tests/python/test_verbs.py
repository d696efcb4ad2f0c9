"""The verbs in Python do what the command line does, with the same settings, and say the same of mistakes."""

import doctest
import inspect
import json
import subprocess
import sys

import pytest
import torch

import gpt2lab
from command_line import gpt2lab as command_line
from command_line import last_json
from corpora import corpus
from gpt2lab.core import console, files
from gpt2lab.python import objects, verbs
from gpt2lab.python.keywords import overrides

SHAPE = {"layers": 1, "heads": 1, "width": 16, "context": 16}
FEW = {"steps": 3, "batch_rows": 8, "precision": "fp32"}
TUNE = {"epochs": None, **FEW}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("python")
    corpus(folder / "corpus")
    (folder / "book.txt").write_text("The model reads a word and writes the next. " * 20)
    gpt2lab.pretrain(folder / "corpus", folder / "base", model=SHAPE, train=FEW, device="cpu")
    return folder


@pytest.fixture(autouse=True)
def quiet():
    console.configure("quiet")
    yield
    console.configure("normal")


def test_importing_the_package_and_naming_its_verbs_loads_nothing_heavy():
    code = """
import sys, time
begun = time.perf_counter()
import gpt2lab
heavy = {"torch", "numpy", "pydantic", "rich", "typer", "transformers"} & set(sys.modules)
assert callable(gpt2lab.generate) and callable(gpt2lab.finetune) and callable(gpt2lab.evaluate)
print(heavy or "", {"torch", "transformers", "pandas"} & set(sys.modules) or "")
"""
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == ""


def test_everything_that_is_named_is_there_and_nothing_else():
    assert all(inspect.getdoc(getattr(gpt2lab, name)) for name in gpt2lab.__all__)
    assert set(gpt2lab.__all__) <= set(dir(gpt2lab))
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        gpt2lab.nonsense  # noqa: B018


@pytest.mark.parametrize("first", ["import gpt2lab.generate.settings", "from gpt2lab.generate import settings", ""])
def test_generate_can_be_called_whatever_was_imported_before(place, first):
    """The floor of that name once hid the verb."""
    line = f"print(len(gpt2lab.generate({str(place / 'base')!r}, 'The', max_new_tokens=2)))"
    code = f"{first}\nimport gpt2lab\nimport gpt2lab.generate.sampling as s\nassert s.choose\n{line}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "1", done.stderr


def test_the_same_settings_make_the_same_run_as_on_the_command_line(place):
    line = ["finetune", "--base", place / "base", "--data", place / "corpus", "--method", "lora", "lora.rank=2"]
    more = ["lora.targets=c_attn,c_proj", "train.epochs=none", "train.steps=3", "train.batch_rows=8"]
    assert command_line(*line, *more, "train.precision=fp32", "--out", place / "typed") == 0
    lora = {"rank": 2, "targets": ["c_attn", "c_proj"]}
    run = gpt2lab.finetune(place / "base", place / "corpus", place / "called", train=TUNE, lora=lora)
    assert (place / "typed" / "run.yaml").read_bytes() == (run.path / "run.yaml").read_bytes()
    assert (place / "typed" / "metrics.jsonl").read_bytes() == (run.path / "metrics.jsonl").read_bytes()
    weights = [folder / "model" / "adapter_model.safetensors" for folder in (place / "typed", run.path)]
    assert weights[0].read_bytes() == weights[1].read_bytes()


def test_dotted_names_and_dictionaries_mean_the_same():
    nested = {"lora": {"rank": 8, "targets": ["c_attn"]}, "train": {"epochs": None, "compile": False}}
    dotted = {"lora.rank": 8, "lora.targets": ["c_attn"], "train.epochs": None, "train.compile": False}
    assert overrides(nested) == overrides(dotted)


def test_all_mistakes_come_together_with_a_hint_and_nothing_is_made(place):
    with pytest.raises(gpt2lab.UserError) as caught:
        gpt2lab.finetune(place / "base", place / "corpus", place / "no", lora={"rnk": 8}, train={"steps": "many"})
    assert "did you mean lora.rank?" in str(caught.value)
    assert "(in Python: train.steps=many)" in str(caught.value)
    assert not (place / "no").exists()
    with pytest.raises(gpt2lab.UserError, match="there is no such setting"):
        gpt2lab.generate(place / "base", "The", temprature=1)


def test_generate_gives_what_the_command_line_gives(place, capsys):
    line = ["generate", place / "base", "--prompt", "The", "--samples", 2, "--max-new-tokens", 6, "--seed", 4]
    assert command_line(*line, "--top-k", 20, "--json") == 0
    told = [sample["text"] for sample in map(last_json, capsys.readouterr().out.splitlines())]
    given = {"max_new_tokens": 6, "seed": 4, "top_k": 20}
    assert [found["text"] for found in gpt2lab.generate(place / "base", "The", 2, **given)] == told
    model = gpt2lab.load(place / "base")
    assert [found["text"] for found in model.generate(["The"], 2, **given)] == told
    assert isinstance(model.module, torch.nn.Module)
    assert str(place / "base") in repr(model)


def test_evaluate_gives_the_record_that_the_command_line_keeps(place, capsys):
    record = gpt2lab.evaluate(place / "base", place / "book.txt", evaluate={"stride": 8})
    line = ["evaluate", place / "base", "--data", place / "book.txt", "evaluate.stride=8", "--json"]
    assert command_line(*line) == 0
    told = last_json(capsys.readouterr().out)
    assert told["items"]["count"] == len(record["items"])
    assert json.loads(json.dumps({**record, "items": None})) == {**told, "items": None}
    several = gpt2lab.evaluate(place / "base", place / "book.txt", ["perplexity/token-window", "bits-per-byte"])
    assert [found["protocol"] for found in several] == ["perplexity/token-window@1", "bits-per-byte@1"]
    assert (
        gpt2lab.evaluate(gpt2lab.Run(place / "base"), gpt2lab.Corpus(place / "corpus"), "perplexity/blocks")["value"]
        > 1
    )
    with pytest.raises(gpt2lab.UserError, match="what to measure on is missing"):
        gpt2lab.evaluate(place / "base")


def test_a_classifier_predicts(place):
    made = gpt2lab.finetune(
        place / "base", "builtin:topics", place / "classes", method="full", task="labels", train={**TUNE, "steps": 1}
    )
    (answer,) = made.load().predict("A match.")
    assert answer["label"] in answer["probabilities"]
    with pytest.raises(gpt2lab.UserError, match="a language model is needed"):
        made.load().generate("The")
    with pytest.raises(gpt2lab.UserError):
        gpt2lab.load(place / "base").predict("A match.")


def test_a_run_tells_its_curves_as_a_table(place):
    run = gpt2lab.Run(place / "base")
    table = run.curves
    assert list(table.index) == [1, 2, 3]
    assert list(table["loss"]) == [line["loss"] for line in run.metrics]
    assert (table["seconds"] > 0).all()
    assert "perplexity/blocks@1" in [record["protocol"] for record in run.results]


def test_without_pandas_one_line_says_what_to_do(place, monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(gpt2lab.UserError, match="pip install pandas"):
        gpt2lab.Run(place / "base").curves  # noqa: B018


def test_an_interrupted_run_goes_on_with_its_own_settings_and_can_be_prolonged(place):
    run = gpt2lab.pretrain(place / "corpus", place / "again", model=SHAPE, train=FEW)
    record = files.read_json(run.path / "run.json")
    files.write_json(run.path / "run.json", {**record, "state": "unfinished"})
    with pytest.raises(gpt2lab.UserError, match="an unfinished run is here"):
        gpt2lab.pretrain(place / "corpus", place / "again", model=SHAPE, train=FEW)
    assert run.resume().record["state"] == "finished"
    assert len(run.resume(extend=True, train={"steps": 5}).metrics) == 5


def test_in_a_notebook_a_run_is_a_small_table_and_a_report_is_the_page_itself(place, tmp_path):
    shown = gpt2lab.Run(place / "base")._repr_html_()
    assert "finished, 3 steps" in shown
    (tmp_path / "report.html").write_text('<script>alert("x")</script>')
    framed = gpt2lab.Report(tmp_path)._repr_html_()
    assert "<script>" not in framed  # it is quoted, and runs only inside the frame
    assert "&lt;script&gt;alert(&quot;x&quot;)" in framed


def test_hostile_names_stay_text_in_a_notebook(place, tmp_path):
    (tmp_path / "<b>").symlink_to(place / "base")
    assert "<b>" not in gpt2lab.Run(tmp_path / "<b>")._repr_html_()


def test_the_examples_in_the_docstrings_are_true(tmp_path, monkeypatch):
    """In the order in which one needs the other, in one folder."""
    monkeypatch.chdir(tmp_path)
    told = [verbs.prepare, verbs.pretrain, verbs.load, verbs.generate, verbs.evaluate, verbs.finetune, verbs.run]
    assert {example.__name__ for example in told} == {*gpt2lab.__all__} - {
        "Corpus",
        "Model",
        "Report",
        "Run",
        "UserError",
    }
    runner = doctest.DocTestRunner()
    finder = doctest.DocTestFinder(recurse=False)
    for verb in told:
        (test,) = finder.find(verb, globs={"gpt2lab": gpt2lab})
        assert test.examples, verb.__name__
        runner.run(test)
    assert runner.summarize(verbose=False).failed == 0


def test_public_signatures_are_typed():
    for thing in [getattr(verbs, name) for name in gpt2lab._VERBS] + [objects.Run.resume, objects.Model.generate]:
        signature = inspect.signature(thing)
        assert signature.return_annotation is not inspect.Signature.empty
        assert all(
            parameter.annotation is not inspect.Parameter.empty
            for name, parameter in signature.parameters.items()
            if name != "self"
        )


def test_a_folder_may_be_named_by_text(place):
    assert gpt2lab.Run(str(place / "base")).record["state"] == "finished"
    assert gpt2lab.Corpus(str(place / "corpus")).manifest["splits"]
