"""Our scorer is lm-evaluation-harness's, item for item: the real package on transformers' model, the same weights."""

import contextlib
import json
import lzma
import sys
from dataclasses import replace

import numpy as np
import pytest
import yaml

from gpt2lab.core.errors import UserError
from gpt2lab.measure import choices, harness, hellaswag, lambada
from gpt2lab.model.writing import write_model
from gpt2lab.text import items
from models import TINY, language_model
from vocabularies import gpt2, small

HELLASWAG = {
    "output_type": "multiple_choice",
    "doc_to_text": "{{activity_label}}: {{ctx}}",
    "doc_to_target": "{{label}}",
    "doc_to_choice": "endings",
    "metric_list": [{"metric": "acc"}, {"metric": "acc_norm"}],
}
LAMBADA = {
    "output_type": "loglikelihood",
    "doc_to_text": "{{text.split(' ')[:-1]|join(' ')}}",
    "doc_to_target": "{{' '+text.split(' ')[-1]}}",
    "metric_list": [{"metric": "perplexity"}, {"metric": "acc"}],
}
ROLLING = {
    "output_type": "loglikelihood_rolling",
    "doc_to_text": "",
    "doc_to_target": "{{text}}",
    "metric_list": [{"metric": "word_perplexity"}, {"metric": "bits_per_byte"}],
}
UNTIL = {
    "output_type": "generate_until",
    "doc_to_text": "{{text}}",
    "doc_to_target": "{{text}}",
    "generation_kwargs": {"max_gen_toks": 12, "until": ["\n", "."], "do_sample": False},
    "metric_list": [{"metric": "exact_match"}],
}


def write_task(folder, name, about, rows):
    """A task file and its data, as a user would write them."""
    data = folder / f"{name}.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    about = {"task": name, "dataset_path": "json", "dataset_kwargs": {"data_files": {"test": str(data)}},
             "test_split": "test", "metadata": {"version": 3}, **about}  # fmt: skip
    (folder / f"{name}.yaml").write_text(yaml.safe_dump(about))
    return data


def theirs(model, tokenizer, folder, tasks, tmp_path):
    """The samples that the harness records with its own engine for transformers."""
    import transformers
    from lm_eval import simple_evaluate
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager

    write_model(tmp_path / "model", model, tokenizer)
    loaded = transformers.GPT2LMHeadModel.from_pretrained(tmp_path / "model")
    encoder = transformers.AutoTokenizer.from_pretrained(tmp_path / "model")
    engine = HFLM(pretrained=loaded, tokenizer=encoder, batch_size=8, device="cpu", max_length=model.window)
    with contextlib.redirect_stdout(sys.stderr):
        return simple_evaluate(
            engine, tasks=tasks, task_manager=TaskManager(include_path=str(folder), include_defaults=False),
            bootstrap_iters=0,
        )  # fmt: skip


def likelihoods(sample):
    return [response[0][0] for response in sample["resps"]]


@pytest.mark.real_data
def test_300_items_of_hellaswag_have_the_harnesss_log_likelihoods_and_answers(real_data, tmp_path):
    tokenizer = gpt2(real_data)
    model = language_model(replace(TINY, layers=2, vocabulary=tokenizer.size, context=128))
    with lzma.open(real_data / "hellaswag" / "hellaswag_val.jsonl.xz", "rt") as file:
        every = [json.loads(line) for line in file]
    rows = [every[number] for number in range(0, len(every), len(every) // 300)][:300]
    data = write_task(tmp_path, "local_hellaswag", HELLASWAG, rows)
    found = theirs(model, tokenizer, tmp_path, ["local_hellaswag"], tmp_path)
    samples = found["samples"]["local_hellaswag"]
    assert len(samples) == 300
    (ours,) = choices.measure(["hellaswag/harness"], model, tokenizer, items.read(str(data)))
    for item, sample in zip(ours["items"], samples, strict=True):
        assert item["log_likelihoods"] == pytest.approx(likelihoods(sample), rel=1e-5)
        assert (item["chosen"]["accuracy"] == item["label"]) == sample["acc"]
        assert (item["chosen"]["accuracy_normalised"] == item["label"]) == sample["acc_norm"]
    assert ours["accuracy"] == found["results"]["local_hellaswag"]["acc,none"]
    assert ours["accuracy_normalised"] == found["results"]["local_hellaswag"]["acc_norm,none"]


TEXTS = [
    "The tokenizer splits text into pieces. Pieces that are frequent become one token; rare ones are spelled.",
    "It's a byte-level code: whatever the text, nothing is unknown to it.",
    "Numbers such as 1234567 and 3.14 are split too, and so are    spaces\tand tabs" * 6,
    "日本語 and naïve Ελληνικά",
]


@pytest.fixture(scope="module")
def tasks(tmp_path_factory):
    """Every kind of request, on texts shorter and longer than the window, by both engines."""
    folder, place = tmp_path_factory.mktemp("tasks"), tmp_path_factory.mktemp("model")
    model = language_model(replace(TINY, layers=2, vocabulary=small().size, context=64))
    rows = [{"text": text} for text in TEXTS]
    several = [
        {"activity_label": "Text", "ctx": text[:60], "endings": [text[60:90], "is.", "and a", "1234."], "label": 1}
        for text in TEXTS[:3]
    ]
    for name, about in (("cloze", LAMBADA), ("rolling", ROLLING), ("until", UNTIL)):
        write_task(folder, name, about, rows)
    write_task(folder, "several", HELLASWAG, several)
    names = ["cloze", "rolling", "until", "several"]
    his = theirs(model, small(), folder, names, place)
    mine = harness.measure(names, model, small(), tasks_from=folder)
    return model, folder, his, {record["protocol"]: record for record in mine}


@pytest.mark.parametrize("name", ["cloze", "rolling", "until", "several"])
def test_any_kind_of_task_gives_on_our_engine_what_it_gives_on_theirs(tasks, name):
    _, _, his, mine = tasks
    record = mine[f"harness:{name}@3"]
    for metric, value in his["results"][name].items():
        if isinstance(value, float):
            assert record["metrics"][metric.removesuffix(",none")] == pytest.approx(value, rel=1e-5)
    assert record["counts"]["items"] == len(his["samples"][name])
    for item, sample in zip(record["items"], his["samples"][name], strict=True):
        answers = [response[0] for response in sample["resps"]]
        for answer, expected in zip(item["answers"], answers, strict=True):
            if isinstance(expected, tuple | list):
                assert answer[0] == pytest.approx(expected[0], rel=1e-5)
                assert answer[1] == expected[1]
            else:
                assert answer == (pytest.approx(expected, rel=1e-5) if isinstance(expected, float) else expected)


def test_a_task_s_record_says_its_version_metrics_interval_and_items(tasks):
    record = tasks[3]["harness:several@3"]
    assert record["value_is"] == "acc"
    assert record["interval"]["low"] <= record["value"] <= record["interval"]["high"]
    assert record["settings"]["lm_eval"]
    assert set(record["items"][0]) >= {"item", "target", "answers", "acc", "acc_norm"}


def test_a_group_s_value_is_its_metric_with_an_interval_and_never_the_number_of_its_items(tmp_path):
    model = language_model(replace(TINY, vocabulary=small().size, context=64))
    rows = [
        {"ctx": text[:9], "activity_label": "Text", "endings": [text[9:20], "x"], "label": n % 2}
        for n, text in enumerate(TEXTS)
    ]
    for name in ("one", "other"):
        write_task(tmp_path, name, HELLASWAG, rows)
    group = {
        "group": "both",
        "task": ["one", "other"],
        "aggregate_metric_list": [{"metric": "acc_norm"}, {"metric": "acc"}],
        "metadata": {"version": 1},
    }
    (tmp_path / "both.yaml").write_text(yaml.safe_dump(group))
    records = {record["protocol"]: record for record in harness.measure(["both"], model, small(), tasks_from=tmp_path)}
    record, one = records["harness:both@1"], records["harness:one@3"]
    assert record["value_is"] == "acc_norm"
    assert record["value"] == pytest.approx(one["metrics"]["acc_norm"])
    assert record["counts"]["items"] == 2 * len(TEXTS)
    for measured in (record, one):
        assert set(measured["intervals"]) == {"acc", "acc_norm"}
        assert measured["interval"] == measured["intervals"][measured["value_is"]]
        assert set(measured["metrics"]) == {"acc", "acc_stderr", "acc_norm", "acc_norm_stderr"}


def test_lambada_is_the_harnesss_accuracy_and_perplexity(tasks):
    model, folder, his, _ = tasks
    record = lambada.measure(model, small(), items.read(str(folder / "cloze.jsonl")))
    results = his["results"]["cloze"]
    assert record["accuracy"] == results["acc,none"]
    assert record["perplexity"] == pytest.approx(results["perplexity,none"], rel=1e-5)
    for item, sample in zip(record["items"], his["samples"]["cloze"], strict=True):
        assert item["log_likelihood"] == pytest.approx(sample["resps"][0][0][0], rel=1e-5)


def test_released_rows_are_prepared_as_the_harness_prepares_them():
    import datasets
    from lm_eval.tasks.hellaswag import utils

    contexts = [
        "Then, the man [substeps] writes  over [title] snow.",
        " [header] How to [title] Sit. [step] Do it.",
        "",
    ]
    rows = [
        {"activity_label": label, "ctx_a": context, "ctx_b": part, "label": "1",
         "endings": [" [step] sits  down.", "runs [title] Away.", " , spells.", "[a] b [c]"]}
        for label in ("Removing ice", "Baking [x]")
        for context in contexts
        for part in ("", "the man", "she WALKS [substeps]")
    ]  # fmt: skip
    expected = utils.process_docs(datasets.Dataset.from_list(rows))
    for row, theirs_ in zip(rows, expected, strict=True):
        assert hellaswag.prepared(row) == (theirs_["query"], theirs_["choices"])


def test_an_unknown_task_is_one_clear_line_with_a_suggestion():
    with pytest.raises(UserError, match="has no task 'helaswag'") as raised:
        harness.measure(["helaswag"], language_model(), small())
    assert "hellaswag" in raised.value.way_out


def test_data_that_cannot_be_had_is_one_clear_line(tmp_path):
    write_task(tmp_path, "gone", LAMBADA, [{"text": "a b"}]).unlink()
    with pytest.raises(UserError, match="the task's data cannot be had"):
        harness.measure(["gone"], language_model(replace(TINY, vocabulary=small().size)), small(), tasks_from=tmp_path)


def test_the_harness_scores_what_it_asks_for_in_any_order():
    """Requests with one context are put together and taken apart again."""
    from lm_eval.api.instance import Instance

    from gpt2lab.measure.harness_engine import Engine

    model = language_model(replace(TINY, vocabulary=small().size, context=64))
    pairs = [("The text", " splits"), ("It", " is"), ("The text", " spells."), ("", "The"), ("The text ", "splits")]
    requests = [Instance("loglikelihood", {}, pair, number) for number, pair in enumerate(pairs)]
    engine = Engine(model, small(), 64)
    forward, backward = engine.loglikelihood(requests), engine.loglikelihood(requests[::-1])[::-1]
    assert np.array(forward)[:, 0] == pytest.approx(np.array(backward)[:, 0], rel=1e-5)
    assert forward[0][0] == pytest.approx(forward[4][0], rel=1e-5)  # a space at the end goes to what follows
