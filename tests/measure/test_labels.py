"""The protocol `labels`, from corpora and from files, against one text at a time."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from corpora import corpus
from gpt2lab.core import settings as strict
from gpt2lab.core.errors import UserError
from gpt2lab.measure import labelled, labels
from gpt2lab.measure.labelled import class_numbers
from gpt2lab.measure.settings import DataSettings, Evaluation
from gpt2lab.text.documents import Document
from models import TINY, classifier, language_model
from vocabularies import SAMPLE, small

NAMES = ("World", "Sports", "Business")
MODEL = classifier(replace(TINY, vocabulary=small().size, labels=NAMES, padding=small().end_of_text))
TEXTS = [SAMPLE[number * 3 : number * 5 + 4] for number in range(40)]
LABELLED = [Document(text, label=NAMES[number % 3]) for number, text in enumerate(TEXTS)]


def alone(text):
    ids = small().encode(text)[: TINY.context].astype("int64")
    with torch.no_grad():
        return MODEL(torch.from_numpy(ids)[None]).double().softmax(-1)[0].numpy()


def measured(data, *overrides, **options):
    return labels.measure(MODEL, small(), data, strict.resolve(Evaluation, overrides=overrides), **options)


def jsonl(folder, rows):
    path = folder / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return path


def test_a_file_is_measured_as_one_text_at_a_time(tmp_path):
    rows = [{"text": document.text, "label": document.label} for document in LABELLED]
    record = measured(jsonl(tmp_path, rows))
    assert [item["label"] for item in record["items"]] == [document.label for document in LABELLED]
    for item, document in zip(record["items"], LABELLED):
        probabilities = alone(document.text)
        assert list(item["probabilities"].values()) == pytest.approx(probabilities.tolist(), abs=1e-5)
        assert item["right"] == (NAMES[probabilities.argmax()] == document.label)
    right = sum(item["right"] for item in record["items"])
    assert (record["value"], record["right"]) == (right / 40, right)
    assert record["interval"]["low"] < record["value"] < record["interval"]["high"]
    too_long = sum(len(small().encode(text)) > TINY.context for text in TEXTS)
    assert 0 < too_long == record["counts"]["truncated"]


def test_a_corpus_and_a_file_with_the_same_texts_say_the_same(tmp_path):
    from_corpus = measured(corpus(tmp_path / "c", LABELLED).folder)
    held_out = [document for number, document in enumerate(LABELLED) if number % 10 == 9]
    from_file = measured(jsonl(tmp_path, [{"text": row.text, "label": row.label} for row in held_out]))
    assert from_corpus["settings"]["split"] == "validation"
    assert from_file["settings"]["split"] == "all"
    assert from_corpus["confusion"] == from_file["confusion"]
    for key in ("value", "macro_f1", "nll"):
        assert from_corpus[key] == pytest.approx(from_file[key])


def test_columns_numbers_from_one_and_rows_without_a_text(tmp_path, capsys):
    table = tmp_path / "rows.csv"
    lines = [f'{1 + number % 3},"{text.split()[0]}","the rest"' for number, text in enumerate(TEXTS[1:])]
    table.write_text("\n".join(["kind,title,body", *lines, '2,"",""', '2,"",""']) + "\n", "utf-8")
    record = measured(table, "data.text=title,body", "data.label=kind")
    assert [item["label"] for item in record["items"]] == [NAMES[number % 3] for number in range(39)]
    assert record["counts"]["left_out"] == {
        "empty text": {"count": 2, "places": ["rows.csv, row 41", "rows.csv, row 42"]}
    }
    assert "2 rows left out: empty text" in capsys.readouterr().err


def test_classes_of_which_there_is_no_text_are_named(tmp_path, capsys):
    rows = [{"text": document.text, "label": document.label} for document in LABELLED]
    measured(jsonl(tmp_path, rows))
    assert "no text of" not in capsys.readouterr().err
    measured(jsonl(tmp_path, [row for row in rows if row["label"] == "World"]))
    assert "no text of 2 of the model's 3 classes here: Sports, Business" in capsys.readouterr().err


def test_limit_and_context_are_settings_of_the_result(tmp_path):
    path = jsonl(tmp_path, [{"text": document.text, "label": document.label} for document in LABELLED])
    record = measured(path, "evaluate.context=5", "evaluate.limit=30")
    assert (record["counts"]["texts"], record["settings"]["limit"], record["settings"]["longest"]) == (30, 30, 5)
    assert record["counts"]["tokens"] <= 150
    assert measured(path, "data.max_tokens=5")["nll"] == measured(path, "evaluate.context=5")["nll"]
    with pytest.raises(UserError, match="can see at most 24"):
        measured(path, "evaluate.context=25")


def test_labels_by_name_by_number_from_zero_and_from_one():
    assert class_numbers(["Sports", "World"], NAMES).tolist() == [1, 0]
    assert class_numbers([0, 2, 1], NAMES).tolist() == [0, 2, 1]
    assert class_numbers(["3", "1"], NAMES).tolist() == [2, 0]
    assert class_numbers([1, 2], ["1", "2", "3"]).tolist() == [0, 1]  # they are names here
    assert class_numbers([1, 3, 2], ["0", "1", "2"]).tolist() == [0, 2, 1]  # classes that were counted themselves
    assert class_numbers([1, 2], ["0", "1", "2"]).tolist() == [1, 2]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (["Sport"], "knows no class 'Sport'; did you mean 'Sports'"),
        (["World", 1], "knows no class 1"),
        ([0, 3], "knows no class 3"),
        ([-1, 0], "knows no class -1"),
        ([1, 2], "from 0 or from 1 cannot be told"),
    ],
)
def test_a_label_that_the_model_does_not_know_is_one_clear_line(wrong, message):
    with pytest.raises(UserError, match=message) as error:
        class_numbers(wrong, NAMES, "rows.csv")
    assert error.value.place == "rows.csv"
    assert "World, Sports, Business" in str(error.value.way_out)


def test_what_cannot_be_measured_is_one_clear_line(tmp_path):
    with pytest.raises(UserError, match="a classifier is needed"):
        labels.measure(language_model(), small(), tmp_path, Evaluation())
    with pytest.raises(UserError, match="no labels"):
        measured(corpus(tmp_path / "c").folder)
    with pytest.raises(UserError, match="there is no column 'label'"):
        measured(jsonl(tmp_path, [{"text": "x", "other": 1}]))
    with pytest.raises(UserError, match="another tokenizer"):
        folder = corpus(tmp_path / "d", LABELLED).folder
        manifest = json.loads((folder / "corpus.json").read_text())
        manifest["tokenizer"]["hash"] = "other"
        (folder / "corpus.json").write_text(json.dumps(manifest))
        measured(folder)


def test_a_model_and_its_bf16_copy_nearly_agree(tmp_path):
    path = jsonl(tmp_path, [{"text": document.text, "label": document.label} for document in LABELLED])
    exact = measured(path)
    model = classifier(MODEL.config)
    rounded = labels.measure(model, small(), path, strict.resolve(Evaluation, overrides=["evaluate.precision=bf16"]))
    assert rounded["settings"]["precision"] == "bf16"
    assert rounded["nll"] != exact["nll"]
    assert rounded["nll"] == pytest.approx(exact["nll"], rel=0.05)
    changed = sum(one["predicted"] != other["predicted"] for one, other in zip(exact["items"], rounded["items"]))
    assert rounded["counts"]["changed_by_precision"] == {"texts": 40, "changed": changed}
    assert "changed_by_precision" not in exact["counts"]
    total = np.array([list(item["probabilities"].values()) for item in rounded["items"]]).sum(axis=1)
    assert total == pytest.approx(1, abs=1e-6)  # the softmax is not in bf16


@pytest.mark.real_data
def test_ag_news_as_a_table_and_by_name_is_the_same(real_data):
    names = ("World", "Sports", "Business", "Sci/Tech")
    folder = real_data / "ag-news"
    columns = DataSettings(text=("title", "description"), label="label")
    table = labelled.read(str(folder / "test.csv.xz"), small(), names, 24, columns)
    named = labelled.read("ag-news", small(), names, 24, DataSettings(), folder)
    assert len(table) == len(named) == 7600
    assert np.bincount(table.classes).tolist() == [1900] * 4
    assert (table.classes == named.classes).all()
    assert named.split == "test"
